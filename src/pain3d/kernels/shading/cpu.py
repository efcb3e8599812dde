"""Knows the shading of the fused `render` on a CPU: numba, float32, a block of points at a time.

The inputs of a block stand in one flat array, a lane of `BLOCK` floats per quantity, so that the loop turns into vector
instructions: with fixed distances inside one array the compiler sees that no store touches a later load.
The formula is that of the reference, term by term.
"""

from __future__ import annotations

import math

import numpy as np

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.shading import reference as model

BLOCK = 128  # points: 29 lanes of 512 bytes stay in L1
# Lanes. In: normal and vector to the eye (any length), occlusion, then the texture's 16 channels, of which shading
# reads the first five and the scatter. Out: linear RGB.
NORMAL, EYE, OCCLUSION, TEXEL, LIT = 0 * BLOCK, 3 * BLOCK, 6 * BLOCK, 7 * BLOCK, 23 * BLOCK
SPECULAR, ROUGHNESS, SCATTER = TEXEL + 3 * BLOCK, TEXEL + 4 * BLOCK, TEXEL + 7 * BLOCK
COSINE, GLOSS, MIRROR = 26 * BLOCK, 27 * BLOCK, 28 * BLOCK  # between: what the three channels share
ARRIVED = 48 * BLOCK  # in, behind the lanes of a look-up: the share of the key light that arrives, per channel

VECTOR = 8  # floats of a register that the compiler uses on today's processors; must divide BLOCK

F = np.float32
ZERO, HALF, ONE, TWO, PI, INVERSE_PI = F(0), F(0.5), F(1), F(2), F(math.pi), F(1 / math.pi)
WRAP = F(model.WRAP[0]), F(model.WRAP[1]), F(model.WRAP[2])
F0, MIN_ROUGHNESS, MIN_COSINE = F(model.SKIN_F0), F(model.MIN_ROUGHNESS), F(model.MIN_COSINE)
HORIZON_SCALE = F(1 / model.HORIZON)
TINY_SQUARED, THREE = F(model.TINY_SQUARED), F(3)
BASIS = np.array([model.Y00] + [model.Y1] * 3 + [model.Y2, model.Y2, model.Y20, model.Y2, model.Y22], np.float32)
LAMBERT = np.array([model.A0] + [model.A1] * 3 + [model.A2] * 5, np.float32)


@njit(**WITHOUT_ARRAYS)
def whole_vectors(count):  # type: ignore[no-untyped-def]
    """Round up to what fills vector registers: points beyond `count` cost less than the same points one by one."""
    return (count + VECTOR - 1) & ~(VECTOR - 1)


