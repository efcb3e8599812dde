"""Knows the gradients of shading on a GPU: Triton, float32. `shade_point_backward` is to `shade_point` what it says.

Everything is computed anew from the inputs, so that the forward pass keeps nothing. The derivatives are those of the
reference's terms, one by one, from the light back to the inputs; where the reference clamps, a gradient passes where
the clamp leaves the value as it is, its bounds included. What belongs to a picture and not to a point (sh, direction
and colour of the key light) is summed in a fixed order: over a block of points in the kernel, over the blocks by torch.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.shading.kernel import (
    A0_Y00,
    A1,
    A2,
    BLUE_WRAP,
    F0,
    GREEN_WRAP,
    HORIZON_SCALE,
    INVERSE_PI,
    MIN_COSINE,
    MIN_ROUGHNESS,
    PI,
    RED_WRAP,
    REST_OF_F0,
    TINY_SQUARED,
    Y00,
    Y1,
    Y2,
    Y20,
    Y22,
    dot3,
    fifth,
    light_of,
    three,
)
from pain3d.kernels.shading.reference import Lights, SurfacePoints

POINTS = 128  # a program: a point a thread of four warps


class LightSums(NamedTuple):
    """Gradients of `Lights` summed over each block of points, or None where nobody wants one."""

    sh: Tensor | None  # [B, blocks, 9, 3]
    key_direction: Tensor | None  # [B, blocks, 3]
    key_colour: Tensor | None  # [B, blocks, 3]


@triton.jit
def scaled_unit(x, y, z):  # type: ignore[no-untyped-def]
    """Return the vector at unit length as `unit` does, the factor, and whether it was long enough to be normalised."""
    squared = dot3(x, y, z, x, y, z)
    scale = tl.rsqrt(tl.maximum(squared, TINY_SQUARED))
    return (x * scale, y * scale, z * scale), scale, squared >= TINY_SQUARED


@triton.jit
def unit_backward(unit_vector, scale, is_long, gradient):  # type: ignore[no-untyped-def]
    """Return the gradient to a vector from that to its unit vector u: (g - u (u · g)) / length."""
    x, y, z = unit_vector
    gx, gy, gz = gradient
    along = tl.where(is_long, dot3(x, y, z, gx, gy, gz), 0.0)
    return scale * tl.fma(-along, x, gx), scale * tl.fma(-along, y, gy), scale * tl.fma(-along, z, gz)


@triton.jit
def added(ax, ay, az, factor, b):  # type: ignore[no-untyped-def]
    """Return a + factor · b, vectors of three."""
    bx, by, bz = b
    return tl.fma(factor, bx, ax), tl.fma(factor, by, ay), tl.fma(factor, bz, az)


@triton.jit  # type: ignore[untyped-decorator]
def light_channel_backward(  # type: ignore[no-untyped-def]
    gradient, albedo, sh_ptr, channel: tl.constexpr, key, normal, mirrored, cosine, wrap, occlusion, gloss, mirror
):
    """Return the gradients of one channel of `light_channel`, in the order of its arguments.

    To albedo, irradiance and mirrored radiance (the two that sh makes), key, normal, mirrored, cosine, wrap, occlusion,
    gloss, mirror.
    """
    nx, ny, nz = normal
    mx, my, mz = mirrored
    s0, s1 = tl.load(sh_ptr + channel), tl.load(sh_ptr + 3 + channel)
    s2, s3 = tl.load(sh_ptr + 6 + channel), tl.load(sh_ptr + 9 + channel)
    s4, s5 = tl.load(sh_ptr + 12 + channel) * Y2, tl.load(sh_ptr + 15 + channel) * Y2
    s6, s7 = tl.load(sh_ptr + 18 + channel) * Y20, tl.load(sh_ptr + 21 + channel) * Y2
    s8 = tl.load(sh_ptr + 24 + channel) * Y22
    quadratic = tl.fma(s8, tl.fma(nx, nx, -ny * ny), s4 * nx * ny)
    quadratic = tl.fma(s6, tl.fma(3.0 * nz, nz, -1.0), quadratic)
    quadratic += nz * tl.fma(s5, ny, s7 * nx)
    linear = dot3(s1, s2, s3, Y1 * ny, Y1 * nz, Y1 * nx)
    irradiance = tl.fma(A2, quadratic, tl.fma(A1, linear, A0_Y00 * s0))
    seen = tl.fma(Y00, s0, dot3(s1, s2, s3, Y1 * my, Y1 * mz, Y1 * mx))
    bright, shown = irradiance >= 0.0, seen >= 0.0
    irradiance, seen = tl.maximum(irradiance, 0.0), tl.maximum(seen, 0.0)
    reach, over = 1.0 + wrap, cosine + wrap
    narrow = 1.0 / (reach * reach)
    wrapped = tl.maximum(over, 0.0) * narrow

    to_albedo = gradient * INVERSE_PI * tl.fma(key, wrapped, irradiance * occlusion)
    diffuse = gradient * INVERSE_PI * albedo
    to_key = tl.fma(diffuse, wrapped, gradient * gloss)
    to_wrapped = diffuse * key
    to_cosine = tl.where(over >= 0.0, to_wrapped * narrow, 0.0)
    to_wrap = tl.fma(-2.0 * to_wrapped, wrapped / reach, to_cosine)
    to_irradiance = tl.where(bright, diffuse * occlusion, 0.0)
    to_seen = tl.where(shown, gradient * mirror, 0.0)
    straight, bent = to_irradiance * (A1 * Y1), to_irradiance * A2
    to_normal = (
        tl.fma(bent, tl.fma(s4, ny, tl.fma(s7, nz, 2.0 * s8 * nx)), straight * s3),
        tl.fma(bent, tl.fma(s4, nx, tl.fma(s5, nz, -2.0 * s8 * ny)), straight * s1),
        tl.fma(bent, tl.fma(s5, ny, tl.fma(s7, nx, 6.0 * s6 * nz)), straight * s2),
    )
    to_linear = to_seen * Y1
    to_mirrored = (s3 * to_linear, s1 * to_linear, s2 * to_linear)
    return (
        to_albedo,
        (to_irradiance, to_seen),
        to_key,
        to_normal,
        to_mirrored,
        to_cosine,
        to_wrap,
        diffuse * irradiance,
        gradient * key,
        gradient * seen,
    )


@triton.jit
def shade_point_backward(  # type: ignore[no-untyped-def]
    gradient, albedo, normal, to_eye, light, occlusion, specular, roughness, scatter
):
    """Return the gradients of `shade_point` from those of its light (red, green, blue), tensors like its arguments.

    Returns:
        To albedo, normal, to_eye (three each), occlusion, specular, roughness, scatter; then, a number a point, what
        `store_light_sums` sums over a picture: (to irradiance, to mirrored radiance) of red, green and blue, the unit
        normal, the mirrored direction, to the key direction, to the key colour (three each).
    """
    grad_red, grad_green, grad_blue = gradient
    red, green, blue = albedo
    vx, vy, vz = to_eye
    nx, ny, nz = normal
    sh_ptr, key_direction, key_colour = light
    lx, ly, lz = key_direction
    key_red, key_green, key_blue = key_colour
    n, n_scale, n_long = scaled_unit(nx, ny, nz)
    v, v_scale, v_long = scaled_unit(vx, vy, vz)
    nx, ny, nz = n
    vx, vy, vz = v
    h, h_scale, h_long = scaled_unit(lx + vx, ly + vy, lz + vz)
    hx, hy, hz = h
    cosine, facing = dot3(nx, ny, nz, lx, ly, lz), dot3(nx, ny, nz, vx, vy, vz)
    toward_half, eye_half = dot3(nx, ny, nz, hx, hy, hz), dot3(vx, vy, vz, hx, hy, hz)
    n_l = tl.maximum(cosine, 0.0)
    n_v = tl.minimum(tl.maximum(facing, MIN_COSINE), 1.0)
    n_h = tl.minimum(tl.maximum(toward_half, 0.0), 1.0)
    v_h = tl.minimum(tl.maximum(eye_half, 0.0), 1.0)

    rough = tl.minimum(tl.maximum(roughness, MIN_ROUGHNESS), 1.0)
    alpha = rough * rough
    narrowing = tl.fma(alpha, alpha, -1.0)
    spread = tl.fma(n_h * n_h, narrowing, 1.0)
    either = n_l + n_v - 2.0 * n_l * n_v
    masking = tl.fma(alpha, either, 2.0 * n_l * n_v)
    steep = alpha * alpha * 0.5 / (PI * spread * spread * masking)  # the lobe over n·l
    lobe = steep * n_l
    away = 1.0 - v_h
    fresnel = tl.fma(REST_OF_F0, fifth(away), F0)
    shine = occlusion * specular
    smooth, aside = 1.0 - rough, 1.0 - n_v
    grazing = tl.maximum(smooth, F0) - F0
    aside_squared = aside * aside
    fading = tl.minimum(n_v * HORIZON_SCALE, 1.0)
    rising = tl.fma(grazing, aside_squared * aside_squared * aside, F0)
    reflected = rising * smooth * fading
    gloss, mirror = lobe * fresnel * shine, reflected * shine
    mirrored = (
        tl.fma(2.0 * facing, nx, -vx),
        tl.fma(2.0 * facing, ny, -vy),
        tl.fma(2.0 * facing, nz, -vz),
    )

    to_red, red_sky, to_key_red, n0, m0, cosine0, wrap0, open0, gloss0, mirror0 = light_channel_backward(
        grad_red, red, sh_ptr, 0, key_red, n, mirrored, cosine, scatter * RED_WRAP, occlusion, gloss, mirror
    )
    to_green, green_sky, to_key_green, n1, m1, cosine1, wrap1, open1, gloss1, mirror1 = light_channel_backward(
        grad_green, green, sh_ptr, 1, key_green, n, mirrored, cosine, scatter * GREEN_WRAP, occlusion, gloss, mirror
    )
    to_blue, blue_sky, to_key_blue, n2, m2, cosine2, wrap2, open2, gloss2, mirror2 = light_channel_backward(
        grad_blue, blue, sh_ptr, 2, key_blue, n, mirrored, cosine, scatter * BLUE_WRAP, occlusion, gloss, mirror
    )
    to_scatter = tl.fma(BLUE_WRAP, wrap2, tl.fma(GREEN_WRAP, wrap1, wrap0 * RED_WRAP))
    to_gloss, to_mirror = gloss0 + gloss1 + gloss2, mirror0 + mirror1 + mirror2
    to_shine = tl.fma(to_mirror, reflected, to_gloss * lobe * fresnel)
    to_occlusion, to_specular = tl.fma(to_shine, specular, open0 + open1 + open2), to_shine * occlusion
    to_lobe, to_reflected = to_gloss * fresnel * shine, to_mirror * shine

    # lobe = a² n·l / (2 π q² m): n·l and m in one derivative, which is finite where n·l is 0
    per_masking, per_spread = to_lobe * lobe / masking, to_lobe * lobe / spread
    to_n_l = to_lobe * steep * alpha * n_v / masking
    to_n_v = -per_masking * tl.fma(alpha, 1.0 - 2.0 * n_l, 2.0 * n_l)
    to_n_h = -4.0 * per_spread * n_h * narrowing
    to_alpha = 2.0 * to_lobe * lobe / alpha - per_masking * either - 4.0 * per_spread * alpha * n_h * n_h
    away_squared = away * away
    to_v_h = to_gloss * lobe * shine * (-5.0 * REST_OF_F0) * away_squared * away_squared
    # reflected = (F0 + (max(1 - r, F0) - F0) (1 - n·v)⁵) (1 - r) min(n·v / horizon, 1)
    to_rising = to_reflected * smooth * fading
    to_smooth = to_reflected * rising * fading
    to_smooth += tl.where(smooth >= F0, to_rising * aside_squared * aside_squared * aside, 0.0)
    to_n_v += -5.0 * to_rising * grazing * aside_squared * aside_squared
    to_n_v += tl.where(n_v * HORIZON_SCALE <= 1.0, to_reflected * rising * smooth * HORIZON_SCALE, 0.0)
    to_rough = tl.fma(2.0 * rough, to_alpha, -to_smooth)
    to_roughness = tl.where((roughness >= MIN_ROUGHNESS) & (roughness <= 1.0), to_rough, 0.0)

    m0x, m0y, m0z = m0
    m1x, m1y, m1z = m1
    m2x, m2y, m2z = m2
    to_mx, to_my, to_mz = m0x + m1x + m2x, m0y + m1y + m2y, m0z + m1z + m2z
    to_cosine = cosine0 + cosine1 + cosine2 + tl.where(cosine >= 0.0, to_n_l, 0.0)
    to_facing = tl.where((facing >= MIN_COSINE) & (facing <= 1.0), to_n_v, 0.0)
    to_facing = tl.fma(2.0, dot3(to_mx, to_my, to_mz, nx, ny, nz), to_facing)
    to_toward_half = tl.where((toward_half >= 0.0) & (toward_half <= 1.0), to_n_h, 0.0)
    to_eye_half = tl.where((eye_half >= 0.0) & (eye_half <= 1.0), to_v_h, 0.0)

    to_hx, to_hy, to_hz = added(to_toward_half * nx, to_toward_half * ny, to_toward_half * nz, to_eye_half, v)
    to_hx, to_hy, to_hz = unit_backward(h, h_scale, h_long, (to_hx, to_hy, to_hz))
    to_lx, to_ly, to_lz = added(to_hx, to_hy, to_hz, to_cosine, n)
    to_vx, to_vy, to_vz = added(to_hx - to_mx, to_hy - to_my, to_hz - to_mz, to_facing, n)
    to_vx, to_vy, to_vz = added(to_vx, to_vy, to_vz, to_eye_half, h)
    n0x, n0y, n0z = n0
    n1x, n1y, n1z = n1
    n2x, n2y, n2z = n2
    to_nx, to_ny, to_nz = added(n0x + n1x + n2x, n0y + n1y + n2y, n0z + n1z + n2z, to_cosine, key_direction)
    to_nx, to_ny, to_nz = added(to_nx, to_ny, to_nz, to_facing, v)
    to_nx, to_ny, to_nz = added(to_nx, to_ny, to_nz, to_toward_half, h)
    to_nx, to_ny, to_nz = added(to_nx, to_ny, to_nz, 2.0 * facing, (to_mx, to_my, to_mz))
    return (
        (to_red, to_green, to_blue),
        unit_backward(n, n_scale, n_long, (to_nx, to_ny, to_nz)),
        unit_backward(v, v_scale, v_long, (to_vx, to_vy, to_vz)),
        to_occlusion,
        to_specular,
        to_roughness,
        to_scatter,
        (red_sky, green_sky, blue_sky, n, mirrored),
        (to_lx, to_ly, to_lz),
        (to_key_red, to_key_green, to_key_blue),
    )


@triton.jit  # type: ignore[untyped-decorator]
def _store_sh_sums(sums_ptr, sky, channel: tl.constexpr, normal, mirrored):  # type: ignore[no-untyped-def]
    """Write one channel's gradients of sh [9, 3], summed over the lanes."""
    to_irradiance, to_seen = sky
    nx, ny, nz = normal
    mx, my, mz = mirrored
    straight, bent, seen = to_irradiance * (A1 * Y1), to_irradiance * A2, to_seen * Y1
    tl.store(sums_ptr + channel, tl.sum(tl.fma(Y00, to_seen, to_irradiance * A0_Y00), 0))
    tl.store(sums_ptr + 3 + channel, tl.sum(tl.fma(seen, my, straight * ny), 0))
    tl.store(sums_ptr + 6 + channel, tl.sum(tl.fma(seen, mz, straight * nz), 0))
    tl.store(sums_ptr + 9 + channel, tl.sum(tl.fma(seen, mx, straight * nx), 0))
    tl.store(sums_ptr + 12 + channel, tl.sum(bent * nx * ny * Y2, 0))
    tl.store(sums_ptr + 15 + channel, tl.sum(bent * ny * nz * Y2, 0))
    tl.store(sums_ptr + 18 + channel, tl.sum(bent * tl.fma(3.0 * nz, nz, -1.0) * Y20, 0))
    tl.store(sums_ptr + 21 + channel, tl.sum(bent * nx * nz * Y2, 0))
    tl.store(sums_ptr + 24 + channel, tl.sum(bent * tl.fma(nx, nx, -ny * ny) * Y22, 0))


