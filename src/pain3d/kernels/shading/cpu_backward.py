"""Knows the gradient of the shading of the fused `render` on a CPU: numba, float32, a block of points at a time.

It reads what `shade_block` left in the lanes (unit normals, mirrored directions, cosines, gloss, mirror) and computes
the rest anew. The formula is the derivative of the reference's, factor by factor; a clamp passes the gradient at its
ends, as torch's does.
"""

from __future__ import annotations

import math

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.shading.cpu import (
    ARRIVED,
    BASIS,
    BLOCK,
    COSINE,
    EYE,
    F0,
    GLOSS,
    HALF,
    HORIZON_SCALE,
    INVERSE_PI,
    LAMBERT,
    MIN_COSINE,
    MIN_ROUGHNESS,
    MIRROR,
    NORMAL,
    OCCLUSION,
    ONE,
    PI,
    ROUGHNESS,
    SCATTER,
    SPECULAR,
    TEXEL,
    THREE,
    TINY_SQUARED,
    TWO,
    WRAP,
    ZERO,
    F,
    whole_vectors,
)

FIRST = 52 * BLOCK  # behind the lanes of the fused forward
# Lanes. Kept of the forward: normal and vector to the eye before they were made unit vectors. In: the light's gradient.
TURNED, SIGHT, GRAD_LIT = FIRST, FIRST + 3 * BLOCK, FIRST + 6 * BLOCK
# Out: gradients of the turned normal, the vector to the eye, occlusion, the texture's 16 channels; of the key light's
# direction and colour, per point; and what the sums over harmonics are made of, per channel of light.
GRAD_NORMAL, GRAD_EYE, GRAD_OCCLUSION = FIRST + 9 * BLOCK, FIRST + 12 * BLOCK, FIRST + 15 * BLOCK
GRAD_TEXEL, GRAD_KEY, GRAD_COLOUR = FIRST + 16 * BLOCK, FIRST + 32 * BLOCK, FIRST + 35 * BLOCK
GRAD_IRRADIANCE, GRAD_SEEN = FIRST + 38 * BLOCK, FIRST + 41 * BLOCK
GRAD_COSINE, GRAD_GLOSS, GRAD_MIRROR, GRAD_MIRRORED = (FIRST + n * BLOCK for n in (44, 45, 46, 47))
LAST = FIRST + 50 * BLOCK  # of `GRAD_MIRRORED` there are three
FOUR, FIVE, SIX = F(4), F(5), F(6)
# A sum over a block may be taken in any order, so that it fills vectors: the code is the same for any thread and batch.
SUMS = {**WITHOUT_ARRAYS, "fastmath": {"reassoc"}}


@njit(**WITHOUT_ARRAYS)
def shade_block_backward(lanes, count, sh, key, colour):  # type: ignore[no-untyped-def]
    """Fill the lanes of gradients for the first `count` points from `GRAD_LIT`; the light as in `shade_block`."""
    count = whole_vectors(count)
    for i in range(count):
        lanes[GRAD_NORMAL + i] = lanes[GRAD_NORMAL + BLOCK + i] = lanes[GRAD_NORMAL + 2 * BLOCK + i] = ZERO
        lanes[GRAD_MIRRORED + i] = lanes[GRAD_MIRRORED + BLOCK + i] = lanes[GRAD_MIRRORED + 2 * BLOCK + i] = ZERO
        lanes[GRAD_OCCLUSION + i] = lanes[GRAD_TEXEL + 7 * BLOCK + i] = lanes[GRAD_COSINE + i] = ZERO
        lanes[GRAD_GLOSS + i] = lanes[GRAD_MIRROR + i] = ZERO
    _channel_backward(lanes, count, sh, colour[0], WRAP[0], 0)
    _channel_backward(lanes, count, sh, colour[1], WRAP[1], 1)
    _channel_backward(lanes, count, sh, colour[2], WRAP[2], 2)
    _shared_backward(lanes, count, key)


