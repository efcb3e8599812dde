"""Knows what `overlay` means: the layers before each pixel, lit, blended front to back, in plain torch.

Every face is expanded into the pixels of its box; those inside become fragments, are sorted by pixel, nearness and
face, and blended until next to nothing is let through. The integers are those of `rasterize`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels.layering.bundles import LayerScene, Overlaid
from pain3d.kernels.layering.light import light_vertices
from pain3d.kernels.rasterization.reference import HALF, LIMIT, NEAR, SUBPIXELS, edge_functions
from pain3d.kernels.rendering.colour import tone_map
from pain3d.kernels.texturing.reference import Mipmaps, sample_texture_reference

FAINT = 1 / 64  # alpha below which a fragment is left out
CLOSED = 1 / 32  # what is let through, below which a fragment lets nothing through: see the README for others
SOFT = 0.5  # pixels by which a ribbon is widened on either side: half of the box over which coverage is taken


class Placed(NamedTuple):
    """Vertices [P] of all pictures on their screens."""

    snapped: Tensor  # [P, 2] int64, 1/256 px, widened
    usable: Tensor  # [P] bool
    inverse_w: Tensor  # [P] float64
    across: Tensor  # [P, 3] px: from the middle of the ribbon to here, widened (x, y), and the half width before that


class Listed(NamedTuple):
    """Vertices [P] and faces [Q] of all pictures, picture after picture."""

    picture: Tensor  # [P] int64
    vertex: Tensor  # [P] int64, into the ribbons
    face_picture: Tensor  # [Q] int64
    face: Tensor  # [Q] int64, into the ribbons
    corners: Tensor  # [Q, 3] int64, into the P vertices


def list_ribbons(scene: LayerScene) -> Listed:
    """Write out the spans. A face with a corner outside its span is left out."""
    faces, spans = scene.ribbons.faces.long(), scene.ribbons.spans.long()
    first_vertex, vertices, first_face, count = spans.unbind(1)

    def spread(counts: Tensor) -> tuple[Tensor, Tensor]:
        picture = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        ends = counts.cumsum(0)
        return picture, torch.arange(len(picture), device=counts.device) - (ends - counts)[picture]

    picture, within = spread(vertices)
    face_picture, face_within = spread(count)
    face = first_face[face_picture] + face_within
    own = faces[face]
    starts = vertices.cumsum(0) - vertices
    exists = ((own >= 0) & (own < vertices[face_picture][:, None])).all(1)
    corners = own + starts[face_picture][:, None]
    return Listed(picture, first_vertex[picture] + within, face_picture[exists], face[exists], corners[exists])


def place_vertices(scene: LayerScene, listed: Listed, size: tuple[int, int]) -> Placed:
    """Project the vertices, each moved away from its ribbon's middle by half a pixel. No gradients."""
    height, width = size
    matrix = scene.eyes.world_to_clip.detach().to(torch.float64)[listed.picture]
    points = scene.ribbons.vertices.detach().to(torch.float64)[listed.vertex]
    sides = scene.ribbons.sides.detach().to(torch.float64)[listed.vertex]
    scale = torch.tensor([width * 0.5, -height * 0.5], dtype=torch.float64, device=points.device)

    def project(point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, y, z = point[:, :1], point[:, 1:2], point[:, 2:]
        clip = matrix[:, :, 0] * x + matrix[:, :, 1] * y + matrix[:, :, 2] * z + matrix[:, :, 3]
        before = torch.isfinite(clip).all(1) & (clip[:, 3] > NEAR)
        w = torch.where(before, clip[:, 3], 1.0)
        return clip[:, :2] / w[:, None] * scale, w, before

    position, w, before = project(points)
    middle, _, middle_before = project(points - sides)
    offset = position - middle
    length = (offset * offset).sum(1).sqrt()
    is_ribbon = before & middle_before & (sides != 0).any(1)
    turned = is_ribbon & (length > 1e-6)  # else nobody can tell where to
    widened = torch.where(turned[:, None], offset * ((length + SOFT) / length.where(turned, 1.0))[:, None], 0.0)
    position = torch.where(turned[:, None], middle + widened, position) + torch.tensor(
        [width * 0.5, height * 0.5], dtype=torch.float64, device=points.device
    )
    rounded = torch.floor(position * SUBPIXELS + 0.5)
    usable = before & (rounded.abs() <= LIMIT).all(1)
    snapped = torch.where(usable[:, None], rounded, 0.0).to(torch.int64)
    half_width = torch.where(is_ribbon, length, 1.0)  # of a card 1, at a distance of 0: covered
    return Placed(snapped, usable, 1.0 / w, torch.cat([widened, half_width[:, None]], 1))


def face_levels(scene: LayerScene, listed: Listed, placed: Placed) -> Tensor:
    """Return the mip level [Q] int64 of each face: log2 of the texels per pixel along the longer axis, rounded."""
    texture = scene.texture
    texels = torch.tensor([texture.width, texture.height], dtype=torch.float64, device=placed.snapped.device)
    uvs = scene.ribbons.uvs.detach().to(torch.float64)[listed.vertex][listed.corners] * texels
    points = placed.snapped[listed.corners].to(torch.float64) / SUBPIXELS
    one, two = (points[:, 1] - points[:, 0]), (points[:, 2] - points[:, 0])
    first, second = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    area = one[:, 0] * two[:, 1] - two[:, 0] * one[:, 1]
    inverse = 1.0 / torch.where(area == 0, 1.0, area)[:, None]
    along_x = (first * two[:, 1:] - second * one[:, 1:]) * inverse
    along_y = (second * one[:, :1] - first * two[:, :1]) * inverse
    longest = torch.maximum((along_x * along_x).sum(1), (along_y * along_y).sum(1))
    # Half of log2 of it, rounded half up: how many of 2, 8, 32, … it reaches.
    reached = 2.0 ** (2 * torch.arange(1, len(texture.levels()), device=longest.device) - 1)
    return (longest[:, None] >= reached).sum(1)


class _Fragments(NamedTuple):
    """Fragments [S] of all pictures before they are sorted."""

    item: Tensor  # which of the Q faces
    pixel: Tensor  # of all pictures
    shares: Tensor  # [S, 3] float64, perspective-correct
    inverse_depth: Tensor  # float32


def _rasterize(listed: Listed, placed: Placed, depth: Tensor) -> _Fragments:
    """The fragments of all faces, both sides of each, that lie nearer than depth [B, H, W]."""
    _, height, width = depth.shape
    device = depth.device
    points = placed.snapped[listed.corners]  # [Q, 3, 2]
    one, two = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    area = one[:, 1] * two[:, 0] - one[:, 0] * two[:, 1]
    drawn = placed.usable[listed.corners].all(1) & (area != 0)
    limits = torch.tensor([width - 1, height - 1], device=device)
    low = (-((HALF - points.amin(1)) // SUBPIXELS)).clamp(min=0)
    extent = (torch.minimum((points.amax(1) - HALF) // SUBPIXELS, limits) - low + 1).clamp(min=0)
    counts = torch.where(drawn, extent[:, 0] * extent[:, 1], 0)
    item = torch.repeat_interleave(torch.arange(len(counts), device=device), counts)
    within = torch.arange(len(item), device=device) - (counts.cumsum(0) - counts)[item]
    columns = extent[item, 0].clamp(min=1)
    j, i = low[item, 0] + within % columns, low[item, 1] + within // columns
    values, lets_in = edge_functions(points[item], area[item], j, i)
    inside = lets_in.all(-1)
    item, i, j, values = item[inside], i[inside], j[inside], values[inside]
    scale = placed.inverse_w[listed.corners[item]] / area[item].abs().to(torch.float64)[:, None]
    terms = values.to(torch.float64) * scale
    inverse = terms[:, 0] + terms[:, 1] + terms[:, 2]
    pixel = (listed.face_picture[item] * height + i) * width + j
    nearness = inverse.to(torch.float32)
    seen = nearness.to(torch.float64) > 1.0 / depth.detach().reshape(-1)[pixel].to(torch.float64)
    return _Fragments(item[seen], pixel[seen], (terms / inverse[:, None])[seen], nearness[seen])


def _sample(texture: Mipmaps, which: Tensor, uv: Tensor, level: Tensor) -> Tensor:
    """Look up [S, 4] each in its own texture."""
    texels = uv.new_zeros(len(uv), 4)
    for k in range(len(texture.texels)):
        own = torch.nonzero(which == k)[:, 0]
        chain = texture._replace(texels=texture.texels[k : k + 1])
        found = sample_texture_reference(chain, uv[own][None, None], level[own][None, None])[0, 0]
        texels = texels.index_put((own,), found)
    return texels


def overlay_reference(colour: Tensor, depth: Tensor, scene: LayerScene) -> Overlaid:
    """Return the picture below its layers; see `pain3d.kernels.overlay`."""
    dtype, shape = colour.dtype, depth.shape
    listed = list_ribbons(scene)
    placed = place_vertices(scene, listed, (shape[1], shape[2]))
    found = _rasterize(listed, placed, depth)
    corners, shares = listed.corners[found.item], found.shares.to(dtype)[:, :, None]

    light = light_vertices(scene, listed.picture, listed.vertex)
    at_vertices = torch.cat([light, scene.ribbons.uvs[listed.vertex], placed.across.to(dtype)], 1)  # [P, 11]
    mixed = (at_vertices[corners] * shares).sum(1)
    body, sheen, uv, offset, half_width = mixed[:, :3], mixed[:, 3:6], mixed[:, 6:8], mixed[:, 8:10], mixed[:, 10]
    # A strip of half width h, through a box of one pixel at a distance d from its middle: h + 1/2 - d, at most 2 h.
    distance = (offset * offset).sum(1).sqrt()
    coverage = torch.minimum(half_width + SOFT - distance, 2 * half_width).clamp(0, 1)
    level = face_levels(scene, listed, placed)[found.item].to(dtype)
    texels = _sample(scene.texture, scene.ribbons.face_textures.long()[listed.face[found.item]], uv, level)
    alpha = texels[:, 3] * coverage
    kept = alpha.detach() >= FAINT

    exposure = scene.eyes.exposure[listed.face_picture[found.item]][:, None]
    safe = texels[:, 3:].where(kept[:, None], torch.ones_like(texels[:, 3:]))
    toned = tone_map((texels[:, :3] / safe * body + sheen) * exposure)

    # Of a pixel the nearest first, of equals the lower face: items are in the order of faces, and sorting is stable.
    order = torch.nonzero(kept)[:, 0]
    order = order[torch.argsort(found.inverse_depth[order], descending=True, stable=True)]
    order = order[torch.argsort(found.pixel[order], stable=True)]
    pixel = found.pixel[order]
    rank = torch.arange(len(pixel), device=pixel.device) - torch.searchsorted(pixel, pixel)  # within its pixel
    light_in, left = colour.new_zeros(depth.numel(), 3), colour.new_ones(depth.numel())
    for deep in range(int(rank.max()) + 1 if len(rank) else 0):
        turn = rank == deep
        at, own = pixel[turn], order[turn]
        before = left[at]
        after = before - before * alpha[own]
        after = torch.where(after.detach() < CLOSED, torch.zeros_like(after), after)
        light_in = light_in.index_add(0, at, (before - after)[:, None] * toned[own])
        left = left.index_put((at,), after)
    blended = light_in + left[:, None] * colour.reshape(-1, 3)
    return Overlaid(blended.reshape(colour.shape), (1 - left).reshape(shape))
