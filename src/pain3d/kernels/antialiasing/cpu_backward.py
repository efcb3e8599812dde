"""Knows the gradient of the silhouettes of the fused `render` on a CPU: numba, one pixel at a time.

Two parts: how mixed colours hand their gradient on (to the colours, and to the weights), and how a weight follows the
silhouette (`_follow_silhouette` alone: the visibility gradient).
"""

from __future__ import annotations

import numpy as np

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.antialiasing.cpu import pair_weight, walk_of_pair
from pain3d.kernels.rasterization.reference import SUBPIXELS

F = np.float32
ZERO, ONE = F(0), F(1)


@njit(**WITHOUT_ARRAYS)
def weigh_pairs(marks, surface, weights):  # type: ignore[no-untyped-def]
    """Fill weights [2, H, W] with those of the pairs of each pixel with the right one and with the one below.

    As `pair_weight` gives them, 0 where no pair is marked. marks [H, W] leaves with 1 where a pixel has a pair that
    mixes, else 0.
    """
    ids, nearest, snapped, areas, faces, adjacent = surface
    height, width = marks.shape
    weights[:] = ZERO
    for i in range(height):
        for j in range(width):
            mark = marks[i, j]
            if mark & 1:
                weights[0, i, j] = pair_weight(i, j, 0, ids, nearest, snapped, areas, faces, adjacent)
            if mark & 2:
                weights[1, i, j] = pair_weight(i, j, 1, ids, nearest, snapped, areas, faces, adjacent)
    for i in range(height):
        for j in range(width):
            if marks[i, j]:
                mixes = weights[0, i, j] != ZERO or weights[1, i, j] != ZERO
                mixes |= j > 0 and weights[0, i, j - 1] != ZERO
                mixes |= i > 0 and weights[1, i - 1, j] != ZERO
                marks[i, j] = np.uint8(mixes)


@njit(**WITHOUT_ARRAYS)
def takes_of(i, j, weights):  # type: ignore[no-untyped-def]
    """Return how much pixel (i, j) takes from left, right, above and below, before the sum is limited to 1."""
    left = max(-weights[0, i, j - 1], ZERO) if j > 0 else ZERO
    above = max(-weights[1, i - 1, j], ZERO) if i > 0 else ZERO
    return left, max(weights[0, i, j], ZERO), above, max(weights[1, i, j], ZERO)


@njit(**WITHOUT_ARRAYS)
def mix_backward(i, j, takes, given, light, surface, share_light, gathered):  # type: ignore[no-untyped-def]
    """Hand the gradient `given` (red, green, blue, coverage) of a mixed pixel on.

    Added to share_light [H, W, 3] for it and for those it takes from, and to the screen positions in gathered [V, 16]
    (lanes 10 and 11, per 1/256 px) where a weight moves with a silhouette. `takes` are those of `takes_of`.
    """
    ids = surface[0]
    total = takes[0] + takes[1] + takes[2] + takes[3]
    share = ONE / total if total > ONE else ONE
    keep = ONE - total * share
    here = ONE if ids[i, j] >= 0 else ZERO
    for c in range(3):
        share_light[i, j, c] += keep * given[c]
    rises, mean = (ZERO, ZERO, ZERO, ZERO), ZERO
    for side in range(4):
        rise = ZERO
        if takes[side] > ZERO:
            y, x = i + (side == 3) - (side == 2), j + (side == 1) - (side == 0)
            taken = takes[side] * share
            there = ONE if ids[y, x] >= 0 else ZERO
            rise = given[3] * (there - here)
            for c in range(3):
                share_light[y, x, c] += taken * given[c]
                rise += given[c] * (light[y, x, c] - light[i, j, c])
            mean += taken * rise
        rises = _replaced(rises, side, rise)
    for side in range(4):
        if takes[side] > ZERO:
            slope = (rises[side] - mean) * share if total >= ONE else rises[side]
            along = side // 2
            first_takes = side % 2 == 1
            y, x = (i, j) if first_takes else (i - along, j - 1 + along)
            _follow_silhouette(y, x, along, first_takes, slope, surface, gathered)


@njit(**WITHOUT_ARRAYS)
def _replaced(values, at, value):  # type: ignore[no-untyped-def]
    a, b, c, d = values
    return (
        value if at == 0 else a,
        value if at == 1 else b,
        value if at == 2 else c,
        value if at == 3 else d,
    )


@njit(**WITHOUT_ARRAYS)
def _follow_silhouette(i, j, along, first_takes, slope, surface, gathered):  # type: ignore[no-untyped-def]
    """Add to gathered how a silhouette's ends move the weight of pair (i, j), whose gradient is `slope`.

    The silhouette passes t pixels from the centre of the pixel in front, on the edge from p to q; that pixel takes
    1/2 - t of the other, or the other takes t - 1/2 of it.
    """
    ids, nearest, snapped, areas, faces, adjacent = surface
    _, p, q, direction, line, start = walk_of_pair(i, j, along, ids, nearest, snapped, areas, faces, adjacent)
    off = 1 - along
    low, high = np.float64(snapped[p, off]), np.float64(snapped[q, off])
    run = np.float64(snapped[q, along]) - np.float64(snapped[p, along])
    to_q = (np.float64(line) - low) / (high - low)
    passes = np.float64(snapped[p, along]) + to_q * run
    if (passes - np.float64(start)) * direction < 0:  # t was clamped to 0
        return
    to_t = -slope if (direction > 0) == first_takes else slope
    moved = np.float64(to_t) * direction / SUBPIXELS  # gradient of where the edge crosses the line
    lean = run / (high - low)
    gathered[p, 10 + along] += F(moved * (1 - to_q))
    gathered[q, 10 + along] += F(moved * to_q)
    gathered[p, 10 + off] -= F(moved * (1 - to_q) * lean)
    gathered[q, 10 + off] -= F(moved * to_q * lean)
