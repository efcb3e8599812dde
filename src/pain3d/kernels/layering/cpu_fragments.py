"""Knows what a block of fragments becomes: numba, float32, from shares of three corners to toned light and alpha.

Loops without a branch over lanes of one flat array, as in `shading/cpu.py`: a fragment at a time, a branch on its alpha
waited for all that comes before, and took five times as long.
"""

from __future__ import annotations

import math

import numpy as np

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.layering.cpu_light import RECORD
from pain3d.kernels.layering.reference import SOFT
from pain3d.kernels.rendering.colour import KNEE
from pain3d.kernels.texturing.cpu import spread_rows

BLOCK = 128  # fragments
# Lanes. In: three shares, how many rows and columns the mip level has, inverse depth, face as int32 bits. Then what the
# corners carry, in the order of their records; where to look (first texel, steps aside and below as int32 bits, four
# shares); the texel. Out: toned light in the place of the body, alpha in that of the half width.
SHARES, ROWS, COLUMNS, NEARNESS, FACE, MIXED = (lane * BLOCK for lane in (0, 3, 4, 5, 6, 7))
SHEEN, U, V, ACROSS, HALF_WIDTH = (
    MIXED + 3 * BLOCK,
    MIXED + 6 * BLOCK,
    MIXED + 7 * BLOCK,
    MIXED + 8 * BLOCK,
    MIXED + 10 * BLOCK,
)
TAPS = MIXED + RECORD * BLOCK
TEXEL = TAPS + 7 * BLOCK
LANES = 7 + RECORD + 11

F, I32, N = np.float32, np.int32, np.uint64  # unsigned where an index would else be tested for being negative
ZERO, ROUND, ONE, TWO, TINY = F(0), F(0.5), F(1), F(2), F(1e-6)
WIDER = F(SOFT)
BEND, KNEE_SCALE, ABOVE = F(KNEE), F(1 / (1 - KNEE)), F(1 - KNEE)


@njit(**WITHOUT_ARRAYS)
def _place_taps(lanes, count):  # type: ignore[no-untyped-def]
    """Fill the lanes from `TAPS` on for `count` fragments."""
    for i in range(count):
        rows, columns = lanes[ROWS + i], lanes[COLUMNS + i]
        right, bottom = columns - ONE, rows - ONE
        x, y = lanes[U + i] * columns - ROUND, (ONE - lanes[V + i]) * rows - ROUND
        x = x if x > ZERO else ZERO
        y = y if y > ZERO else ZERO
        x = x if x < right else right
        y = y if y < bottom else bottom
        column, row = I32(x), I32(y)
        across, down = x - F(column), y - F(row)
        wide = I32(columns)
        first, aside, below = I32(row * wide + column), I32(x < right), I32(wide * I32(y < bottom))
        upper_row = ONE - down
        second, fourth = upper_row * across, down * across
        lanes[TAPS + i], lanes[TAPS + BLOCK + i] = first.view(F), aside.view(F)
        lanes[TAPS + 2 * BLOCK + i] = below.view(F)
        lanes[TAPS + 3 * BLOCK + i], lanes[TAPS + 4 * BLOCK + i] = upper_row - second, second
        lanes[TAPS + 5 * BLOCK + i], lanes[TAPS + 6 * BLOCK + i] = down - fourth, fourth


@njit(**WITHOUT_ARRAYS)
def light_fragments(lanes, places, count, flat, texels, exposure):  # type: ignore[no-untyped-def]
    """Turn the first `count` fragments of the lanes into toned light and alpha.

    places [4, BLOCK]: of each fragment where the records of its corners stand in flat, and its mip level in the texels.
    """
    for i in range(count):
        k = N(i)
        rows = places[0, k], places[1, k], places[2, k]
        shares = lanes[k + N(SHARES)], lanes[k + N(SHARES + BLOCK)], lanes[k + N(SHARES + 2 * BLOCK)]
        spread_rows(flat, rows, shares, RECORD, lanes, k + N(MIXED), BLOCK)
    _place_taps(lanes, count)
    for i in range(count):
        at = N(i)
        k = at + N(TAPS)
        first, aside, below = F(lanes[k]), F(lanes[k + N(BLOCK)]), F(lanes[k + N(2 * BLOCK)])
        start, step = (places[3, at] + N(first.view(I32))) * N(4), N(aside.view(I32)) * N(4)
        under = start + N(below.view(I32)) * N(4)
        k += N(3 * BLOCK)
        parts = lanes[k], lanes[k + N(BLOCK)], lanes[k + N(2 * BLOCK)], lanes[k + N(3 * BLOCK)]
        spread_rows(texels, (start, start + step, under, under + step), parts, 4, lanes, at + N(TEXEL), BLOCK)
    for i in range(count):
        over, under, half = lanes[ACROSS + i], lanes[ACROSS + BLOCK + i], lanes[HALF_WIDTH + i]
        coverage = half + WIDER - math.sqrt(over * over + under * under)
        coverage = coverage if coverage < TWO * half else TWO * half
        coverage = coverage if coverage < ONE else ONE
        coverage = coverage if coverage > ZERO else ZERO
        alpha = lanes[TEXEL + 3 * BLOCK + i]
        per_alpha = ONE / (alpha if alpha > TINY else TINY)
        for c in range(3):
            light = (
                lanes[TEXEL + c * BLOCK + i] * per_alpha * lanes[MIXED + c * BLOCK + i] + lanes[SHEEN + c * BLOCK + i]
            )
            light = light * exposure
            above = (light - BEND) * KNEE_SCALE
            above = above if above > ZERO else ZERO
            light = light if light > ZERO else ZERO
            light = light if light < BEND else BEND
            lanes[MIXED + c * BLOCK + i] = light + ABOVE * (above / (ONE + above))
        lanes[HALF_WIDTH + i] = alpha * coverage
