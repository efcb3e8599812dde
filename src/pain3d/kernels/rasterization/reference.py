"""Knows what visibility means here: exact integer edge functions on a 1/256 pixel grid, in plain torch.

Every face is expanded into the pixels of its box ("fragments"); those inside keep the largest inverse depth per pixel
by a scatter, and of equals the lowest face id.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._described import described

SUBPIXELS = 256  # screen positions are snapped to 24.8 fixed point: 1/256 pixel
HALF = SUBPIXELS // 2  # a pixel centre
LIMIT = 2**21 * SUBPIXELS  # 2^29: differences stay below 2^30 and edge functions below 2^61, exact in int64
NEAR = 1e-6  # metres; a face with a corner nearer than this is dropped whole, never clipped
CHUNK = 1 << 20  # fragments expanded at once: about 100 MB


class Fragments(NamedTuple):
    """What the pixel centres see; `pain3d.kernels.rasterize` says how each field is defined.

    Attributes:
        face_ids: [B, H, W] int32, -1 on background.
        barycentrics: [B, H, W, 3], perspective-correct, 0 on background.
        depth: [B, H, W] metres along the view axis, inf on background.
    """

    face_ids: Tensor
    barycentrics: Tensor
    depth: Tensor

    def __repr__(self) -> str:
        """Shapes and dtypes."""
        return described(self)


def screen_positions(vertices_clip: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return (position [B, V, 2] float64 in 1/256 px, snapped [B, V, 2] int64, usable [B, V] bool).

    Snapping is ``floor(256 · position + 0.5)``. A vertex that is not usable (behind NEAR, not finite, beyond LIMIT) is
    snapped to 0.
    """
    height, width = size
    x, y, _, w = vertices_clip.to(torch.float64).unbind(-1)
    in_front = torch.isfinite(vertices_clip).all(-1) & (w > NEAR)
    w = torch.where(in_front, w, 1.0)
    position = torch.stack([(x / w * 0.5 + 0.5) * width, (0.5 - y / w * 0.5) * height], -1) * SUBPIXELS
    rounded = torch.floor(position.detach() + 0.5)
    usable = in_front & (rounded.abs() <= LIMIT).all(-1)
    return position, torch.where(usable[..., None], rounded, 0.0).to(torch.int64), usable


def doubled_areas(snapped: Tensor, usable: Tensor, faces: Tensor) -> Tensor:
    """Return [B, F] int64: twice the screen area in (1/256 px)², positive for front faces, 0 for dropped ones."""
    corners = faces.long()
    a, b, c = (snapped[:, corners[:, corner]] for corner in range(3))
    area = (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0]) - (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1])
    return torch.where(usable[:, corners].all(-1), area, 0)