@triton.jit
def _store_three(ptr, at, vector, mask):  # type: ignore[no-untyped-def]
    x, y, z = vector
    tl.store(ptr + at, x, mask=mask)
    tl.store(ptr + at + 1, y, mask=mask)
    tl.store(ptr + at + 2, z, mask=mask)


@triton.jit
def store_light_sums(sums, place, sky, to_direction, to_colour):  # type: ignore[no-untyped-def]
    """Write a block's row of `LightSums` from what `shade_point_backward` returns; lanes without a point hold 0."""
    if sums.sh is not None:
        red_sky, green_sky, blue_sky, normal, mirrored = sky
        _store_sh_sums(sums.sh + place * 27, red_sky, 0, normal, mirrored)
        _store_sh_sums(sums.sh + place * 27, green_sky, 1, normal, mirrored)
        _store_sh_sums(sums.sh + place * 27, blue_sky, 2, normal, mirrored)
    if sums.key_direction is not None:
        x, y, z = to_direction
        _store_three(sums.key_direction, place * 3, (tl.sum(x, 0), tl.sum(y, 0), tl.sum(z, 0)), None)
    if sums.key_colour is not None:
        red, green, blue = to_colour
        _store_three(sums.key_colour, place * 3, (tl.sum(red, 0), tl.sum(green, 0), tl.sum(blue, 0)), None)


