"""Knows the gradients of a block of surface points of the fused `render` on a CPU: tone map, relief, detail layers.

And of a row of background. Numba, float32. Each function is the derivative of one in `cpu.py`; the lanes that it reads
stand as the forward left them, those that the forward writes over were kept before (`keep_*`).
"""

from __future__ import annotations

import math

import numpy as np

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.rendering.colour import GAMMA, OFFSET, TOE, TOE_SLOPE
from pain3d.kernels.rendering.cpu import (
    ABOVE,
    BEND,
    BLUE_TINT,
    FIRST,
    GREEN_TINT,
    KNEE_SCALE,
    RED_TINT,
    SECOND,
    SLOPE,
    WEIGHT,
    F,
)
from pain3d.kernels.shading.cpu import BLOCK, EYE, LIT, NORMAL, ONE, TEXEL, TINY_SQUARED, ZERO, whole_vectors
from pain3d.kernels.shading.cpu_backward import GRAD_LIT, GRAD_NORMAL, GRAD_TEXEL, LAST, SIGHT, TURNED

# Lanes. Kept: the first four channels of the texel, and the interpolated normal. In: gradient of an encoded picture.
RAW, SMOOTH, GRAD_IMAGE = LAST, LAST + 4 * BLOCK, LAST + 7 * BLOCK
# Out: gradients of the detail weights, of the vertical axis and the exposure per point, and of u and v. And the shares
# of the face's corners, as they were mixed.
GRAD_WEIGHT, GRAD_UP, GRAD_EXPOSURE, GRAD_UV = (LAST + n * BLOCK for n in (10, 12, 15, 16))
SHARES, ALL_LANES = LAST + 18 * BLOCK, LAST // BLOCK + 21
GRAD_SLOPE, GRAD_FIRST, GRAD_SECOND = GRAD_TEXEL + 5 * BLOCK, GRAD_TEXEL + 8 * BLOCK, GRAD_TEXEL + 12 * BLOCK
DARK, DARK_SLOPE, POWER_SLOPE, THIRD, FOUR = F(TOE), F(TOE_SLOPE), F((1 + OFFSET) / GAMMA), F(1 / 3), F(4)
# z^(-1/3) for z from 0.0031308^(1/4) to 1, within 1.6 %; two steps of Newton's bring it to 5e-7.
GUESS = F(1.9911), F(-1.9066), F(0.9308)


@njit(**WITHOUT_ARRAYS)
def srgb_slope(light):  # type: ignore[no-untyped-def]
    """Return the derivative of the sRGB curve at linear light: above the toe 1.055/2.4 · light^(-7/12); 0 outside 0–1.

    light^(-7/12) = light^(-1/2) · z^(-1/3), z = light^(1/4): no power, so that loops over it fill vectors.
    """
    x = light if light > DARK else DARK
    x = x if x < ONE else ONE
    root = math.sqrt(x)
    z = math.sqrt(root)
    r = GUESS[0] + z * (GUESS[1] + z * GUESS[2])
    r = r * (FOUR - z * r * r * r) * THIRD
    r = r * (FOUR - z * r * r * r) * THIRD
    slope = POWER_SLOPE * r / root if light > DARK else DARK_SLOPE
    return slope if (light >= ZERO) & (light <= ONE) else ZERO


@njit(**WITHOUT_ARRAYS)
def keep_texel(lanes, count):  # type: ignore[no-untyped-def]
    """Keep what `add_details` writes over."""
    for k in range(3 * BLOCK + count):
        lanes[RAW + k] = lanes[TEXEL + k]


@njit(**WITHOUT_ARRAYS)
def keep_normal(lanes, count, at):  # type: ignore[no-untyped-def]
    """Keep the normals at the lanes from `at` on."""
    for k in range(2 * BLOCK + count):
        lanes[at + k] = lanes[NORMAL + k]


@njit(**WITHOUT_ARRAYS)
def keep_directions(lanes, count):  # type: ignore[no-untyped-def]
    """Keep what `shade_block` makes unit vectors of."""
    for k in range(2 * BLOCK + count):
        lanes[TURNED + k], lanes[SIGHT + k] = lanes[NORMAL + k], lanes[EYE + k]


