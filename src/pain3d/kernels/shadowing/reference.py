"""Knows shadow maps that are filtered beforehand: how they are made, and what a point sees of a lamp. Plain torch.

The formulas stand in this room's README; the constants below carry their reasons and are shared by all backends.
Longer than others, because a map, its levels, what points see of it and the lattices between are one chain of formulas.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._described import described
from pain3d.kernels._shapes import INDICES
from pain3d.kernels.rasterization.reference import rasterize_reference

CONSTANT = (torch.float32,)  # what is no function of anything as far as gradients go, and never float64
COARSEST = 8  # texels a side of the last level
DEPTH = 4.0  # of the middle of a map, in its half sides times two: `rasterize` interpolates 1 / w, here almost linear
WARP = 16  # the power that depths are raised to; more separates layers better, and leaves fewer digits to each
# Of a mean square, below which a variance is rounding: float32 has 6e-8, and a mean of means some of them.
LEAST_VARIANCE = 4e-6
BLEED = 0.12  # what Chebyshev's bound may leave of the light where layers lie behind each other, taken off
# Texels: a receiver is lifted along its normal, more where light grazes it: facets of 4 mm shade each other there.
LIFT, GRAZING_LIFT, TOWARDS = 1.0, 2.0, 1.0
SPREAD = 0.645  # texels of its own level: standard deviation of what a level and the bilinear look-up average
# Standard deviation over the radius of a disc; half, and what `BLEED` takes off the edge's dark end makes up.
BROAD = 0.7
# Search for what stands in the light: taps to each side, and what counts as standing there, in texels above the plane.
REACH, LEAST_HEIGHT, MARGIN = 3, 1.5, 4.0
FARTHEST = 0.2  # metres between what casts a shadow and what it falls on, for the width of the search
AWAY, STEEPEST = -0.4, 0.3  # cosines: from where on no light arrives in any colour; of the steepest tangent plane
# Light that entered beside a shadow leaves inside it. Standard deviation on the skin, metres, of the Gaussians that are
# wider than a texel, 1.4 and 2.7 mm, and their share in red, green and blue (d'Eon et al. 2007, table of six for skin).
SCATTERED, BLEEDING = 0.0016, (0.44, 0.06, 0.03)


# What vertices see is what lies between them, and nothing in between is looked up, where three differ by no more than
# the first, and through the skin, where a thin shadow between them would show, by no more than the second; where the
# edge's standard deviation is above the third, metres: faces are 3 to 4 mm wide; and where no vertex faces the lamp.
EVEN, EVEN_IN_SKIN, BROADLY = 0.03, 0.2, 0.004
# Elsewhere a lattice of points on the face looks up, parts to a side: 1 mm apart, as texels are.
SPLIT = 4
LATTICE = (SPLIT + 1) * (SPLIT + 2) // 2
CORNERS = (0, SPLIT, LATTICE - 1)  # which of them are the face's own
MAPS_AT_ONCE = 32  # whose lattices are looked up together: some 25 MB each for as long as it takes
LIT, BETWEEN, FINER = 0, 1, 2  # `Shadows.kinds`


class Shadows(NamedTuple):
    """What S lamps give to a mesh each, past the mesh itself.

    Attributes:
        seen: [S, V, 2] what each vertex sees of the lamp, 0 to 1, and the same through the skin around it.
        kinds: [S, F] how points of a face see the lamp: 0 freely, 1 as lies between its vertices, 2 between the points
            of its lattice.
        finer: [S, F, 15, 2] as `seen`, of a face's lattice (`lattice`); 0 where the kind is not 2.
    """

    seen: Annotated[Tensor | None, "S V 2", CONSTANT] = None
    kinds: Annotated[Tensor | None, "S F", INDICES] = None
    finer: Annotated[Tensor | None, f"S F {LATTICE} 2", CONSTANT] = None

    def __repr__(self) -> str:
        """Shapes and dtypes."""
        return described(self)


class Maps(NamedTuple):
    """S shadow maps, each of one mesh under one lamp.

    Attributes:
        moments: [S, L, 4] the levels of each map one after the other, the finest first: mean of a, a², b, b², where
            a = ((1 + d) / 2)¹⁶ and b = ((1 - d) / 2)¹⁶ of the depth d from the lamp.
        to_map: [S, 3, 4] world to column and row, in texels of the finest level, and depth d, -1 to 1.
        size: Texels a side of the finest level.
        reach: [S, V] how wide a shadow's edge is at each vertex, as the level that blurs so; -1 where there is none.
    """

    moments: Tensor
    to_map: Tensor
    size: int
    reach: Tensor


class Casting(NamedTuple):
    """What `cast_shadows` reads, checked; float32."""

    vertices: Tensor  # [M, V, 3]
    normals: Tensor  # [M, V, 3]
    faces: Tensor  # [F, 3]
    mesh_index: Tensor  # [S]
    direction: Tensor  # [S, 3]
    spread: Tensor  # [S] tangent of half the angle under which a lamp is seen
    to_map: Tensor  # [S, 3, 4]
    size: int


def map_levels(size: int) -> list[tuple[int, int]]:
    """Return (offset, side) of each level of a map, in texels."""
    levels, offset = [], 0
    while size >= COARSEST:
        levels.append((offset, size))
        offset, size = offset + size * size, size // 2
    return levels


def map_frames(vertices: Tensor, focus: Tensor | None, mesh_index: Tensor, direction: Tensor, size: int) -> Tensor:
    """Return to_map [S, 3, 4]: a square seen from the lamp, just around the vertices of the focus.

    Args:
        vertices: [M, V, 3].
        focus: [K] indices of vertices; None is all.
        mesh_index: [S].
        direction: [S, 3] unit vectors to the lamps.
        size: Texels a side.
    """
    around = vertices if focus is None else vertices.index_select(1, focus)
    upright = torch.zeros_like(direction)
    steep = direction[:, 1].abs() > 0.9
    upright[:, 1] = steep.logical_not().to(direction.dtype)
    upright[:, 2] = steep.to(direction.dtype)
    right = torch.linalg.cross(upright, direction)
    right = right / right.square().sum(-1, keepdim=True).clamp(min=1e-20).sqrt()
    frame = torch.stack([right, torch.linalg.cross(direction, right), direction], 1)  # [S, 3, 3]
    # By sums of products: a matrix product of a library rounds as the batch has it.
    x, y, z = around.index_select(0, mesh_index)[..., None].unbind(2)  # [S, K, 1]
    one, two, three = frame.transpose(1, 2)[:, :, None].unbind(1)  # [S, 1, 3]
    seen = x * one + y * two + z * three
    low, high = seen.amin(1), seen.amax(1)
    half = ((high - low)[:, :2].amax(-1) * (0.5 * 1.06)).clamp(min=1e-6)[:, None]
    middle = (low + high) / 2
    scale = torch.cat([0.5 * size / half, -0.5 * size / half, -0.5 / half], 1)
    shift = torch.cat([torch.full_like(half, 0.5 * size)] * 2 + [torch.zeros_like(half)], 1) - scale * middle
    return torch.cat([frame * scale[..., None], shift[..., None]], 2)


def texel_length(to_map: Tensor) -> Tensor:
    """Return the side of a texel [S], metres."""
    return 1 / to_map[:, 0, :3].square().sum(-1).sqrt()


def on_map(to_map: Tensor, points: Tensor) -> Tensor:
    """Return column, row and depth [..., 3] of points [..., 3], by one map [..., 3, 4] each."""
    x, y, z = (points[..., k, None] for k in range(3))
    return to_map[..., 0] * x + to_map[..., 1] * y + to_map[..., 2] * z + to_map[..., 3]


def warped(depth: Tensor) -> Tensor:
    """Return a and b [..., 2] of depths [...]: see `Shadows`."""
    both = torch.stack([1 + depth, 1 - depth], -1) * 0.5
    for _ in range(WARP.bit_length() - 1):
        both = both * both
    return both


def cast_shadows_reference(given: Casting) -> Shadows:
    """Return what is seen of lamps; see `pain3d.kernels.cast_shadows`."""
    return seen_through(given, maps_reference(given))


def maps_reference(given: Casting) -> Maps:
    """Return shadow maps."""
    size, to_map = given.size, given.to_map
    coordinates = on_map(to_map.double()[:, None], given.vertices.index_select(0, given.mesh_index).double())
    w = DEPTH + coordinates[..., 2]
    across, up = coordinates[..., 0] * (2 / size) - 1, 1 - coordinates[..., 1] * (2 / size)
    clip = torch.stack([across * w, up * w, torch.zeros_like(w), w], -1)
    return filtered(given, rasterize_reference(clip, given.faces, (size, size), True).depth)


def filtered(given: Casting, distance: Tensor) -> Maps:
    """Return the maps of what `rasterize` says: distances [S, size, size], `DEPTH` more than depths."""
    depth = (distance - DEPTH).clamp(-1, 1).float()
    powers = warped(depth)
    level = torch.stack([powers[..., 0], powers[..., 0] ** 2, powers[..., 1], powers[..., 1] ** 2], -1)
    levels = []
    for _, side in map_levels(given.size):
        if side < level.shape[1]:
            level = halved(halved(level, 2), 1)
        levels.append(level.flatten(1, 2))
    return Maps(torch.cat(levels, 1), given.to_map, given.size, vertex_reach(given, depth))


def seen_through(given: Casting, maps: Maps) -> Shadows:
    """Return what vertices and lattices see of the lamps: all of them are looked up, and what nobody reads taken out.

    Nobody waits for which they are.
    """
    mesh = given.mesh_index.long()
    points, normals = given.vertices.index_select(0, mesh), given.normals.index_select(0, mesh)
    levels = blurring(maps.reach, maps.to_map)
    touched = (maps.reach >= 0)[..., None]
    seen = torch.where(touched, seen_of_lamp(maps, points, normals, levels, given.direction), 1.0)
    kinds = kinds_of(given, maps, seen)
    finer = []
    for first in range(0, len(mesh), MAPS_AT_ONCE):
        part = slice(first, first + MAPS_AT_ONCE)
        here = Maps(maps.moments[part], maps.to_map[part], maps.size, maps.reach[part])
        at = [on_lattice(rows[part], given.faces) for rows in (points, normals, levels)]
        looked_up = seen_of_lamp(here, at[0], at[1], at[2], given.direction[part])
        looked_up = looked_up.view(len(looked_up), len(given.faces), LATTICE, 2)
        for corner, place in enumerate(CORNERS):
            looked_up[:, :, place] = seen[part].index_select(1, given.faces[:, corner].long())
        finer.append(torch.where((kinds[part] == FINER)[..., None, None], looked_up, 0.0))
    return Shadows(seen, kinds, torch.cat(finer) if finer else seen.new_zeros(0, len(given.faces), LATTICE, 2))


def kinds_of(given: Casting, maps: Maps, seen: Tensor) -> Tensor:
    """Return `Shadows.kinds`."""
    faces = given.faces.long()
    reach, shares = maps.reach[:, faces], seen[:, faces]  # [S, F, 3], [S, F, 3, 2]
    normals = given.normals.index_select(0, given.mesh_index)
    facing = (normals * given.direction[:, None]).sum(-1)[:, faces].amax(-1) > 0
    narrow, wide = (shares.amax(2) - shares.amin(2)).unbind(-1)
    broad = torch.log2(BROADLY / (SPREAD * texel_length(maps.to_map)))
    uneven = ((narrow > EVEN) | (wide > EVEN_IN_SKIN)) & (reach.amin(-1) < broad[:, None]) & facing
    return torch.where(reach.amax(-1) < 0, LIT, torch.where(uneven, FINER, BETWEEN)).int()


def lattice(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the share [15] of each vertex of a face in the points of its lattice, row by row away from the first two.

    Point (i, j), i parts towards the second vertex and j towards the third, is number j (2 SPLIT + 3 - j) / 2 + i.
    """
    rows = range(SPLIT + 1)  # from no table of the host's: a device would wait for it
    i = torch.cat([torch.arange(SPLIT + 1 - j, device=device, dtype=torch.float32) for j in rows])
    j = torch.cat([torch.full((SPLIT + 1 - j,), float(j), device=device) for j in rows])
    return (SPLIT - i - j) / SPLIT, i / SPLIT, j / SPLIT


