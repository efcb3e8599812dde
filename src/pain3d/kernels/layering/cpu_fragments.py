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
from pain3d.kernels.texturing.cpu import mix_rows, spread_rows

BLOCK = 128  # fragments
# Lanes. In: three shares, the inverse depth, the level. Then what the corners carry, in the order of their records;
# where to look in either level (first texel, steps aside and below as int32 bits, four shares); the texel. Out: light
# times alpha in the place of the body, alpha in that of the half width.
SHARES, NEARNESS, LEVEL, MIXED = 0, 3 * BLOCK, 4 * BLOCK, 5 * BLOCK
SHEEN, U, V, ACROSS, HALF_WIDTH = (
    MIXED + 3 * BLOCK,
    MIXED + 6 * BLOCK,
    MIXED + 7 * BLOCK,
    MIXED + 8 * BLOCK,
    MIXED + 10 * BLOCK,
)
FINER = MIXED + RECORD * BLOCK
COARSER, TEXEL = FINER + 7 * BLOCK, FINER + 14 * BLOCK
LANES = 5 + RECORD + 18

F, I32, N = np.float32, np.int32, np.uint64  # unsigned where an index would else be tested for being negative
ZERO, ROUND, ONE, TWO, TINY = F(0), F(0.5), F(1), F(2), F(1e-6)
WIDER = F(SOFT)
BEND, KNEE_SCALE, ABOVE = F(KNEE), F(1 / (1 - KNEE)), F(1 - KNEE)


@njit(**WITHOUT_ARRAYS)
def _place_taps(lanes, count, wide, tall, last, coarser, to):  # type: ignore[no-untyped-def]
    """Fill the lanes from `to` on for the finer (coarser = 0) or the coarser (1) level of `count` fragments."""
    for i in range(count):
        level = lanes[LEVEL + i]
        lower = I32(level)
        at = min(I32(lower + coarser), last)
        columns, rows = max(I32(wide >> at), I32(1)), max(I32(tall >> at), I32(1))
        right, bottom = F(columns - I32(1)), F(rows - I32(1))
        x, y = lanes[U + i] * F(columns) - ROUND, (ONE - lanes[V + i]) * F(rows) - ROUND
        x = x if x > ZERO else ZERO
        y = y if y > ZERO else ZERO
        x = x if x < right else right
        y = y if y < bottom else bottom
        column, row = I32(x), I32(y)
        across, down = x - F(column), y - F(row)
        first, aside, below = I32(row * columns + column), I32(x < right), I32(columns * I32(y < bottom))
        fraction = level - F(lower)
        weight = fraction if coarser == 1 else ONE - fraction
        lower_row = weight * down
        upper_row = weight - lower_row
        second, fourth = upper_row * across, lower_row * across
        lanes[to + i], lanes[to + BLOCK + i] = first.view(F), aside.view(F)
        lanes[to + 2 * BLOCK + i] = below.view(F)
        lanes[to + 3 * BLOCK + i], lanes[to + 4 * BLOCK + i] = upper_row - second, second
        lanes[to + 5 * BLOCK + i], lanes[to + 6 * BLOCK + i] = lower_row - fourth, fourth


@njit(**WITHOUT_ARRAYS)
def _taps_of(lanes, at, offset):  # type: ignore[no-untyped-def]
    """Return the places in the flat texture of a fragment's four texels, and their shares."""
    first, aside, below = F(lanes[at]), F(lanes[at + N(BLOCK)]), F(lanes[at + N(2 * BLOCK)])
    start, step = (offset + N(first.view(I32))) * N(4), N(aside.view(I32)) * N(4)
    under = start + N(below.view(I32)) * N(4)
    at += N(3 * BLOCK)
    shares = lanes[at], lanes[at + N(BLOCK)], lanes[at + N(2 * BLOCK)], lanes[at + N(3 * BLOCK)]
    return (start, start + step, under, under + step), shares


@njit(**WITHOUT_ARRAYS)
def light_fragments(lanes, places, count, flat, texture, exposure):  # type: ignore[no-untyped-def]
    """Turn the first `count` fragments of the lanes into toned light times alpha, and alpha.

    places [4, BLOCK]: of each fragment where the records of its corners stand in flat, and its texture in the texels.
    """
    texels, table, tall, wide = texture
    last = I32(table.shape[0] - 1)
    for i in range(count):
        k = N(i)
        rows = places[0, k], places[1, k], places[2, k]
        shares = lanes[k + N(SHARES)], lanes[k + N(SHARES + BLOCK)], lanes[k + N(SHARES + 2 * BLOCK)]
        spread_rows(flat, rows, shares, RECORD, lanes, k + N(MIXED), BLOCK)
    _place_taps(lanes, count, I32(wide), I32(tall), last, I32(0), FINER)
    _place_taps(lanes, count, I32(wide), I32(tall), last, I32(1), COARSER)
    for i in range(count):
        k = N(i)
        lower = I32(lanes[k + N(LEVEL)])
        upper = min(I32(lower + I32(1)), last)
        fine, fine_shares = _taps_of(lanes, k + N(FINER), places[3, k] + N(table[N(lower), 0]))
        coarse, coarse_shares = _taps_of(lanes, k + N(COARSER), places[3, k] + N(table[N(upper), 0]))
        red, green, blue, alpha = mix_rows(texels, fine + coarse, fine_shares + coarse_shares, 4)
        lanes[k + N(TEXEL)], lanes[k + N(TEXEL + BLOCK)] = red, green
        lanes[k + N(TEXEL + 2 * BLOCK)], lanes[k + N(TEXEL + 3 * BLOCK)] = blue, alpha
    for i in range(count):
        over, under, half = lanes[ACROSS + i], lanes[ACROSS + BLOCK + i], lanes[HALF_WIDTH + i]
        coverage = half + WIDER - math.sqrt(over * over + under * under)
        coverage = coverage if coverage < TWO * half else TWO * half
        coverage = coverage if coverage < ONE else ONE
        coverage = coverage if coverage > ZERO else ZERO
        alpha = lanes[TEXEL + 3 * BLOCK + i]
        weight = alpha * coverage
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
            lanes[MIXED + c * BLOCK + i] = (light + ABOVE * (above / (ONE + above))) * weight
        lanes[HALF_WIDTH + i] = weight