@njit(**WITHOUT_ARRAYS)
def tone_backward(lanes, count, exposure, encoded):  # type: ignore[no-untyped-def]
    """Make the gradient of toned light that of light, in `GRAD_LIT`; `encoded`: add what comes from the encoded one."""
    count = whole_vectors(count)
    for k in range(count):
        lanes[GRAD_EXPOSURE + k] = ZERO
    if encoded:
        for c in range(3):
            for k in range(count):
                light = lanes[LIT + c * BLOCK + k] * exposure
                above = (light - BEND) * KNEE_SCALE
                above = above if above > ZERO else ZERO
                light = light if light > ZERO else ZERO
                light = light if light < BEND else BEND
                slope = srgb_slope(light + ABOVE * (above / (ONE + above)))
                lanes[GRAD_LIT + c * BLOCK + k] += lanes[GRAD_IMAGE + c * BLOCK + k] * slope
    for c in range(3):
        for k in range(count):
            light = lanes[LIT + c * BLOCK + k]
            above = (light * exposure - BEND) * KNEE_SCALE
            left = ONE / (ONE + (above if above > ZERO else ZERO))
            slope = left * left if light * exposure >= ZERO else ZERO
            given = lanes[GRAD_LIT + c * BLOCK + k] * slope
            lanes[GRAD_EXPOSURE + k] += given * light
            lanes[GRAD_LIT + c * BLOCK + k] = given * exposure


@njit(**WITHOUT_ARRAYS)
def tilt_backward(lanes, count, up):  # type: ignore[no-untyped-def]
    """From the turned normal's gradient to that of the interpolated one (in its place), of the slopes, and of up."""
    ux, uy, uz = up[0], up[1], up[2]
    for i in range(whole_vectors(count)):
        x, y, z = lanes[SMOOTH + i], lanes[SMOOTH + BLOCK + i], lanes[SMOOTH + 2 * BLOCK + i]
        squared = x * x + y * y + z * z
        scale = ONE / math.sqrt(squared if squared > TINY_SQUARED else TINY_SQUARED)
        x, y, z = x * scale, y * scale, z * scale
        gx, gy, gz = lanes[GRAD_NORMAL + i], lanes[GRAD_NORMAL + BLOCK + i], lanes[GRAD_NORMAL + 2 * BLOCK + i]
        along, rise = lanes[SLOPE + i], lanes[SLOPE + BLOCK + i]
        upright = ux * x + uy * y + uz * z
        to_keep = gx * x + gy * y + gz * z
        tx, ty, tz = y * gz - z * gy, z * gx - x * gz, x * gy - y * gx  # n x g
        lanes[GRAD_SLOPE + i] = ux * tx + uy * ty + uz * tz
        lanes[GRAD_SLOPE + BLOCK + i] = gx * ux + gy * uy + gz * uz - to_keep * upright
        to_upright, keep = -rise * to_keep, ONE - rise * upright
        lanes[GRAD_UP + i] = rise * gx + along * tx + to_upright * x
        lanes[GRAD_UP + BLOCK + i] = rise * gy + along * ty + to_upright * y
        lanes[GRAD_UP + 2 * BLOCK + i] = rise * gz + along * tz + to_upright * z
        nx = keep * gx + along * (gy * uz - gz * uy) + to_upright * ux
        ny = keep * gy + along * (gz * ux - gx * uz) + to_upright * uy
        nz = keep * gz + along * (gx * uy - gy * ux) + to_upright * uz
        inwards = nx * x + ny * y + nz * z
        inwards = inwards if squared >= TINY_SQUARED else ZERO
        lanes[GRAD_NORMAL + i] = (nx - inwards * x) * scale
        lanes[GRAD_NORMAL + BLOCK + i] = (ny - inwards * y) * scale
        lanes[GRAD_NORMAL + 2 * BLOCK + i] = (nz - inwards * z) * scale