def on_lattice(rows: Tensor, faces: Tensor) -> Tensor:
    """Return numbers of vertices, [S, V, N], on the lattices of all faces, [S, F · 15, N]."""
    one, two, three = (rows.index_select(1, faces[:, k].long())[:, :, None] for k in range(3))
    t0, t1, t2 = (shares[:, None] for shares in lattice(rows.device))
    return (t0 * one + t1 * two + t2 * three).flatten(1, 2)


def blurring(reach: Tensor, to_map: Tensor) -> Tensor:
    """Return the levels [S, V, 2] that blur as much as edges are wide, and as light in skin spreads them."""
    narrow = reach.clamp(min=0)
    scattered = SCATTERED / SPREAD / texel_length(to_map)[:, None]
    return torch.stack([narrow, 0.5 * torch.log2(4**narrow + scattered * scattered)], -1)


def halved(level: Tensor, dim: int) -> Tensor:
    """Return every second weighted mean of four along a dimension, 1 3 3 1, the ends repeated."""
    count = level.shape[dim]
    at = torch.arange(0, count, 2, device=level.device)
    first, last = level.index_select(dim, (at - 1).clamp(min=0)), level.index_select(dim, (at + 2).clamp(max=count - 1))
    inner = level.index_select(dim, at) + level.index_select(dim, at + 1)
    return first * 0.125 + inner * 0.375 + last * 0.125


