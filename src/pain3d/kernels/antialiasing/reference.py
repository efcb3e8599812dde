"""Knows where a silhouette passes between two pixel centres, and how their colours mix there, in plain torch.

For each pair of neighbouring pixels that see different faces, a walk starts at the centre of the nearer pixel and goes
towards the other, from face to face across their shared edges, until it meets an edge with nothing behind it that faces
the same way. How far it came, t in pixels, says how much of the nearer pixel the surface covers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels.rasterization.reference import HALF, SUBPIXELS, doubled_areas, screen_positions

MAX_STEPS = 32  # faces crossed within one pixel: one to three at 2 px a face, but slivers at a limb take many more


def face_adjacency_reference(faces: Tensor) -> Tensor:
    """Return [F, 3] int32: the face across edge e (corner e to corner e + 1), -1 where not exactly two faces meet."""
    corners, count = faces.long(), len(faces)
    if count == 0:
        return torch.empty(0, 3, dtype=torch.int32, device=faces.device)
    start, end = corners.reshape(-1), corners.roll(-1, 1).reshape(-1)
    width = int(corners.max()) + 1
    undirected = torch.minimum(start, end) * width + torch.maximum(start, end)
    order = torch.argsort(undirected, stable=True)
    _, sizes = torch.unique_consecutive(undirected[order], return_counts=True)
    firsts = (sizes.cumsum(0) - sizes)[sizes == 2]
    one, two = order[firsts], order[firsts + 1]
    opposite = start[one] != start[two]  # two faces that run along an edge the same way are not one surface
    one, two = one[opposite], two[opposite]
    adjacent = torch.full((count * 3,), -1, dtype=torch.int32, device=faces.device)
    adjacent[one], adjacent[two] = (two // 3).to(torch.int32), (one // 3).to(torch.int32)
    return adjacent.reshape(count, 3)


def antialias_reference(
    colour: Tensor,  # [B, H, W, C]
    face_ids: Tensor,  # [B, H, W] int32
    depth: Tensor,  # [B, H, W]
    vertices_clip: Tensor,  # [B, V, 4]
    faces: Tensor,  # [F, 3] int
    adjacent_faces: Tensor,  # [F, 3] int32
) -> Tensor:
    """Return [B, H, W, C]; see `pain3d.kernels.antialias`."""
    _, height, width, _ = colour.shape
    if len(faces) == 0 or colour.numel() == 0:
        return colour.clone()
    position, snapped, usable = screen_positions(vertices_clip, (height, width))
    area = doubled_areas(snapped, usable, faces)
    screen = snapped + (position - position.detach())  # value of the snapped, derivative of the unsnapped
    mesh = (screen, snapped, area, faces.long(), adjacent_faces.long())
    # Positive: the first of the pair (left, upper) takes this much of the second; negative: the other way round.
    across = _pair_weights(face_ids, depth, mesh, 0).to(colour.dtype)  # [B, H, W - 1]
    down = _pair_weights(face_ids, depth, mesh, 1).to(colour.dtype)  # [B, H - 1, W]
    pad = torch.nn.functional.pad
    left, right = pad((-across).clamp(min=0), (1, 0)), pad(across.clamp(min=0), (0, 1))
    up, below = pad((-down).clamp(min=0), (0, 0, 1, 0)), pad(down.clamp(min=0), (0, 0, 0, 1))
    total = left + right + up + below
    share = 1 / total.clamp(min=1)  # never more than the whole pixel
    from_left, from_right = pad(colour[:, :, :-1], (0, 0, 1, 0)), pad(colour[:, :, 1:], (0, 0, 0, 1))
    from_up, from_below = pad(colour[:, :-1], (0, 0, 0, 0, 1, 0)), pad(colour[:, 1:], (0, 0, 0, 0, 0, 1))
    mixed = colour * (1 - total * share)[..., None]
    for weight, neighbour in ((left, from_left), (right, from_right), (up, from_up), (below, from_below)):
        mixed = mixed + (weight * share)[..., None] * neighbour
    return torch.where((total > 0)[..., None], mixed, colour)


def _pair_weights(
    face_ids: Tensor, depth: Tensor, mesh: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], axis: int
) -> Tensor:
    """Signed weights of all pairs of pixels along one axis (0: left and right, 1: upper and lower)."""
    dim = 2 - axis
    length = face_ids.shape[dim] - 1
    first_id, second_id = (face_ids.narrow(dim, at, max(length, 0)).long() for at in (0, min(length, 1)))
    first_depth, second_depth = (depth.narrow(dim, at, max(length, 0)) for at in (0, min(length, 1)))
    pairs = torch.nonzero(first_id != second_id, as_tuple=True)
    weights = torch.zeros(first_id.shape, dtype=torch.float64, device=face_ids.device)
    a, b = first_id[pairs], second_id[pairs]
    neighbours = (mesh[4][a.clamp(min=0)] == b[:, None]).any(-1) & (a >= 0) & (b >= 0)  # the surface goes on
    nearer, equal = first_depth[pairs] < second_depth[pairs], first_depth[pairs] == second_depth[pairs]
    first_in_front = nearer | (equal & (a < b))
    image, i, j = pairs
    step = (~first_in_front).long()
    centre = torch.stack([j + step * (axis == 0), i + step * (axis == 1)], -1) * SUBPIXELS + HALF
    travelled = _walk(
        torch.where(first_in_front, a, b),
        torch.where(first_in_front, b, a),
        image,
        centre,
        torch.where(first_in_front, 1, -1),
        mesh,
        axis,
    )
    front_takes = 0.5 - travelled  # positive: the front pixel takes from the other; negative: gives to it
    signed = torch.where(first_in_front, front_takes, -front_takes)
    return weights.index_put(pairs, torch.where((travelled <= 1) & ~neighbours, signed, 0.0))


def _walk(
    face: Tensor,  # [P] the nearer pixel's face
    other: Tensor,  # [P] the other pixel's
    image: Tensor,  # [P]
    centre: Tensor,  # [P, 2] of the nearer pixel, 1/256 px
    direction: Tensor,  # [P] +1 or -1 along the axis
    mesh: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    axis: int,
) -> Tensor:
    """Return [P] float64: pixels to the silhouette, 2 where the walk meets none within one pixel."""
    screen, snapped, area, faces, adjacent = mesh
    travelled = torch.full(face.shape, 2.0, dtype=torch.float64, device=face.device)
    walking = torch.arange(len(face), device=face.device)
    along, off = axis, 1 - axis
    for _ in range(MAX_STEPS):
        f, b, line = face[walking], image[walking], centre[walking, off]
        sign = torch.where(area[b, f] > 0, 1, -1) * direction[walking] * (1 if axis == 0 else -1)
        leaving, edge = torch.zeros_like(f, dtype=torch.bool), torch.zeros_like(f)
        for e in range(3):
            begin = snapped[b, faces[f, e], off]
            end = snapped[b, faces[f, (e + 1) % 3], off]
            # A line meets a triangle's outline in one edge that runs up and one that runs down: one in, one out.
            crossed = ((begin <= line) != (end <= line)) & ((end - begin) * sign < 0)
            leaving, edge = leaving | crossed, torch.where(crossed, e, edge)
        walking, f, b, edge, line = walking[leaving], f[leaving], b[leaving], edge[leaving], line[leaving]
        begin, end = screen[b, faces[f, edge]], screen[b, faces[f, (edge + 1) % 3]]
        slope = ((line - begin[:, off]) * (end[:, along] - begin[:, along])) / (end[:, off] - begin[:, off])
        distance = (begin[:, along] + slope - centre[walking, along]) * direction[walking] / SUBPIXELS
        beyond = adjacent[f, edge]
        silhouette = (beyond < 0) | (area[b, beyond].sign() != area[b, f].sign())
        one, two = snapped[b, faces[f, edge]], snapped[b, faces[f, (edge + 1) % 3]]
        wide, tall = (two - one).abs().unbind(-1)
        # A steep silhouette is the business of pairs along a row, a shallow one of those along a column: never both.
        found = silhouette & (distance <= 1) & (tall >= wide if axis == 0 else wide > tall)
        travelled = travelled.index_put((walking[found],), distance[found].clamp(min=0))
        onward = ~silhouette & (distance.detach() <= 1) & (beyond != other[walking])
        walking = walking[onward]
        face = face.index_put((walking,), beyond[onward])
        if len(walking) == 0:
            break
    return travelled