@njit(**WITHOUT_ARRAYS)
def shade_block(lanes, count, sh, key, colour):  # type: ignore[no-untyped-def]
    """Light the first `count` points of the lanes under sh [9, 3], key direction [3] and key colour [3].

    Of the key light arrives what the lanes `ARRIVED` say, all where they hold 1.
    """
    lx, ly, lz = key[0], key[1], key[2]
    for i in range(count):
        x, y, z = lanes[NORMAL + i], lanes[NORMAL + BLOCK + i], lanes[NORMAL + 2 * BLOCK + i]
        squared = x * x + y * y + z * z
        scale = ONE / math.sqrt(squared if squared > TINY_SQUARED else TINY_SQUARED)
        x, y, z = x * scale, y * scale, z * scale
        vx, vy, vz = lanes[EYE + i], lanes[EYE + BLOCK + i], lanes[EYE + 2 * BLOCK + i]
        squared = vx * vx + vy * vy + vz * vz
        scale = ONE / math.sqrt(squared if squared > TINY_SQUARED else TINY_SQUARED)
        vx, vy, vz = vx * scale, vy * scale, vz * scale
        hx, hy, hz = lx + vx, ly + vy, lz + vz
        squared = hx * hx + hy * hy + hz * hz
        scale = ONE / math.sqrt(squared if squared > TINY_SQUARED else TINY_SQUARED)
        hx, hy, hz = hx * scale, hy * scale, hz * scale

        cosine = x * lx + y * ly + z * lz
        facing = x * vx + y * vy + z * vz
        n_h = x * hx + y * hy + z * hz
        v_h = vx * hx + vy * hy + vz * hz
        n_l = cosine if cosine > ZERO else ZERO
        n_v = facing if facing > MIN_COSINE else MIN_COSINE
        n_v = n_v if n_v < ONE else ONE
        n_h = n_h if n_h > ZERO else ZERO
        n_h = n_h if n_h < ONE else ONE
        v_h = v_h if v_h > ZERO else ZERO
        v_h = v_h if v_h < ONE else ONE

        occlusion = lanes[OCCLUSION + i]
        shine = occlusion * lanes[SPECULAR + i]
        rough = lanes[ROUGHNESS + i]
        rough = rough if rough > MIN_ROUGHNESS else MIN_ROUGHNESS
        rough = rough if rough < ONE else ONE
        alpha = rough * rough
        spread = n_h * n_h * (alpha * alpha - ONE) + ONE
        both = TWO * n_l * n_v
        lobe = alpha * alpha * HALF * n_l / (PI * spread * spread * (both + alpha * (n_l + n_v - both)))
        away = ONE - v_h
        squared = away * away
        gloss = lobe * (F0 + (ONE - F0) * (squared * squared * away)) * shine
        smooth = ONE - rough
        grazing = smooth if smooth > F0 else F0
        away = ONE - n_v
        squared = away * away
        horizon = n_v * HORIZON_SCALE
        horizon = horizon if horizon < ONE else ONE
        mirror = (F0 + (grazing - F0) * (squared * squared * away)) * smooth * horizon * shine
        twice = TWO * facing
        mx, my, mz = twice * x - vx, twice * y - vy, twice * z - vz

        lanes[NORMAL + i], lanes[NORMAL + BLOCK + i], lanes[NORMAL + 2 * BLOCK + i] = x, y, z
        lanes[EYE + i], lanes[EYE + BLOCK + i], lanes[EYE + 2 * BLOCK + i] = mx, my, mz
        lanes[COSINE + i], lanes[GLOSS + i], lanes[MIRROR + i] = cosine, gloss, mirror
    # Three calls with constants, not a loop: only so are the distances between lanes known and the loops vectorised.
    _light_channel(lanes, count, sh, colour[0], WRAP[0], 0)
    _light_channel(lanes, count, sh, colour[1], WRAP[1], 1)
    _light_channel(lanes, count, sh, colour[2], WRAP[2], 2)


@njit(**WITHOUT_ARRAYS)
def _light_channel(lanes, count, sh, key, wrap, c):  # type: ignore[no-untyped-def]
    """Write one channel's light; the coefficients stand in scalars, so that no store can be thought to change them."""
    s0, s1, s2 = sh[0, c] * BASIS[0], sh[1, c] * BASIS[1], sh[2, c] * BASIS[2]
    s3, s4, s5 = sh[3, c] * BASIS[3], sh[4, c] * BASIS[4], sh[5, c] * BASIS[5]
    s6, s7, s8 = sh[6, c] * BASIS[6], sh[7, c] * BASIS[7], sh[8, c] * BASIS[8]
    e0, e1, e2, e3 = s0 * LAMBERT[0], s1 * LAMBERT[1], s2 * LAMBERT[2], s3 * LAMBERT[3]
    e4, e5, e6, e7, e8 = s4 * LAMBERT[4], s5 * LAMBERT[5], s6 * LAMBERT[6], s7 * LAMBERT[7], s8 * LAMBERT[8]
    albedo, lit, arrived = TEXEL + c * BLOCK, LIT + c * BLOCK, ARRIVED + c * BLOCK
    for i in range(count):
        x, y, z = lanes[NORMAL + i], lanes[NORMAL + BLOCK + i], lanes[NORMAL + 2 * BLOCK + i]
        mx, my, mz = lanes[EYE + i], lanes[EYE + BLOCK + i], lanes[EYE + 2 * BLOCK + i]
        quadratic = e4 * (x * y) + e5 * (y * z) + e6 * (THREE * z * z - ONE) + e7 * (x * z) + e8 * (x * x - y * y)
        irradiance = e0 + e1 * y + e2 * z + e3 * x + quadratic
        irradiance = irradiance if irradiance > ZERO else ZERO
        seen = s0 + s1 * my + s2 * mz + s3 * mx
        seen = seen if seen > ZERO else ZERO
        reach = wrap * lanes[SCATTER + i]
        wrapped = lanes[COSINE + i] + reach
        reach = ONE + reach
        wrapped = (wrapped if wrapped > ZERO else ZERO) / (reach * reach)
        light = key * lanes[arrived + i]
        diffuse = lanes[albedo + i] * INVERSE_PI * (irradiance * lanes[OCCLUSION + i] + light * wrapped)
        lanes[lit + i] = diffuse + light * lanes[GLOSS + i] + seen * lanes[MIRROR + i]