@njit(**WITHOUT_ARRAYS)
def _channel_backward(lanes, count, sh, key, wrap, c):  # type: ignore[no-untyped-def]
    """Add what one channel's light gives to the gradients of what all channels share, and fill its own."""
    s0, s1, s2 = sh[0, c] * BASIS[0], sh[1, c] * BASIS[1], sh[2, c] * BASIS[2]
    s3, s4, s5 = sh[3, c] * BASIS[3], sh[4, c] * BASIS[4], sh[5, c] * BASIS[5]
    s6, s7, s8 = sh[6, c] * BASIS[6], sh[7, c] * BASIS[7], sh[8, c] * BASIS[8]
    e0, e1, e2, e3 = s0 * LAMBERT[0], s1 * LAMBERT[1], s2 * LAMBERT[2], s3 * LAMBERT[3]
    e4, e5, e6, e7, e8 = s4 * LAMBERT[4], s5 * LAMBERT[5], s6 * LAMBERT[6], s7 * LAMBERT[7], s8 * LAMBERT[8]
    lane = c * BLOCK
    for i in range(count):
        x, y, z = lanes[NORMAL + i], lanes[NORMAL + BLOCK + i], lanes[NORMAL + 2 * BLOCK + i]
        mx, my, mz = lanes[EYE + i], lanes[EYE + BLOCK + i], lanes[EYE + 2 * BLOCK + i]
        quadratic = e4 * (x * y) + e5 * (y * z) + e6 * (THREE * z * z - ONE) + e7 * (x * z) + e8 * (x * x - y * y)
        irradiance = e0 + e1 * y + e2 * z + e3 * x + quadratic
        seen = s0 + s1 * my + s2 * mz + s3 * mx
        reach = wrap * lanes[SCATTER + i]
        wrapped = lanes[COSINE + i] + reach
        inverse = ONE / (ONE + reach)
        squared = inverse * inverse
        share = (wrapped if wrapped > ZERO else ZERO) * squared
        occlusion, light = lanes[OCCLUSION + i], lanes[GRAD_LIT + lane + i]
        arrived = lanes[ARRIVED + lane + i]
        lamp = key * arrived
        lit = irradiance if irradiance > ZERO else ZERO
        diffuse = light * lanes[TEXEL + lane + i] * INVERSE_PI
        lanes[GRAD_TEXEL + lane + i] = light * INVERSE_PI * (lit * occlusion + lamp * share)
        lanes[GRAD_OCCLUSION + i] += diffuse * lit
        from_irradiance = diffuse * occlusion if irradiance >= ZERO else ZERO
        from_share = diffuse * lamp
        from_wrapped = from_share * squared if wrapped >= ZERO else ZERO
        lanes[GRAD_COSINE + i] += from_wrapped
        lanes[GRAD_TEXEL + 7 * BLOCK + i] += wrap * (from_wrapped - TWO * from_share * share * inverse)
        lanes[GRAD_COLOUR + lane + i] = (diffuse * share + light * lanes[GLOSS + i]) * arrived
        lanes[GRAD_GLOSS + i] += light * lamp
        from_seen = light * lanes[MIRROR + i] if seen >= ZERO else ZERO
        lanes[GRAD_MIRROR + i] += light * (seen if seen > ZERO else ZERO)
        lanes[GRAD_IRRADIANCE + lane + i], lanes[GRAD_SEEN + lane + i] = from_irradiance, from_seen
        lanes[GRAD_NORMAL + i] += from_irradiance * (e3 + e4 * y + e7 * z + TWO * e8 * x)
        lanes[GRAD_NORMAL + BLOCK + i] += from_irradiance * (e1 + e4 * x + e5 * z - TWO * e8 * y)
        lanes[GRAD_NORMAL + 2 * BLOCK + i] += from_irradiance * (e2 + e5 * y + SIX * e6 * z + e7 * x)
        lanes[GRAD_MIRRORED + i] += from_seen * s3
        lanes[GRAD_MIRRORED + BLOCK + i] += from_seen * s1
        lanes[GRAD_MIRRORED + 2 * BLOCK + i] += from_seen * s2


