"""Knows cast shadows at speed on a CPU: numba, float32 after visibility, a lamp per thread.

The fused `render` calls `shares_on_face` alone, for each of its points. Bits depend on neither batch nor threads.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from pain3d.kernels._compiling import COMPILED, WITHOUT_ARRAYS, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.rasterization.cpu import rasterize_faces, snap_vertices
from pain3d.kernels.shadowing import reference as model
from pain3d.kernels.shadowing.reference import (
    BETWEEN,
    CORNERS,
    FINER,
    LATTICE,
    LIT,
    SPLIT,
    Casting,
    Shadows,
    lattice,
    map_levels,
    tap_level,
    texel_length,
)
from pain3d.kernels.texturing.cpu import mix_rows

F, N, I32 = np.float32, np.uint64, np.int32
ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)
DEPTH, SCALE = model.DEPTH, F(model.BROAD / model.SPREAD)
LEAST_HEIGHT, MARGIN, AWAY, STEEPEST = F(model.LEAST_HEIGHT), F(model.MARGIN), F(model.AWAY), F(model.STEEPEST)
LIFT, GRAZING, TOWARDS = F(model.LIFT), F(model.GRAZING_LIFT), F(model.TOWARDS)
LEAST_VARIANCE, LEAST = F(model.LEAST_VARIANCE), F(1e-30)
BLEED, REST = F(model.BLEED), F(1 / (1 - model.BLEED))
BLEEDING, SCATTERED = tuple(F(share) for share in model.BLEEDING), F(model.SCATTERED / model.SPREAD)
TINY, BROAD_TEXELS = F(1e-20), F(model.BROADLY / model.SPREAD)
EVEN, EVEN_IN_SKIN = F(model.EVEN), F(model.EVEN_IN_SKIN)
REACH = model.REACH
SURELY = F(0.01)  # texels: what rounding may add to a height that was bounded


PLACES = np.stack([share.numpy() for share in lattice(torch.device("cpu"))], 1)  # [15, 3]
OWN = np.array([k for k in range(LATTICE) if k not in CORNERS])  # of a lattice, no vertices


@njit(**WITHOUT_ARRAYS)
def shares_on_face(f, kind, shadow, corners, shares):  # type: ignore[no-untyped-def]
    """Return what a point of face f sees of the lamp, narrow and wide, as `seen_on_faces` of the reference.

    shadow: seen [V · 2], kinds [F] and finer [F · 15 · 2] of the lamp. kind: that of the face.
    """
    if kind == LIT:
        return ONE, ONE
    if kind == BETWEEN:
        return mix_rows(shadow[0], (corners[0] * N(2), corners[1] * N(2), corners[2] * N(2)), shares, 2)
    u, v = shares[1] * F(SPLIT), shares[2] * F(SPLIT)
    i = min(max(I32(u), I32(0)), I32(SPLIT - 1))
    j = min(max(I32(v), I32(0)), I32(SPLIT - 1 - i))
    u, v = u - F(i), v - F(j)
    first = I32(j * (2 * SPLIT + 3 - j) // 2 + i)
    beyond = I32(first + (SPLIT + 1) - j)
    here, t0, t1, t2 = first, ONE - u - v, u, v
    if (u + v > ONE) & (i + j < SPLIT - 1):
        here, t0, t1, t2 = beyond + I32(1), u + v - ONE, ONE - v, ONE - u
    start = N(f) * N(LATTICE * 2)
    rows = start + N(here * 2), start + N(first * 2 + 2), start + N(beyond * 2)
    return mix_rows(shadow[2], rows, (F(t0), F(t1), F(t2)), 2)


@njit(**WITHOUT_ARRAYS)
def to_warp(depth):  # type: ignore[no-untyped-def]
    """Return a and b of a depth: sixteenth powers."""
    a, b = (ONE + depth) * HALF, (ONE - depth) * HALF
    a, b = a * a, b * b
    a, b = a * a, b * b
    a, b = a * a, b * b
    return a * a, b * b


@njit(**WITHOUT_ARRAYS)
def _halve(fine, side, wide, coarse):  # type: ignore[no-untyped-def]
    """Fill coarse [side/2 · side/2 · 4] from fine [side · side · 4], by way of wide [side · side/2 · 4]."""
    half, last = side // 2, side - 1
    for i in range(side):
        for j in range(half):
            at = i * side
            before, behind = (at + max(2 * j - 1, 0)) * 4, (at + min(2 * j + 2, last)) * 4
            one, out = (at + 2 * j) * 4, (i * half + j) * 4
            for c in range(4):
                inner = fine[one + c] + fine[one + 4 + c]
                wide[out + c] = fine[before + c] * F(0.125) + inner * F(0.375) + fine[behind + c] * F(0.125)
    row = half * 4
    for i in range(half):
        before, behind, one, out = max(2 * i - 1, 0) * row, min(2 * i + 2, last) * row, 2 * i * row, i * row
        for c in range(row):
            inner = wide[one + c] + wide[one + row + c]
            coarse[out + c] = wide[before + c] * F(0.125) + inner * F(0.375) + wide[behind + c] * F(0.125)


@njit(**WITHOUT_ARRAYS)
def _halve_nearest(fine, side, coarse):  # type: ignore[no-untyped-def]
    """Fill coarse [side/2 · side/2] with the least of squares of four of fine [side · side]."""
    half = side // 2
    for i in range(half):
        upper, lower, out = 2 * i * side, (2 * i + 1) * side, i * half
        for j in range(half):
            one, two = fine[upper + 2 * j], fine[upper + 2 * j + 1]
            three, four = fine[lower + 2 * j], fine[lower + 2 * j + 1]
            one, three = one if one < two else two, three if three < four else four
            coarse[out + j] = one if one < three else three


@njit(**WITHOUT_ARRAYS)
def _lowest(nearest, side, along, lowest):  # type: ignore[no-untyped-def]
    """Fill lowest [side · side] with the least of all taps of a search around each; `along` is as large."""
    for i in range(side):
        for j in range(side):
            least = ONE
            for k in range(max(j - REACH, 0), min(j + REACH + 1, side)):
                least = min(least, nearest[i * side + k])
            along[i * side + j] = least
    for i in range(side):
        for j in range(side):
            lowest[i * side + j] = ONE
        for k in range(max(i - REACH, 0), min(i + REACH + 1, side)):
            for j in range(side):
                least = along[k * side + j]
                lowest[i * side + j] = least if least < lowest[i * side + j] else lowest[i * side + j]


@njit(**WITHOUT_ARRAYS)
def _fill_reach(points, normals, frame, spread, size, taps, top, reach):  # type: ignore[no-untyped-def]
    """Fill reach [V] of a map. taps: least depths [side · side] of squares of texels, of their surroundings, and side.

    A vertex is left out as soon as the least depth around tells that no tap can stand in its light.
    """
    nearest, lowest, side = taps
    texel, tap = F(size), F(size // side)
    length = ONE / math.sqrt(frame[0, 0] * frame[0, 0] + frame[0, 1] * frame[0, 1] + frame[0, 2] * frame[0, 2])
    for v in range(points.shape[0]):
        reach[v] = -ONE
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        cosine = -(frame[2, 0] * nx + frame[2, 1] * ny + frame[2, 2] * nz) * length * texel
        if cosine <= AWAY or spread < ZERO:
            continue
        x, y, z = points[v, 0], points[v, 1], points[v, 2]
        column = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z + frame[0, 3]
        row = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z + frame[1, 3]
        depth = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z + frame[2, 3]
        steep = max(cosine, STEEPEST)
        across = (frame[0, 0] * nx + frame[0, 1] * ny + frame[0, 2] * nz) * length / steep
        down = (frame[1, 0] * nx + frame[1, 1] * ny + frame[1, 2] * nz) * length / steep
        slope = abs(across) + abs(down)
        slack = slope * (HALF * tap)
        middle_column, middle_row = np.int64(np.floor(column / tap)), np.int64(np.floor(row / tap))
        around = np.int64(REACH)
        if (middle_column >= 0) & (middle_column < side) & (middle_row >= 0) & (middle_row < side):
            highest = (depth - lowest[middle_row * side + middle_column]) * texel
            if highest + slope * (F(REACH) * tap) < LEAST_HEIGHT - SURELY:
                continue
            # Nothing that stands is farther aside than the cone of the lamp is wide at the highest.
            aside = (max(spread * highest, ZERO) + MARGIN + SURELY) / tap
            around = min(np.int64(aside + ONE), np.int64(REACH))
        first_column, first_row = middle_column - around, middle_row - around
        count, total = ZERO, ZERO
        start_row, start_column = max(first_row, np.int64(0)), max(first_column, np.int64(0))
        for i in range(start_row, np.int64(min(first_row + 2 * around + 1, side))):
            below = (F(i) + HALF) * tap - row
            for j in range(start_column, np.int64(min(first_column + 2 * around + 1, side))):
                right = (F(j) + HALF) * tap - column
                height = (depth - nearest[N(i * side + j)]) * texel
                above = height + (across * right + down * below) - slack
                beside = max(abs(right), abs(below)) - HALF * tap
                if (above > LEAST_HEIGHT) & (beside < spread * height + MARGIN):
                    count += ONE
                    total += height
        if count > ZERO:
            width = spread * total / count * SCALE
            reach[v] = min(F(math.log2(max(width, ONE))), top)


@njit(**WITHOUT_ARRAYS)
def _project(points, frame, scale, clip):  # type: ignore[no-untyped-def]
    """Fill clip [V, 4] with what `rasterize` takes: nearly orthographic."""
    for v in range(points.shape[0]):
        x, y, z = np.float64(points[v, 0]), np.float64(points[v, 1]), np.float64(points[v, 2])
        w = DEPTH + (frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z + frame[2, 3])
        column = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z + frame[0, 3]
        row = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z + frame[1, 3]
        clip[v, 0], clip[v, 1], clip[v, 3] = (column * scale - 1.0) * w, (1.0 - row * scale) * w, w


@njit(**WITHOUT_ARRAYS)
def _fill_finest(nearest, depth, flat):  # type: ignore[no-untyped-def]
    """Fill depth [P] from inverse distances, 0 where nothing is, and the finest level, flat [P · 4 …]."""
    for k in range(depth.shape[0]):
        inverse = nearest[k]
        away = (1.0 / inverse if inverse > 0.0 else DEPTH + 1.0) - DEPTH
        away = away if away > -1.0 else -1.0
        depth[k] = F(away if away < 1.0 else 1.0)
    for k in range(depth.shape[0]):
        a, b = to_warp(depth[k])
        at = N(4 * k)
        flat[at], flat[at + N(1)], flat[at + N(2)], flat[at + N(3)] = a, a * a, b, b * b


@njit(**COMPILED)
def _cast(first, last, given, spreads, taps, levels, made):  # type: ignore[no-untyped-def]
    """Write maps first … last - 1."""
    vertices, normals, faces, mesh_index, direction, to_map, size = given
    seen, kinds, finer = made
    count, top = vertices.shape[1], F(levels.shape[0] - 1)
    flat = np.empty((levels[-1, 0] + levels[-1, 1] ** 2) * 4, np.float32)
    reach, widths = np.empty(count, np.float32), np.empty((count, 2), np.float32)
    clip, snapped = np.zeros((count, 4), np.float64), np.empty((count, 2), np.int64)
    inverse_w, usable, areas = np.empty(count), np.empty(count, np.bool_), np.empty(faces.shape[0], np.int64)
    nearest, ids = np.empty((size, size)), np.empty((size, size), np.int32)
    depth, wide = np.empty(size * size, np.float32), np.empty(size * size * 2, np.float32)
    half, fine = np.empty(size * size // 4, np.float32), np.empty(size * size // 16, np.float32)
    coarse, along = np.empty(size * size // 64, np.float32), np.empty(size * size // 16, np.float32)
    lowest = np.empty(size * size // 16, np.float32)
    for s in range(first, last):
        m, frame = mesh_index[s], to_map[s]
        _project(vertices[m], frame.astype(np.float64), 2.0 / size, clip)
        snap_vertices(clip, size, size, snapped, inverse_w, usable)
        rasterize_faces(snapped, inverse_w, usable, faces, True, areas, nearest, ids)
        _fill_finest(nearest.reshape(-1), depth, flat)
        for n in range(levels.shape[0] - 1):
            start, side, end = levels[n, 0], levels[n, 1], levels[n + 1, 0]
            _halve(flat[start * 4 : end * 4], side, wide, flat[end * 4 :])
        _halve_nearest(depth, size, half)
        _halve_nearest(half, size // 2, fine)
        pooled, side = fine, size // 4
        if taps[s] == 8:
            _halve_nearest(fine, side, coarse)
            pooled, side = coarse, side // 2
        _lowest(pooled, side, along, lowest)
        _fill_reach(vertices[m], normals[m], frame, spreads[s], size, (pooled, lowest, side), top, reach)
        surface, looked_up = (vertices[m], normals[m], faces), (frame, flat, levels)
        _fill_seen(surface, direction[s], reach, looked_up, widths, seen[s])
        _fill_finer(surface, direction[s], reach, looked_up, widths, seen[s], kinds[s], finer[s])


@njit(**WITHOUT_ARRAYS)
def _fill_seen(surface, light, reach, looked_up, widths, seen):  # type: ignore[no-untyped-def]
    """Fill widths [V, 2] with the levels that blur as edges and skin do, and seen [V, 2]: 1 where all of it is."""
    points, normals, _ = surface
    frame = looked_up[0]
    squared = frame[0, 0] * frame[0, 0] + frame[0, 1] * frame[0, 1] + frame[0, 2] * frame[0, 2]
    scattered = SCATTERED * SCATTERED * squared
    unwidened = HALF * F(math.log2(ONE + scattered))
    for v in range(points.shape[0]):
        seen[v, 0] = seen[v, 1] = ONE
        widths[v, 0], widths[v, 1] = ZERO, unwidened
        if reach[v] >= ZERO:
            own = TWO ** reach[v]
            widths[v, 0], widths[v, 1] = reach[v], HALF * F(math.log2(own * own + scattered))
            point, normal = (points[v, 0], points[v, 1], points[v, 2]), (normals[v, 0], normals[v, 1], normals[v, 2])
            seen[v, 0], seen[v, 1] = _light_shares(point, normal, light, widths[v, 0], widths[v, 1], looked_up)


@njit(**WITHOUT_ARRAYS)
def _fill_finer(surface, light, reach, looked_up, widths, seen, kinds, finer):  # type: ignore[no-untyped-def]
    """Fill kinds [F], and finer [F, 15, 2] of those faces that are of the last kind."""
    points, normals, faces = surface
    frame = looked_up[0]
    squared = frame[0, 0] * frame[0, 0] + frame[0, 1] * frame[0, 1] + frame[0, 2] * frame[0, 2]
    broad = F(math.log2(BROAD_TEXELS * math.sqrt(squared)))
    for f in range(faces.shape[0]):
        a, b, c = N(faces[f, 0]), N(faces[f, 1]), N(faces[f, 2])
        kinds[f] = LIT
        if max(reach[a], reach[b], reach[c]) < ZERO:
            continue
        kinds[f] = BETWEEN
        narrow = max(seen[a, 0], seen[b, 0], seen[c, 0]) - min(seen[a, 0], seen[b, 0], seen[c, 0])
        wide = max(seen[a, 1], seen[b, 1], seen[c, 1]) - min(seen[a, 1], seen[b, 1], seen[c, 1])
        if not ((narrow > EVEN) | (wide > EVEN_IN_SKIN)) or min(reach[a], reach[b], reach[c]) >= broad:
            continue
        facing = False
        for v in (a, b, c):
            facing |= normals[v, 0] * light[0] + normals[v, 1] * light[1] + normals[v, 2] * light[2] > ZERO
        if not facing:
            continue
        kinds[f] = FINER
        for k in OWN:
            t0, t1, t2 = PLACES[k, 0], PLACES[k, 1], PLACES[k, 2]
            x = t0 * points[a, 0] + t1 * points[b, 0] + t2 * points[c, 0]
            y = t0 * points[a, 1] + t1 * points[b, 1] + t2 * points[c, 1]
            z = t0 * points[a, 2] + t1 * points[b, 2] + t2 * points[c, 2]
            nx = t0 * normals[a, 0] + t1 * normals[b, 0] + t2 * normals[c, 0]
            ny = t0 * normals[a, 1] + t1 * normals[b, 1] + t2 * normals[c, 1]
            nz = t0 * normals[a, 2] + t1 * normals[b, 2] + t2 * normals[c, 2]
            sharp = t0 * widths[a, 0] + t1 * widths[b, 0] + t2 * widths[c, 0]
            soft = t0 * widths[a, 1] + t1 * widths[b, 1] + t2 * widths[c, 1]
            one, two = _light_shares((x, y, z), (nx, ny, nz), light, sharp, soft, looked_up)
            finer[f, k, 0], finer[f, k, 1] = one, two
        for k, v in ((CORNERS[0], a), (CORNERS[1], b), (CORNERS[2], c)):
            finer[f, k, 0], finer[f, k, 1] = seen[v, 0], seen[v, 1]


def cast_shadows_cpu(given: Casting) -> Shadows:
    """`pain3d.kernels.cast_shadows` for CPU tensors."""
    levels = map_levels(given.size)
    count = len(given.direction)
    faces = len(given.faces)
    made = (
        np.empty((count, given.vertices.shape[1], 2), np.float32),
        np.empty((count, faces), np.int32),
        np.zeros((count, faces, LATTICE, 2), np.float32),  # which the system fills when it is read
    )
    taps = 2 ** tap_level(given.spread, texel_length(given.to_map))
    arrays = tuple(
        tensor.contiguous().numpy()
        for tensor in (
            given.vertices, given.normals, given.faces.int(), given.mesh_index.long(), given.direction, given.to_map,
        )
    )  # fmt: skip
    spreads, table = given.spread.contiguous().numpy(), np.array(levels)
    for_each_range(
        count, lambda first, last: _cast(first, last, (*arrays, given.size), spreads, taps.numpy(), table, made)
    )
    return Shadows(*(torch.from_numpy(part) for part in made))


@njit(**WITHOUT_ARRAYS)
def _taps(levels, n, column, row, share):  # type: ignore[no-untyped-def]
    """Return where four texels of level n around a place begin, and their shares of `share`."""
    start, side = levels[n, 0], levels[n, 1]
    scale = F(side) / F(levels[0, 1])
    x = min(max(column * scale - HALF, ZERO), F(side - 1))
    y = min(max(row * scale - HALF, ZERO), F(side - 1))
    left, above = np.int64(x), np.int64(y)
    across, down = x - F(left), y - F(above)
    right, below = min(left + 1, side - 1), min(above + 1, side - 1)
    one, two = N((start + above * side + left) * 4), N((start + above * side + right) * 4)
    three, four = N((start + below * side + left) * 4), N((start + below * side + right) * 4)
    s4 = down * across * share
    s3, s2 = down * share - s4, across * share - s4
    return (one, two, three, four), (share - down * share - s2, s2, s3, s4)


@njit(**WITHOUT_ARRAYS)
def _look_up(flat, levels, column, row, level):  # type: ignore[no-untyped-def]
    """Return four moments of a map at a place, between two levels."""
    top = levels.shape[0] - 1
    level = min(max(level, ZERO), F(top))
    lower = np.int64(level)
    fraction = level - F(lower)
    rows, shares = _taps(levels, lower, column, row, ONE - fraction)
    coarser, further = _taps(levels, min(lower + 1, top), column, row, fraction)
    return mix_rows(flat, rows + coarser, shares + further, 4)


@njit(**WITHOUT_ARRAYS)
def _bound(mean, square, short):  # type: ignore[no-untyped-def]
    """Return Chebyshev's bound on the share that is not nearer than a receiver which lies `short` before the mean."""
    variance = max(square - mean * mean, LEAST_VARIANCE * mean * mean + LEAST)
    short = max(short, ZERO)
    return variance / (variance + short * short)