@njit(**WITHOUT_ARRAYS)
def details_backward(lanes, count, worn):  # type: ignore[no-untyped-def]
    """From the gradient of what `add_details` made to that of the texel (in its place) and of the weights.

    Not `worn`: nothing was added, and the layers have no gradient.
    """
    count = whole_vectors(count)
    if not worn:
        for c in range(8):
            for i in range(count):
                lanes[GRAD_FIRST + c * BLOCK + i] = ZERO
        return
    for i in range(count):
        one, two = lanes[WEIGHT + i], lanes[WEIGHT + BLOCK + i]
        shade = one * lanes[FIRST + 2 * BLOCK + i] + two * lanes[SECOND + 2 * BLOCK + i]
        blood = one * lanes[FIRST + 3 * BLOCK + i] + two * lanes[SECOND + 3 * BLOCK + i]
        dark = shade if shade > ZERO else ZERO
        left = ONE - (dark if dark < ONE else ONE)
        red, green, blue = ONE - RED_TINT * blood, ONE - GREEN_TINT * blood, ONE - BLUE_TINT * blood
        r = lanes[GRAD_TEXEL + i] * lanes[RAW + i] if red >= ZERO else ZERO
        g = lanes[GRAD_TEXEL + BLOCK + i] * lanes[RAW + BLOCK + i] if green >= ZERO else ZERO
        b = lanes[GRAD_TEXEL + 2 * BLOCK + i] * lanes[RAW + 2 * BLOCK + i] if blue >= ZERO else ZERO
        shine = lanes[GRAD_TEXEL + 3 * BLOCK + i]
        to_left = r * red + g * green + b * blue + shine * lanes[RAW + 3 * BLOCK + i]
        to_blood = -left * (r * RED_TINT + g * GREEN_TINT + b * BLUE_TINT)
        to_shade = -to_left if (shade >= ZERO) & (shade <= ONE) else ZERO
        lanes[GRAD_TEXEL + i] *= left * (red if red > ZERO else ZERO)
        lanes[GRAD_TEXEL + BLOCK + i] *= left * (green if green > ZERO else ZERO)
        lanes[GRAD_TEXEL + 2 * BLOCK + i] *= left * (blue if blue > ZERO else ZERO)
        lanes[GRAD_TEXEL + 3 * BLOCK + i] = shine * left
        t, u = lanes[GRAD_SLOPE + i], lanes[GRAD_SLOPE + BLOCK + i]
        lanes[GRAD_FIRST + i], lanes[GRAD_SECOND + i] = one * t, two * t
        lanes[GRAD_FIRST + BLOCK + i], lanes[GRAD_SECOND + BLOCK + i] = one * u, two * u
        lanes[GRAD_FIRST + 2 * BLOCK + i], lanes[GRAD_SECOND + 2 * BLOCK + i] = one * to_shade, two * to_shade
        lanes[GRAD_FIRST + 3 * BLOCK + i], lanes[GRAD_SECOND + 3 * BLOCK + i] = one * to_blood, two * to_blood
        to_one = t * lanes[FIRST + i] + u * lanes[FIRST + BLOCK + i]
        to_two = t * lanes[SECOND + i] + u * lanes[SECOND + BLOCK + i]
        to_one += to_shade * lanes[FIRST + 2 * BLOCK + i] + to_blood * lanes[FIRST + 3 * BLOCK + i]
        to_two += to_shade * lanes[SECOND + 2 * BLOCK + i] + to_blood * lanes[SECOND + 3 * BLOCK + i]
        lanes[GRAD_WEIGHT + i], lanes[GRAD_WEIGHT + BLOCK + i] = to_one, to_two


@njit(**WITHOUT_ARRAYS)
def background_backward(i, ids, marks, light, share, image, stretched, tall, out):  # type: ignore[no-untyped-def]
    """Add to out [Hb, Wb, 3] what the pixels of row i that see no face give to the stretched background.

    share [W, 3] is the gradient of their light [W, 3], image [W, 3] that of the encoded light, of those that were not
    mixed (marks [W] below 2), or [0, 3].
    """
    vertical, horizontal = stretched
    top, bottom, down = vertical[0][i], vertical[1][i], vertical[2][i]
    low, high, across = horizontal
    tall[:] = ZERO
    seen = False
    for j in range(ids.shape[0]):
        if ids[j] < 0:
            seen = True
            for c in range(3):
                given = share[j, c]
                if image.shape[0] and marks[j] < 2:
                    given += image[j, c] * srgb_slope(light[j, c])
                tall[low[j], c] += (ONE - across[j]) * given
                tall[high[j], c] += across[j] * given
    if seen:
        for x in range(tall.shape[0]):
            for c in range(3):
                out[top, x, c] += (ONE - down) * tall[x, c]
                out[bottom, x, c] += down * tall[x, c]


@njit(**WITHOUT_ARRAYS)
def texel_in_order(lanes, count, gradient):  # type: ignore[no-untyped-def]
    """Write the gradients of texels of the first `count` points one after the other, 16 floats each."""
    for i in range(count):
        at = np.uint64(i * 16)
        for c in range(16):
            gradient[at + np.uint64(c)] = lanes[GRAD_TEXEL + c * BLOCK + i]