@njit(**WITHOUT_ARRAYS)
def _shared_backward(lanes, count, key):  # type: ignore[no-untyped-def]
    """From the gradients of cosine, gloss and mirror to those of normal, eye, key direction and the texture."""
    lx, ly, lz = key[0], key[1], key[2]
    for i in range(count):
        x, y, z = lanes[NORMAL + i], lanes[NORMAL + BLOCK + i], lanes[NORMAL + 2 * BLOCK + i]
        vx, vy, vz = lanes[SIGHT + i], lanes[SIGHT + BLOCK + i], lanes[SIGHT + 2 * BLOCK + i]
        length = vx * vx + vy * vy + vz * vz
        eye_long = length >= TINY_SQUARED
        eye_scale = ONE / math.sqrt(length if length > TINY_SQUARED else TINY_SQUARED)
        vx, vy, vz = vx * eye_scale, vy * eye_scale, vz * eye_scale
        hx, hy, hz = lx + vx, ly + vy, lz + vz
        length = hx * hx + hy * hy + hz * hz
        half_long = length >= TINY_SQUARED
        half_scale = ONE / math.sqrt(length if length > TINY_SQUARED else TINY_SQUARED)
        hx, hy, hz = hx * half_scale, hy * half_scale, hz * half_scale

        cosine = lanes[COSINE + i]
        facing = x * vx + y * vy + z * vz
        halfway = x * hx + y * hy + z * hz
        across = vx * hx + vy * hy + vz * hz
        n_l = cosine if cosine > ZERO else ZERO
        n_v = facing if facing > MIN_COSINE else MIN_COSINE
        n_v = n_v if n_v < ONE else ONE
        n_h = halfway if halfway > ZERO else ZERO
        n_h = n_h if n_h < ONE else ONE
        v_h = across if across > ZERO else ZERO
        v_h = v_h if v_h < ONE else ONE

        occlusion, specular, roughness = lanes[OCCLUSION + i], lanes[SPECULAR + i], lanes[ROUGHNESS + i]
        shine = occlusion * specular
        rough = roughness if roughness > MIN_ROUGHNESS else MIN_ROUGHNESS
        rough = rough if rough < ONE else ONE
        alpha = rough * rough
        flat = alpha * alpha - ONE
        spread = n_h * n_h * flat + ONE
        both = TWO * n_l * n_v
        masked = both + alpha * (n_l + n_v - both)
        head = alpha * alpha * HALF / (PI * spread * spread * masked)
        lobe = head * n_l
        away = ONE - v_h
        fourth = away * away * away * away
        fresnel = F0 + (ONE - F0) * (fourth * away)

        from_gloss = lanes[GRAD_GLOSS + i]
        from_lobe = from_gloss * fresnel * shine
        over_masked, over_spread = lobe / masked, TWO * lobe / spread
        to_n_l = from_lobe * head * alpha * n_v / masked
        to_n_v = -from_lobe * over_masked * (TWO * n_l + alpha * (ONE - TWO * n_l))
        to_n_h = -from_lobe * over_spread * TWO * n_h * flat
        to_alpha = from_lobe * (
            TWO * lobe / alpha - over_spread * n_h * n_h * TWO * alpha - over_masked * (n_l + n_v - both)
        )
        to_v_h = -from_gloss * lobe * shine * FIVE * (ONE - F0) * fourth

        smooth = ONE - rough
        grazing = smooth if smooth > F0 else F0
        away = ONE - n_v
        fourth = away * away * away * away
        horizon = n_v * HORIZON_SCALE
        below = horizon if horizon < ONE else ONE
        base = F0 + (grazing - F0) * (fourth * away)
        from_mirror = lanes[GRAD_MIRROR + i]
        lit = from_mirror * shine
        from_base = lit * smooth * below
        to_n_v += -from_base * FIVE * (grazing - F0) * fourth
        to_n_v += lit * base * smooth * HORIZON_SCALE if horizon <= ONE else ZERO
        to_smooth = lit * base * below + (from_base * (fourth * away) if smooth >= F0 else ZERO)
        to_rough = TWO * rough * to_alpha - to_smooth
        inside = (roughness >= MIN_ROUGHNESS) & (roughness <= ONE)
        lanes[GRAD_TEXEL + 4 * BLOCK + i] = to_rough if inside else ZERO
        to_shine = from_gloss * lobe * fresnel + from_mirror * base * smooth * below
        lanes[GRAD_TEXEL + 3 * BLOCK + i] = to_shine * occlusion
        lanes[GRAD_OCCLUSION + i] += to_shine * specular

        to_cosine = lanes[GRAD_COSINE + i] + (to_n_l if cosine >= ZERO else ZERO)
        inside = (halfway >= ZERO) & (halfway <= ONE)
        to_n_h = to_n_h if inside else ZERO
        inside = (across >= ZERO) & (across <= ONE)
        to_v_h = to_v_h if inside else ZERO
        px, py, pz = lanes[GRAD_MIRRORED + i], lanes[GRAD_MIRRORED + BLOCK + i], lanes[GRAD_MIRRORED + 2 * BLOCK + i]
        inside = (facing >= MIN_COSINE) & (facing <= ONE)
        to_facing = (to_n_v if inside else ZERO) + TWO * (px * x + py * y + pz * z)
        twice = TWO * facing
        gx = lanes[GRAD_NORMAL + i] + to_cosine * lx + to_facing * vx + to_n_h * hx + twice * px
        gy = lanes[GRAD_NORMAL + BLOCK + i] + to_cosine * ly + to_facing * vy + to_n_h * hy + twice * py
        gz = lanes[GRAD_NORMAL + 2 * BLOCK + i] + to_cosine * lz + to_facing * vz + to_n_h * hz + twice * pz

        ax, ay, az = to_n_h * x + to_v_h * vx, to_n_h * y + to_v_h * vy, to_n_h * z + to_v_h * vz
        along = ax * hx + ay * hy + az * hz
        along = along if half_long else ZERO
        ax, ay, az = (ax - along * hx) * half_scale, (ay - along * hy) * half_scale, (az - along * hz) * half_scale
        lanes[GRAD_KEY + i] = to_cosine * x + ax
        lanes[GRAD_KEY + BLOCK + i] = to_cosine * y + ay
        lanes[GRAD_KEY + 2 * BLOCK + i] = to_cosine * z + az

        ax += to_facing * x + to_v_h * hx - px
        ay += to_facing * y + to_v_h * hy - py
        az += to_facing * z + to_v_h * hz - pz
        along = ax * vx + ay * vy + az * vz
        along = along if eye_long else ZERO
        lanes[GRAD_EYE + i] = (ax - along * vx) * eye_scale
        lanes[GRAD_EYE + BLOCK + i] = (ay - along * vy) * eye_scale
        lanes[GRAD_EYE + 2 * BLOCK + i] = (az - along * vz) * eye_scale

        tx, ty, tz = lanes[TURNED + i], lanes[TURNED + BLOCK + i], lanes[TURNED + 2 * BLOCK + i]
        length = tx * tx + ty * ty + tz * tz
        scale = ONE / math.sqrt(length if length > TINY_SQUARED else TINY_SQUARED)
        along = gx * x + gy * y + gz * z
        along = along if length >= TINY_SQUARED else ZERO
        lanes[GRAD_NORMAL + i] = (gx - along * x) * scale
        lanes[GRAD_NORMAL + BLOCK + i] = (gy - along * y) * scale
        lanes[GRAD_NORMAL + 2 * BLOCK + i] = (gz - along * z) * scale