def tap_level(spread: Tensor, texel: Tensor) -> Tensor:
    """Return the level [S] of whose nearest depths the search takes a tap each: 2 or 3."""
    return torch.where(FARTHEST * spread / texel + MARGIN > REACH * 4.0, 3, 2)


def vertex_reach(given: Casting, depth: Tensor) -> Tensor:
    """Return `Shadows.reach` [S, V] from depths [S, size, size]: mean height of what may stand in the light there."""
    texel = texel_length(given.to_map)
    nearest = -torch.nn.functional.max_pool2d(-depth[:, None], 4)
    coarser = -torch.nn.functional.max_pool2d(-nearest, 2)
    fine = _reach_by_taps(given, nearest[:, 0], 4.0, texel)
    coarse = _reach_by_taps(given, coarser[:, 0], 8.0, texel)
    return torch.where((tap_level(given.spread, texel) == 2)[:, None], fine, coarse)


def _reach_by_taps(given: Casting, nearest: Tensor, tap: float, texel: Tensor) -> Tensor:
    mesh, size = given.mesh_index, given.size
    at = on_map(given.to_map[:, None], given.vertices.index_select(0, mesh))  # [S, V, 3]
    column, row, depth = at.unbind(-1)
    normals = given.normals.index_select(0, mesh)
    axes = given.to_map[:, :, :3] * torch.stack([texel, texel, texel * size], 1)[..., None]  # unit, [S, 3, 3]
    tilt = (normals[:, :, None] * axes[:, None]).sum(-1)  # normal along columns, rows, and away from the lamp
    cosine = -tilt[..., 2]
    steep = cosine.clamp(min=STEEPEST)
    across, down = tilt[..., 0] / steep, tilt[..., 1] / steep  # depth of the tangent plane per texel
    slack = (across.abs() + down.abs()) * (0.5 * tap)
    spread, side = given.spread[:, None], size // int(tap)
    first_column, first_row = (column / tap).floor() - REACH, (row / tap).floor() - REACH
    count, total = torch.zeros_like(depth), torch.zeros_like(depth)
    for i in range(2 * REACH + 1):
        for j in range(2 * REACH + 1):
            x, y = first_column + j, first_row + i
            inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
            place = y.long().clamp(0, side - 1) * side + x.long().clamp(0, side - 1)
            there = nearest.flatten(1).gather(1, place)
            right, below = (x + 0.5) * tap - column, (y + 0.5) * tap - row
            height = (depth - there) * size
            above = height + (across * right + down * below) - slack
            beside = torch.maximum(right.abs(), below.abs()) - 0.5 * tap
            stands = inside & (above > LEAST_HEIGHT) & (beside < spread * height + MARGIN)
            count = count + stands
            total = total + torch.where(stands, height, 0.0)
    width = spread * total / count.clamp(min=1)
    top = float(len(map_levels(size)) - 1)
    level = torch.log2((width * (BROAD / SPREAD)).clamp(min=1.0)).clamp(max=top)
    return torch.where((count > 0) & (cosine > AWAY) & (spread >= 0), level, -1.0)