@triton.jit  # type: ignore[untyped-decorator]
def _shade_backward(gradient_ptr, points, lights, grads, sums, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    blocks = tl.cdiv(count, BLOCK)
    image = tl.program_id(0) // blocks
    first = (tl.program_id(0) - image * blocks) * BLOCK
    lane = tl.arange(0, BLOCK)
    there = lane < count - first
    scalar = image.to(tl.int64) * count + first + lane
    vector = scalar * 3
    gradient, albedo = three(gradient_ptr, vector, there), three(points.albedo, vector, there)
    normal, to_eye = three(points.normal, vector, there), three(points.view_direction, vector, there)
    occlusion = tl.load(points.occlusion + scalar, mask=there, other=0.0)
    specular = tl.load(points.specular + scalar, mask=there, other=0.0)
    roughness = tl.load(points.roughness + scalar, mask=there, other=0.0)
    scatter = tl.load(points.scatter + scalar, mask=there, other=0.0)
    light = light_of(lights, image)
    (
        to_albedo, to_normal, to_view, to_occlusion, to_specular, to_roughness, to_scatter, sky, to_direction, to_colour
    ) = shade_point_backward(
        gradient, albedo, normal, to_eye, light, occlusion, specular, roughness, scatter
    )  # fmt: skip
    if grads.albedo is not None:
        _store_three(grads.albedo, vector, to_albedo, there)
    if grads.normal is not None:
        _store_three(grads.normal, vector, to_normal, there)
    if grads.view_direction is not None:
        _store_three(grads.view_direction, vector, to_view, there)
    if grads.occlusion is not None:
        tl.store(grads.occlusion + scalar, to_occlusion, mask=there)
    if grads.specular is not None:
        tl.store(grads.specular + scalar, to_specular, mask=there)
    if grads.roughness is not None:
        tl.store(grads.roughness + scalar, to_roughness, mask=there)
    if grads.scatter is not None:
        tl.store(grads.scatter + scalar, to_scatter, mask=there)
    store_light_sums(sums, tl.program_id(0), sky, to_direction, to_colour)


def launch_shade_backward(
    gradient: Tensor,
    points: SurfacePoints,
    lights: Lights,
    grads: tuple[Tensor | None, ...],
    wanted_lights: tuple[bool, ...],
    *,
    block: int = POINTS,
) -> list[Tensor | None]:
    """Write the gradients of points, return those of lights: one program per image and block of points.

    Args:
        gradient: [B, P, 3], of the light; float32 and contiguous like all others.
        points: As in `launch_shade`.
        lights: Likewise.
        grads: By field of `SurfacePoints`, of the shapes of points; None is not wanted.
        wanted_lights: By field of `Lights`.
        block: Points of a program, a power of two; sums over a picture depend on it.

    Returns:
        By field of `Lights`, None where not wanted.
    """
    batch, count = points.albedo.shape[:2]
    blocks = cdiv(count, block)
    sums = LightSums._make(
        [
            light.new_empty(batch, blocks, *light.shape[1:]) if wanted else None
            for light, wanted in zip(lights, wanted_lights, strict=True)
        ]
    )
    if batch * count:
        into = SurfacePoints._make(grads)
        launch(_shade_backward, (batch * blocks,), gradient, points, lights, into, sums, count, BLOCK=block)
    return [None if parts is None else parts.sum(1) for parts in sums]
