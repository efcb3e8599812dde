"""Knows the silhouette walk of the fused `render` on a CPU: numba, one pair of pixels at a time."""

from __future__ import annotations

import numpy as np

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.antialiasing.reference import MAX_STEPS
from pain3d.kernels.rasterization.reference import HALF, SUBPIXELS

NO_SILHOUETTE = 2.0  # pixels: further than the neighbour's centre


@njit(**WITHOUT_ARRAYS)
def _walk(face, other, line, start, direction, along, snapped, areas, faces, adjacent):  # type: ignore[no-untyped-def]
    """Return the pixels from the nearer pixel's centre (start along the axis, line across it) to the silhouette.

    And the two vertices between which it passes.
    """
    off = 1 - along
    turn = direction if along == 0 else -direction
    for _ in range(MAX_STEPS):
        sign = turn if areas[face] > 0 else -turn
        edge = -1
        for e in range(3):
            begin = snapped[faces[face, e], off]
            end = snapped[faces[face, e + 1 if e < 2 else 0], off]
            if (begin <= line) != (end <= line) and (end - begin) * sign < 0:
                edge = e
        if edge < 0:
            return NO_SILHOUETTE, 0, 0
        p, q = faces[face, edge], faces[face, edge + 1 if edge < 2 else 0]
        rise = np.float64(line - snapped[p, off]) * np.float64(snapped[q, along] - snapped[p, along])
        slope = rise / np.float64(snapped[q, off] - snapped[p, off])
        distance = (np.float64(snapped[p, along]) + slope - np.float64(start)) * direction / SUBPIXELS
        beyond = adjacent[face, edge]
        if distance > 1:
            return NO_SILHOUETTE, p, q
        if beyond < 0 or np.sign(areas[beyond]) != np.sign(areas[face]):
            steep = abs(snapped[q, 1] - snapped[p, 1]) >= abs(snapped[q, 0] - snapped[p, 0])
            return max(distance, 0.0) if steep == (along == 0) else NO_SILHOUETTE, p, q
        if beyond == other:
            return NO_SILHOUETTE, p, q
        face = beyond
    return NO_SILHOUETTE, 0, 0


@njit(**WITHOUT_ARRAYS)
def mark_silhouettes(snapped, areas, faces, adjacent, marks):  # type: ignore[no-untyped-def]
    """Mark the pixels that may mix: those of a pair between whose centres a silhouette edge of a front face passes.

    marks [H, W] uint8: bit 0 for the pair with the pixel on the right, 1 below, 2 left, 3 above. Only marked pairs need
    a walk: all others have weight 0.
    """
    height, width = marks.shape
    marks[:] = 0
    for f in range(faces.shape[0]):
        if areas[f] <= 0:
            continue
        for e in range(3):
            beyond = adjacent[f, e]
            if beyond >= 0 and areas[beyond] > 0:
                continue
            p, q = faces[f, e], faces[f, e + 1 if e < 2 else 0]
            steep = abs(snapped[q, 1] - snapped[p, 1]) >= abs(snapped[q, 0] - snapped[p, 0])
            along, off = (0, 1) if steep else (1, 0)  # a steep silhouette mixes along rows, a shallow one along columns
            across, length = (height, width) if steep else (width, height)
            low, high = snapped[p, off], snapped[q, off]
            if low == high:
                continue
            first = max(-((HALF - min(low, high)) // SUBPIXELS), 0)
            last = min((max(low, high) - HALF) // SUBPIXELS, across - 1)
            for k in range(first, last + 1):
                line = np.int64(k) * SUBPIXELS + HALF
                rise = np.float64(line - low) * np.float64(snapped[q, along] - snapped[p, along])
                met = np.float64(snapped[p, along]) + rise / np.float64(high - low)
                # One subpixel to either side: a silhouette through a pixel's centre concerns both its pairs.
                begin = np.int64(np.floor((met - 1 - HALF) / SUBPIXELS))
                end = np.int64(np.floor((met + 1 - HALF) / SUBPIXELS))
                for n in range(max(begin, 0), min(end, length - 2) + 1):  # type: ignore[call-overload]
                    i, j = (k, n) if along == 0 else (n, k)
                    marks[i, j] |= np.uint8(1 << along)
                    marks[i + along, j + 1 - along] |= np.uint8(4 << along)


@njit(**WITHOUT_ARRAYS)
def walk_of_pair(i, j, along, ids, nearest, snapped, areas, faces, adjacent):  # type: ignore[no-untyped-def]
    """Return what `_walk` does of the pair of pixel (i, j) and the next one along the axis, and who is in front.

    That is 1 where (i, j) is, else -1; then the line on which the walk goes and where on it the walk starts.
    """
    a, b = np.int64(ids[i, j]), np.int64(ids[i + along, j + 1 - along])
    depth_a, depth_b = nearest[i, j], nearest[i + along, j + 1 - along]
    column, row = np.int64(j) * SUBPIXELS + HALF, np.int64(i) * SUBPIXELS + HALF
    line, start = (row, column) if along == 0 else (column, row)
    front, back, direction = a, b, np.int64(1)
    if not (depth_a > depth_b or (depth_a == depth_b and a < b)):
        front, back, direction = b, a, np.int64(-1)
        start += SUBPIXELS
    distance, p, q = _walk(front, back, line, start, direction, along, snapped, areas, faces, adjacent)
    return distance, p, q, direction, line, start


@njit(**WITHOUT_ARRAYS)
def pair_weight(i, j, along, ids, nearest, snapped, areas, faces, adjacent):  # type: ignore[no-untyped-def]
    """Return how much pixel (i, j) takes of the next one along the axis (0: right, 1: below).

    Negative: the next one takes that much of this one. ids [H, W] are face ids, nearest [H, W] inverse depths, 0 on
    background.
    """
    aside, under = 1 - along, along
    a, b = ids[i, j], ids[i + under, j + aside]
    if a == b or (a >= 0 and b >= 0 and (adjacent[a, 0] == b or adjacent[a, 1] == b or adjacent[a, 2] == b)):
        return np.float32(0)
    distance, _, _, direction, _, _ = walk_of_pair(i, j, along, ids, nearest, snapped, areas, faces, adjacent)
    if distance > 1:
        return np.float32(0)
    return np.float32(0.5 - distance if direction > 0 else distance - 0.5)