def lit_shares(seen: Tensor, scatter: Tensor) -> Tensor:
    """Return the share of the key light that reaches points, [..., 3] for red, green and blue.

    Args:
        seen: [..., 2] of the lamp, as `Shadows.seen`.
        scatter: [...] as in `shade`.

    Gradients: none; a shadow counts as painted on.
    """
    with torch.no_grad():
        narrow, wide = seen[..., :1], seen[..., 1:]
        return narrow + scatter[..., None] * scatter.new_tensor(BLEEDING) * (wide - narrow)


def seen_on_faces(shadows: Shadows, index: Tensor, faces: Tensor, ids: Tensor, barycentrics: Tensor) -> Tensor:
    """Return what points on faces see of a lamp, [B, ..., 2] as `Shadows.seen`.

    Args:
        shadows: Of S lamps.
        index: [B] which of them.
        faces: [F, 3].
        ids: [B, ...] the face of each point; -1 sees all.
        barycentrics: [B, ..., 3].

    Gradients: none.
    """
    seen, kinds, finer = shadows
    assert seen is not None and kinds is not None and finer is not None
    which = index.long().view(-1, *[1] * (ids.dim() - 1)).expand_as(ids)
    dtype, face = barycentrics.dtype, ids.long().clamp(min=0)
    with torch.no_grad():
        kind = torch.where(ids < 0, LIT, kinds[which, face])[..., None]
        corners = faces[face].long()
        between = (seen[which[..., None], corners].to(dtype) * barycentrics[..., None]).sum(-2)
        # Between the three points of the lattice around: those of a part like the face, or of one the other way round.
        u, v = barycentrics[..., 1] * SPLIT, barycentrics[..., 2] * SPLIT
        i = u.long().clamp(0, SPLIT - 1)
        j = v.long().clamp(min=0).minimum(SPLIT - 1 - i)
        u, v = u - i, v - j
        turned = (u + v > 1) & (i + j < SPLIT - 1)
        first = j * (2 * SPLIT + 3 - j) // 2 + i
        beyond = first + (SPLIT + 1) - j
        nearest = torch.where(turned, beyond + 1, first)
        shares = torch.where(turned, u + v - 1, 1 - u - v), torch.where(turned, 1 - v, u), torch.where(turned, 1 - u, v)
        places = torch.stack([nearest, first + 1, beyond], -1)
        around = finer[which[..., None], face[..., None], places].to(dtype)
        fine = (around * torch.stack(shares, -1)[..., None]).sum(-2)
        return torch.where(kind == FINER, fine, torch.where(kind == BETWEEN, between, 1.0))