@njit(**WITHOUT_ARRAYS)
def _lit(flat, levels, column, row, level, a, b):  # type: ignore[no-untyped-def]
    mean_a, square_a, mean_b, square_b = _look_up(flat, levels, column, row, level)
    bound = min(_bound(mean_a, square_a, a - mean_a), _bound(mean_b, square_b, mean_b - b))
    return max((bound - BLEED) * REST, ZERO)


@njit(**WITHOUT_ARRAYS)
def _light_shares(point, normal, light, sharp, soft, looked_up):  # type: ignore[no-untyped-def]
    """Return what a point sees of the lamp, narrow and wide, as `seen_of_lamp` of the reference."""
    frame, flat, levels = looked_up
    x, y, z = point
    nx, ny, nz = normal
    size = F(levels[0, 1])
    squared = frame[0, 0] * frame[0, 0] + frame[0, 1] * frame[0, 1] + frame[0, 2] * frame[0, 2]
    per_metre = math.sqrt(squared)
    squared = nx * nx + ny * ny + nz * nz
    scale = ONE / math.sqrt(max(squared, TINY))
    cosine = (nx * light[0] + ny * light[1] + nz * light[2]) * scale
    cosine = min(max(cosine, -ONE), ONE)
    lift = scale * (LIFT + GRAZING * (ONE - cosine)) / per_metre
    x, y, z = x + nx * lift, y + ny * lift, z + nz * lift
    column = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z + frame[0, 3]
    row = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z + frame[1, 3]
    depth = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z + frame[2, 3] - TOWARDS / size
    if not ((column >= ZERO) & (column <= size) & (row >= ZERO) & (row <= size) & (depth < ONE)):
        return ONE, ONE
    a, b = to_warp(max(depth, -ONE))
    return _lit(flat, levels, column, row, sharp, a, b), _lit(flat, levels, column, row, soft, a, b)