def rasterize_reference(vertices_clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool = True) -> Fragments:
    """Return the fragments; see `pain3d.kernels.rasterize` for the arguments."""
    height, width = size
    batch, device, corners = vertices_clip.shape[0], vertices_clip.device, faces.long()
    position, snapped, usable = screen_positions(vertices_clip, size)
    area = doubled_areas(snapped, usable, faces)
    drawn = area > 0 if cull else area != 0
    points = snapped[:, corners]  # [B, F, 3, 2]
    limits = torch.tensor([width - 1, height - 1], device=device)
    low = (-((HALF - points.amin(2)) // SUBPIXELS)).clamp(min=0)  # ceil: the first pixel centre at or after the box
    high = torch.minimum((points.amax(2) - HALF) // SUBPIXELS, limits)  # floor: the last one
    extent = (high - low + 1).clamp(min=0)
    counts = torch.where(drawn, extent[..., 0] * extent[..., 1], 0).reshape(-1)
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    inverse_w = 1.0 / torch.where(usable, vertices_clip.detach()[..., 3].to(torch.float64), 1.0)

    pixels = batch * height * width
    nearest = torch.zeros(pixels, dtype=torch.float64, device=device)
    owner = torch.full((pixels,), -1, dtype=torch.int64, device=device)
    for start in range(0, total, CHUNK):
        fragment = torch.arange(start, min(start + CHUNK, total), device=device)
        item = torch.searchsorted(ends, fragment, right=True)
        image, face = item // len(faces), item % len(faces)
        within = fragment - (ends[item] - counts[item])
        columns = extent[image, face, 0]
        j, i = low[image, face, 0] + within % columns, low[image, face, 1] + within // columns
        edges = edge_functions(points[image, face], area[image, face], j, i)
        inside = edges[1].all(-1)
        image, face, i, j, values = image[inside], face[inside], i[inside], j[inside], edges[0][inside]
        scale = inverse_w[image[:, None], corners[face]] / area[image, face].abs().to(torch.float64)[:, None]
        terms = values.to(torch.float64) * scale
        inverse_depth = terms[:, 0] + terms[:, 1] + terms[:, 2]
        pixel = (image * height + i) * width + j
        before = nearest.clone()
        nearest.scatter_reduce_(0, pixel, inverse_depth, "amax")
        owner[nearest > before] = -1
        winner = inverse_depth == nearest[pixel]
        lowest = torch.full_like(owner, len(faces)).scatter_reduce_(0, pixel[winner], face[winner], "amin")
        owner = torch.where((owner < 0) & (lowest < len(faces)), lowest, owner)  # earlier chunks hold lower faces

    face_ids = owner.reshape(batch, height, width)
    barycentrics, depth = _locate(vertices_clip, corners, face_ids, position, snapped)
    return Fragments(face_ids.to(torch.int32), barycentrics, depth)


def edge_functions(points: Tensor, area: Tensor, j: Tensor, i: Tensor) -> tuple[Tensor, Tensor]:
    """Edge functions [N, 3] int64 (positive inside) of triangles [N, 3, 2] at pixels, and whether each lets it in.

    A point on an edge belongs to the face for which that edge is its top or left one, so that of two faces that share
    the edge exactly one gets it.
    """
    centre = torch.stack([j, i], -1) * SUBPIXELS + HALF
    sign = torch.where(area > 0, 1, -1)
    values, inside = [], []
    for corner in range(3):
        a, b = points[:, (corner + 1) % 3], points[:, (corner + 2) % 3]
        dx, dy = (b - a)[:, 0] * sign, (b - a)[:, 1] * sign
        value = dy * (centre - a)[:, 0] - dx * (centre - a)[:, 1]
        top_left = (dy > 0) | ((dy == 0) & (dx < 0))
        values.append(value)
        inside.append((value > 0) | ((value == 0) & top_left))
    return torch.stack(values, -1), torch.stack(inside, -1)


def _locate(
    vertices_clip: Tensor, corners: Tensor, face_ids: Tensor, position: Tensor, snapped: Tensor
) -> tuple[Tensor, Tensor]:
    """Perspective-correct barycentrics and depth of the faces that won, differentiable to vertices_clip."""
    batch, height, width = face_ids.shape
    covered = torch.nonzero(face_ids >= 0, as_tuple=True)
    image, i, j = covered
    vertex = corners[face_ids[covered]]  # [P, 3]
    points = snapped[image[:, None], vertex]  # [P, 3, 2] int64
    area = (points[:, 1, 1] - points[:, 0, 1]) * (points[:, 2, 0] - points[:, 0, 0]) - (
        points[:, 1, 0] - points[:, 0, 0]
    ) * (points[:, 2, 1] - points[:, 0, 1])
    edges = edge_functions(points, area, j, i)[0].to(torch.float64)
    size = area.abs().to(torch.float64)
    if vertices_clip.requires_grad:
        # The value is that of the snapped corners, the derivative that of the unsnapped ones.
        moved = position[image[:, None], vertex]
        moved = points + (moved - moved.detach())
        centre = torch.stack([j, i], -1) * SUBPIXELS + HALF
        sign = torch.where(area > 0, 1, -1)
        smooth = []
        for corner in range(3):
            a, b = moved[:, (corner + 1) % 3], moved[:, (corner + 2) % 3]
            dx, dy = (b - a).unbind(-1)
            smooth.append((dy * (centre - a)[:, 0] - dx * (centre - a)[:, 1]) * sign)
        followed = torch.stack(smooth, -1)
        edges = edges + (followed - followed.detach())
        size = size + (followed.sum(-1) - followed.sum(-1).detach())
    terms = edges * (1.0 / vertices_clip[image[:, None], vertex, 3].to(torch.float64))
    summed = terms[:, 0] + terms[:, 1] + terms[:, 2]
    dtype = vertices_clip.dtype
    barycentrics = torch.zeros(batch, height, width, 3, dtype=dtype, device=face_ids.device)
    barycentrics = barycentrics.index_put(covered, (terms / summed[:, None]).to(dtype))
    depth = torch.full((batch, height, width), torch.inf, dtype=dtype, device=face_ids.device)
    return barycentrics, depth.index_put(covered, (size / summed).to(dtype))