@njit(**SUMS)
def add_harmonics(lanes, count, c, sums):  # type: ignore[no-untyped-def]
    """Add to sums [9, 3] float64 the gradient of one channel's harmonics over the first `count` points."""
    i0 = i1 = i2 = i3 = i4 = i5 = i6 = i7 = i8 = m0 = m1 = m2 = m3 = ZERO
    for i in range(count):
        x, y, z = lanes[NORMAL + i], lanes[NORMAL + BLOCK + i], lanes[NORMAL + 2 * BLOCK + i]
        g, m = lanes[GRAD_IRRADIANCE + c * BLOCK + i], lanes[GRAD_SEEN + c * BLOCK + i]
        gx, gy, gz = g * x, g * y, g * z
        i0 += g
        i1 += gy
        i2 += gz
        i3 += gx
        i4 += gx * y
        i5 += gy * z
        i6 += THREE * (gz * z) - g
        i7 += gx * z
        i8 += gx * x - gy * y
        m0 += m
        m1 += m * lanes[EYE + BLOCK + i]
        m2 += m * lanes[EYE + 2 * BLOCK + i]
        m3 += m * lanes[EYE + i]
    sums[0, c] += BASIS[0] * (LAMBERT[0] * i0 + m0)
    sums[1, c] += BASIS[1] * (LAMBERT[1] * i1 + m1)
    sums[2, c] += BASIS[2] * (LAMBERT[2] * i2 + m2)
    sums[3, c] += BASIS[3] * (LAMBERT[3] * i3 + m3)
    sums[4, c] += BASIS[4] * LAMBERT[4] * i4
    sums[5, c] += BASIS[5] * LAMBERT[5] * i5
    sums[6, c] += BASIS[6] * LAMBERT[6] * i6
    sums[7, c] += BASIS[7] * LAMBERT[7] * i7
    sums[8, c] += BASIS[8] * LAMBERT[8] * i8


@njit(**SUMS)
def sum_lane(lanes, first, count):  # type: ignore[no-untyped-def]
    """Return the sum of the first `count` floats of the lane that starts at `first`."""
    total = ZERO
    for i in range(count):
        total += lanes[first + i]
    return total
