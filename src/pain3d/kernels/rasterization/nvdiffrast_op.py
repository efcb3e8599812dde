"""Knows how nvdiffrast is asked for what `rasterize` promises, and how its answer is read, through its public API.

nvdiffrast follows OpenGL (its documentation, "Coordinate systems" and "Rasterization"): row 0 is at the bottom, so y is
negated on the way in; depth is tested on z/w in -1 … 1, smaller is nearer, and our clip space has no z of that kind, so
one is made from w; a pixel holds (u, v, z/w, face + 1), all floats, zeros on background, where u and v are the
perspective-correct weights of corners 0 and 1. It has no culling and clips at the frustum where we drop whole faces: a
face that we do not draw is moved out of the picture, which is why every face gets corners of its own.

Its licence is non-commercial; none of its code is here. From version 0.3.3 on it takes pictures of any size.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels.rasterization.reference import Fragments, doubled_areas, screen_positions

MARGIN = 1.1  # of the depth range beyond the nearest and farthest vertex: nothing is clipped by rounding
OUTSIDE = (2.0, 2.0, 0.0, 1.0)  # a clip position that no picture shows


def rasterize_nvdiffrast(vertices_clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool) -> Fragments:
    """Return the fragments; see `pain3d.kernels.rasterize`. Gradients: nvdiffrast's, to vertices_clip."""
    (batch, _, _), count, (height, width) = vertices_clip.shape, len(faces), size
    if batch == 0 or count == 0 or height == 0 or width == 0:
        shape, device = (batch, height, width), vertices_clip.device
        return Fragments(
            torch.full(shape, -1, dtype=torch.int32, device=device),
            torch.zeros(*shape, 3, device=device),
            torch.full(shape, torch.inf, device=device),
        )
    import nvdiffrast.torch as nvdiffrast  # pyright: ignore[reportMissingImports]

    _, snapped, usable = screen_positions(vertices_clip.detach(), size)
    area = doubled_areas(snapped, usable, faces)
    drawn = area > 0 if cull else area != 0
    corners = to_opengl(vertices_clip, usable)[:, faces.long()]  # [B, F, 3, 4]
    corners = torch.where(drawn[..., None, None], corners, corners.new_tensor(OUTSIDE))
    own = torch.arange(3 * count, dtype=torch.int32, device=faces.device).reshape(count, 3)
    positions = corners.reshape(batch, 3 * count, 4).contiguous()
    rast, _ = nvdiffrast.rasterize(context(vertices_clip.device), positions, own, [height, width], grad_db=False)
    return to_fragments(rast, vertices_clip[..., 3][:, faces.long()])


@cache
def context(device: torch.device) -> Any:
    """The rasterizer's state on a device: made once, as its documentation advises."""
    import nvdiffrast.torch as nvdiffrast  # pyright: ignore[reportMissingImports]

    return nvdiffrast.RasterizeCudaContext(device=device)


def depth_range(vertices_clip: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
    """Return near and far [B, 1]: around the w of all usable vertices, 1 where there are none; no gradient."""
    w = vertices_clip[..., 3].detach()
    near = torch.where(usable, w, torch.inf).amin(1, keepdim=True) / MARGIN
    far = torch.where(usable, w, 0.0).amax(1, keepdim=True) * MARGIN
    seen = usable.any(1, keepdim=True)
    return torch.where(seen, near, 1 / MARGIN), torch.where(seen, far, MARGIN)


def to_opengl(vertices_clip: Tensor, usable: Tensor) -> Tensor:
    """Return [B, V, 4] clip positions of OpenGL, y negated; a vertex that is not usable lies outside the picture."""
    x, y, _, w = vertices_clip.unbind(-1)
    # -1 at near, 1 at far: z/w = (f + n)/(f - n) - 2fn/((f - n) w)
    near, far = depth_range(vertices_clip, usable)
    z = ((far + near) * w.detach() - 2 * far * near) / (far - near)
    placed = torch.stack([x, -y, z, w], -1)
    return torch.where(usable[..., None], placed, placed.new_tensor(OUTSIDE))


def to_normalised_depth(depth: Tensor, vertices_clip: Tensor, usable: Tensor) -> Tensor:
    """Return the z/w [B, H, W] that a surface at `depth` metres has in `to_opengl`."""
    near, far = (limit[..., None] for limit in depth_range(vertices_clip, usable))
    return ((far + near) - 2 * far * near / depth) / (far - near)


def to_fragments(rast: Tensor, corner_w: Tensor) -> Fragments:
    """Read nvdiffrast's [B, H, W, 4], given the w [B, F, 3] of each face's corners."""
    face_ids = rast[..., 3].detach().to(torch.int32) - 1
    covered = face_ids >= 0
    u, v = rast[..., 0], rast[..., 1]
    barycentrics = torch.where(covered[..., None], torch.stack([u, v, 1 - u - v], -1), 0.0)
    face = face_ids.clamp(min=0).long().flatten(1)[..., None].expand(-1, -1, 3)
    w = corner_w.gather(1, face).reshape(*face_ids.shape, 3)
    depth = torch.where(covered, (barycentrics * w).sum(-1), torch.inf)
    return Fragments(face_ids, barycentrics, depth)