def seen_of_lamp(maps: Maps, points: Tensor, normals: Tensor, levels: Tensor, light: Tensor) -> Tensor:
    """Return what points see of a lamp, [S, P, 2] as `Shadows.seen`, each by its own map.

    Args:
        maps: Of S lamps.
        points: [S, P, 3].
        normals: [S, P, 3], of any length.
        levels: [S, P, 2] of `blurring`.
        light: [S, 3] unit vectors to the lamps.
    """
    frames, size = maps.to_map, maps.size
    texel = texel_length(frames)[:, None]
    normals = normals / normals.square().sum(-1, keepdim=True).clamp(min=1e-20).sqrt()
    cosine = (normals * light[:, None]).sum(-1).clamp(-1, 1)
    lifted = points + normals * (texel * (LIFT + GRAZING_LIFT * (1 - cosine)))[..., None]
    column, row, depth = on_map(frames[:, None], lifted).unbind(-1)
    depth = depth - TOWARDS / size
    inside = (column >= 0) & (column <= size) & (row >= 0) & (row <= size) & (depth < 1)
    column, row = torch.where(inside, column, 0.0), torch.where(inside, row, 0.0)
    a, b = warped(depth.clamp(-1, 1)).unbind(-1)
    sides = map_levels(size)
    seen = [_lit(_looked_up(maps.moments, column, row, level, sides), a, b) for level in levels.unbind(-1)]
    return torch.where(inside[..., None], torch.stack(seen, -1), 1.0)


def _looked_up(moments: Tensor, column: Tensor, row: Tensor, level: Tensor, levels: list[tuple[int, int]]) -> Tensor:
    level = level.nan_to_num(0).clamp(0, len(levels) - 1)  # a place that is no number asks the finest
    lower = level.floor()
    fraction = (level - lower)[..., None]
    upper = (lower + 1).clamp(max=len(levels) - 1)
    first, second = (_bilinear(moments, column, row, at.long(), levels[0][1]) for at in (lower, upper))
    return first + fraction * (second - first)


def _bilinear(moments: Tensor, column: Tensor, row: Tensor, level: Tensor, size: int) -> Tensor:
    side = torch.full_like(level, size) >> level  # no table: a device would wait for it
    offset = (size * size - side * side) // 3 * 4
    scale = side / size
    x, y = ((at * scale - 0.5).clamp(min=0).minimum(side - 1.0) for at in (column, row))
    left, top = x.floor(), y.floor()
    across, down = (x - left)[..., None], (y - top)[..., None]
    left, top = left.long(), top.long()
    right, below = (left + 1).minimum(side - 1), (top + 1).minimum(side - 1)
    who = torch.arange(len(moments), device=moments.device)[:, None]
    one, two = moments[who, offset + top * side + left], moments[who, offset + top * side + right]
    three, four = moments[who, offset + below * side + left], moments[who, offset + below * side + right]
    upper = one + across * (two - one)
    return upper + down * (three + across * (four - three) - upper)


def _lit(moments: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return Chebyshev's bound on the share of depths that are not nearer: of the two warps the smaller."""
    shares = []
    for k, short in ((0, a - moments[..., 0]), (2, moments[..., 2] - b)):
        mean, square = moments[..., k], moments[..., k + 1]
        variance = (square - mean * mean).maximum(LEAST_VARIANCE * mean * mean + 1e-30)
        short = short.clamp(min=0)
        shares.append(variance / (variance + short * short))
    return ((torch.minimum(*shares) - BLEED) * (1 / (1 - BLEED))).clamp(min=0)
