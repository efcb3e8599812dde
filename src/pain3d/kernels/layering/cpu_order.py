"""Knows which faces of a picture's layers can still be seen, and which come first, on a CPU: numba.

A tile of pixels hides what lies behind all that its pixels see: the surface, or the fragment that lets nothing through.
The order is a guess that makes the nearest hide the others early; what a pixel shows is decided in `cpu_lists.py`.
"""

from __future__ import annotations

import numpy as np

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.rasterization.reference import HALF, SUBPIXELS

TILE = 3  # bits of a place within a tile: 8 pixels a side
TIE = 1.0 + 1e-6  # of the largest inverse depth at a face's corners, which rounding may pass between them
RAISES = 16  # fragments that close a pixel of a tile, after which its farthest pixel is looked for again
BUCKETS = 4096  # of nearness, into which faces are sorted
STATE = 4  # floats of a pixel, see `cpu_lists.py`

F, I32, N = np.float32, np.int32, np.uint64


@njit(**WITHOUT_ARRAYS)
def tiles_across(pixels):  # type: ignore[no-untyped-def]
    """Return how many tiles lie side by side."""
    return (pixels + 2**TILE - 1) >> TILE


@njit(**WITHOUT_ARRAYS)
def just_below(value):  # type: ignore[no-untyped-def]
    """Return the float32 before a positive one."""
    return I32(F(value).view(I32) - I32(1)).view(F)


@njit(**WITHOUT_ARRAYS)
def measure_tiles(nearest, box, tiles, states, bound):  # type: ignore[no-untyped-def]
    """In the tiles of a box empty the lists and fill bounds, the largest float32 not before nearest [H, W].

    Pixels lie tile by tile, so that columns are walked as fast as rows. Of each of the tiles its least bound is kept.
    """
    farthest, raises = tiles
    height, width = nearest.shape
    across = tiles_across(width)
    first_i, last_i, first_j, last_j = box
    for y in range(first_i >> TILE, (last_i >> TILE) + 1):
        for x in range(first_j >> TILE, (last_j >> TILE) + 1):
            tile, least = y * across + x, F(np.inf)
            start = tile << 2 * TILE
            states[start * STATE : (start + 4**TILE) * STATE] = F(0)
            bound[start : start + 4**TILE] = F(np.inf)  # of places beyond the border
            rows, columns = min(2**TILE, height - (y << TILE)), min(2**TILE, width - (x << TILE))
            for i in range(rows):
                seen = nearest[(y << TILE) + i, x << TILE : (x << TILE) + columns]
                for j in range(columns):
                    surface = F(seen[j])
                    surface = just_below(surface) if np.float64(surface) > seen[j] else surface
                    bound[start + (i << TILE) + j] = surface
                    least = min(least, surface)
            farthest[tile], raises[tile] = least, RAISES


@njit(**WITHOUT_ARRAYS)
def raise_tile(pixel, tiles, bound):  # type: ignore[no-untyped-def]
    """Take note that the bound of a pixel was raised."""
    farthest, raises = tiles
    tile = pixel >> N(2 * TILE)
    raises[tile] -= 1
    if raises[tile] > 0:
        return
    raises[tile] = RAISES
    least, start = F(np.inf), tile << N(2 * TILE)
    for k in range(4**TILE):
        least = min(least, bound[start + N(k)])
    farthest[tile] = least


@njit(**WITHOUT_ARRAYS)
def is_hidden(farthest, start, first, last, step, most):  # type: ignore[no-untyped-def]
    """Whether nothing of an inverse depth up to most is seen in the tiles at start + step times first … last."""
    for x in range(first, last + 1):  # noqa: SIM110 - a generator makes objects
        if most > farthest[start + N(x) * step]:
            return False
    return True


@njit(**WITHOUT_ARRAYS)
def box_of(snapped, a, b, c, size):  # type: ignore[no-untyped-def]
    """Return the first and the last row, and the first and the last column, whose centres a face may cover."""
    x0, y0, x1, y1, x2, y2 = (
        snapped[a, 0], snapped[a, 1], snapped[b, 0], snapped[b, 1], snapped[c, 0], snapped[c, 1]
    )  # fmt: skip
    first_i, last_i = -((HALF - min(y0, y1, y2)) // SUBPIXELS), (max(y0, y1, y2) - HALF) // SUBPIXELS
    first_j, last_j = -((HALF - min(x0, x1, x2)) // SUBPIXELS), (max(x0, x1, x2) - HALF) // SUBPIXELS
    return max(first_i, 0), min(last_i, size[0] - 1), max(first_j, 0), min(last_j, size[1] - 1)


@njit(**WITHOUT_ARRAYS)
def _is_seen(a, b, c, placed, size, farthest):  # type: ignore[no-untyped-def]
    """Whether a tile under a face shows something as near as its nearest corner."""
    snapped, inverse_w, _ = placed
    first_i, last_i, first_j, last_j = box_of(snapped, a, b, c, size)
    if first_i > last_i or first_j > last_j:
        return False
    most, across = max(inverse_w[a], inverse_w[b], inverse_w[c]) * TIE, tiles_across(size[1])
    for y in range(first_i >> TILE, (last_i >> TILE) + 1):
        if not is_hidden(farthest, N(y * across), first_j >> TILE, last_j >> TILE, N(1), most):
            return True
    return False


@njit(**WITHOUT_ARRAYS)
def order_faces(faces, span, placed, size, farthest, order):  # type: ignore[no-untyped-def]
    """Fill the second list of order with the faces of a span that can be seen, the nearest first; return how many.

    order: nearness [most], two lists of faces [most], and a tally [BUCKETS].
    """
    snapped, inverse_w, usable = placed
    nearness, one, two, tally = order
    many, count = span[1], 0
    low, high = np.inf, 0.0
    for f in range(span[3]):
        a, b, c = faces[span[2] + f, 0], faces[span[2] + f, 1], faces[span[2] + f, 2]
        if not (0 <= a < many and 0 <= b < many and 0 <= c < many):
            continue
        if not (usable[a] and usable[b] and usable[c]):
            continue
        x0, y0, x1, y1 = snapped[a, 0], snapped[a, 1], snapped[b, 0], snapped[b, 1]
        if (y1 - y0) * (snapped[c, 0] - x0) == (x1 - x0) * (snapped[c, 1] - y0):
            continue
        if not _is_seen(a, b, c, placed, size, farthest):
            continue
        near = inverse_w[a] + inverse_w[b] + inverse_w[c]
        nearness[f], one[count] = near, f
        low, high, count = min(low, near), max(high, near), count + 1
    scale = (BUCKETS - 1) / max(high - low, 1e-9)
    tally[:] = 0
    for k in range(count):
        bucket = np.int64((high - nearness[one[k]]) * scale)
        nearness[one[k]] = bucket
        tally[bucket] += 1
    before = 0
    for value in range(BUCKETS):
        before, tally[value] = before + tally[value], before
    for k in range(count):
        bucket = np.int64(nearness[one[k]])
        two[tally[bucket]] = one[k]
        tally[bucket] += 1
    return count


@njit(**WITHOUT_ARRAYS)
def choose_vertices(faces, span, ordered, count, chosen):  # type: ignore[no-untyped-def]
    """List the vertices of the first `count` ordered faces as they lie in memory; return how many there are."""
    listed, is_chosen = chosen
    is_chosen[: span[1]] = False
    for k in range(count):
        f = span[2] + ordered[k]
        for corner in range(3):
            is_chosen[faces[f, corner]] = True
    vertices = 0
    for v in range(span[1]):
        listed[vertices] = v
        vertices += is_chosen[v]
    return vertices
