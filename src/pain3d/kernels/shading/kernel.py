"""Knows shading on a GPU: Triton, float32. `shade_point` lights a point, here and in the fused `render`.

The formula is that of the reference, term by term; its constants are folded in double and rounded once. Roots and the
one division are the fast ones (`rsqrt.approx`, `div.full`: at most 2 units in the last place), and x⁵ is two squares
and a product.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels.shading import reference as model

# Jitted code reads globals only where they are constexpr.
Y1, Y2 = tl.constexpr(model.Y1), tl.constexpr(model.Y2)
Y20, Y22 = tl.constexpr(model.Y20), tl.constexpr(model.Y22)
Y00 = tl.constexpr(model.Y00)
A1, A2 = tl.constexpr(model.A1), tl.constexpr(model.A2)
A0_Y00 = tl.constexpr(model.A0 * model.Y00)
INVERSE_PI, PI = tl.constexpr(1 / math.pi), tl.constexpr(math.pi)
RED_WRAP, GREEN_WRAP, BLUE_WRAP = (tl.constexpr(wrap) for wrap in model.WRAP)
F0, REST_OF_F0 = tl.constexpr(model.SKIN_F0), tl.constexpr(1 - model.SKIN_F0)
MIN_ROUGHNESS, MIN_COSINE = tl.constexpr(model.MIN_ROUGHNESS), tl.constexpr(model.MIN_COSINE)
HORIZON_SCALE = tl.constexpr(1 / model.HORIZON)
TINY_SQUARED = tl.constexpr(model.TINY_SQUARED)

POINTS = 256  # a program: two points a thread of four warps, in 64 registers


@triton.jit
def unit(x, y, z):  # type: ignore[no-untyped-def]
    """Return the vector at unit length; one shorter than 1e-10 comes back shorter than 1."""
    scale = tl.rsqrt(tl.maximum(x * x + y * y + z * z, TINY_SQUARED))
    return x * scale, y * scale, z * scale


@triton.jit
def fifth(x):  # type: ignore[no-untyped-def]
    """Return x⁵."""
    squared = x * x
    return squared * squared * x


@triton.jit  # type: ignore[untyped-decorator]
def light_channel(  # type: ignore[no-untyped-def]
    albedo, sh_ptr, channel: tl.constexpr, key, nx, ny, nz, mx, my, mz, cosine, wrap, occlusion, gloss, mirror
):
    """Return one channel's light; cosine, gloss and mirror are what the channels share."""
    s0, s1 = tl.load(sh_ptr + channel), tl.load(sh_ptr + 3 + channel)
    s2, s3 = tl.load(sh_ptr + 6 + channel), tl.load(sh_ptr + 9 + channel)
    quadratic = tl.load(sh_ptr + 12 + channel) * (Y2 * nx * ny) + tl.load(sh_ptr + 15 + channel) * (Y2 * ny * nz)
    quadratic += tl.load(sh_ptr + 18 + channel) * (Y20 * (3.0 * nz * nz - 1.0))
    quadratic += tl.load(sh_ptr + 21 + channel) * (Y2 * nx * nz)
    quadratic += tl.load(sh_ptr + 24 + channel) * (Y22 * (nx * nx - ny * ny))
    linear = s1 * (Y1 * ny) + s2 * (Y1 * nz) + s3 * (Y1 * nx)
    irradiance = tl.maximum(A0_Y00 * s0 + A1 * linear + A2 * quadratic, 0.0)
    seen = tl.maximum(Y00 * s0 + s1 * (Y1 * my) + s2 * (Y1 * mz) + s3 * (Y1 * mx), 0.0)
    reach = 1.0 + wrap
    wrapped = tl.maximum(cosine + wrap, 0.0) / (reach * reach)
    diffuse = albedo * INVERSE_PI * (irradiance * occlusion + key * wrapped)
    return diffuse + key * gloss + seen * mirror


@triton.jit
def shade_point(  # type: ignore[no-untyped-def]
    red,
    green,
    blue,
    nx,
    ny,
    nz,
    vx,
    vy,
    vz,
    sh_ptr,
    lx,
    ly,
    lz,
    key_red,
    key_green,
    key_blue,
    occlusion,
    specular,
    roughness,
    scatter,
):
    """Return the linear light (red, green, blue) of points with this base colour; see the room's README.

    Normal and vector to the eye may have any length. sh_ptr: this image's [9, 3] float32, contiguous. The key light may
    be scalars or tensors like the points.
    """
    nx, ny, nz = unit(nx, ny, nz)
    vx, vy, vz = unit(vx, vy, vz)
    hx, hy, hz = unit(lx + vx, ly + vy, lz + vz)
    cosine = nx * lx + ny * ly + nz * lz
    facing = nx * vx + ny * vy + nz * vz
    n_l = tl.maximum(cosine, 0.0)
    n_v = tl.minimum(tl.maximum(facing, MIN_COSINE), 1.0)
    n_h = tl.minimum(tl.maximum(nx * hx + ny * hy + nz * hz, 0.0), 1.0)
    v_h = tl.minimum(tl.maximum(vx * hx + vy * hy + vz * hz, 0.0), 1.0)

    rough = tl.minimum(tl.maximum(roughness, MIN_ROUGHNESS), 1.0)
    alpha = rough * rough
    spread = n_h * n_h * (alpha * alpha - 1.0) + 1.0
    both = 2.0 * n_l * n_v
    # Distribution, visibility and n·l in one fraction; no factor below the line is ever 0.
    lobe = alpha * alpha * 0.5 * n_l / (PI * spread * spread * (both + alpha * (n_l + n_v - both)))
    shine = occlusion * specular
    gloss = lobe * (F0 + REST_OF_F0 * fifth(1.0 - v_h)) * shine

    smooth = 1.0 - rough
    grazing = F0 + (tl.maximum(smooth, F0) - F0) * fifth(1.0 - n_v)
    mirror = grazing * smooth * tl.minimum(n_v * HORIZON_SCALE, 1.0) * shine
    mx, my, mz = 2.0 * facing * nx - vx, 2.0 * facing * ny - vy, 2.0 * facing * nz - vz
    wrap = RED_WRAP * scatter
    red = light_channel(red, sh_ptr, 0, key_red, nx, ny, nz, mx, my, mz, cosine, wrap, occlusion, gloss, mirror)
    wrap = GREEN_WRAP * scatter
    green = light_channel(green, sh_ptr, 1, key_green, nx, ny, nz, mx, my, mz, cosine, wrap, occlusion, gloss, mirror)
    wrap = BLUE_WRAP * scatter
    blue = light_channel(blue, sh_ptr, 2, key_blue, nx, ny, nz, mx, my, mz, cosine, wrap, occlusion, gloss, mirror)
    return red, green, blue


@triton.jit  # type: ignore[untyped-decorator]
def _shade(  # type: ignore[no-untyped-def]
    albedo_ptr,
    normal_ptr,
    view_ptr,
    sh_ptr,
    key_direction_ptr,
    key_colour_ptr,
    occlusion_ptr,
    specular_ptr,
    roughness_ptr,
    scatter_ptr,
    light_ptr,
    points,
    BLOCK: tl.constexpr,
):
    blocks = tl.cdiv(points, BLOCK)
    image = tl.program_id(0) // blocks
    first = (tl.program_id(0) - image * blocks) * BLOCK
    lane = tl.arange(0, BLOCK)
    there = lane < points - first
    scalar = image.to(tl.int64) * points + first + lane  # of occlusion, specular, roughness, scatter
    x, y, z = scalar * 3, scalar * 3 + 1, scalar * 3 + 2
    nx, ny = tl.load(normal_ptr + x, mask=there, other=0.0), tl.load(normal_ptr + y, mask=there, other=0.0)
    nz = tl.load(normal_ptr + z, mask=there, other=0.0)
    vx, vy = tl.load(view_ptr + x, mask=there, other=0.0), tl.load(view_ptr + y, mask=there, other=0.0)
    vz = tl.load(view_ptr + z, mask=there, other=0.0)
    red, green = tl.load(albedo_ptr + x, mask=there, other=0.0), tl.load(albedo_ptr + y, mask=there, other=0.0)
    blue = tl.load(albedo_ptr + z, mask=there, other=0.0)
    occlusion = tl.load(occlusion_ptr + scalar, mask=there, other=0.0)
    specular = tl.load(specular_ptr + scalar, mask=there, other=0.0)
    roughness = tl.load(roughness_ptr + scalar, mask=there, other=0.0)
    scatter = tl.load(scatter_ptr + scalar, mask=there, other=0.0)
    light, colour = key_direction_ptr + image * 3, key_colour_ptr + image * 3
    lx, ly, lz = tl.load(light), tl.load(light + 1), tl.load(light + 2)
    key_red, key_green, key_blue = tl.load(colour), tl.load(colour + 1), tl.load(colour + 2)
    red, green, blue = shade_point(
        red,
        green,
        blue,
        nx,
        ny,
        nz,
        vx,
        vy,
        vz,
        sh_ptr + image * 27,
        lx,
        ly,
        lz,
        key_red,
        key_green,
        key_blue,
        occlusion,
        specular,
        roughness,
        scatter,
    )
    tl.store(light_ptr + x, red, mask=there)
    tl.store(light_ptr + y, green, mask=there)
    tl.store(light_ptr + z, blue, mask=there)


def launch_shade(
    light: Tensor,  # [B, P, 3]: written; all float32 and contiguous
    albedo: Tensor,  # [B, P, 3]
    normal: Tensor,  # [B, P, 3]
    view_direction: Tensor,  # [B, P, 3]
    sh: Tensor,  # [B, 9, 3]
    key_direction: Tensor,  # [B, 3]
    key_colour: Tensor,  # [B, 3]
    occlusion: Tensor,  # [B, P]
    specular: Tensor,  # [B, P]
    roughness: Tensor,  # [B, P]
    scatter: Tensor,  # [B, P]
    *,
    block: int = POINTS,
) -> None:
    """Write the light of every point: one program per image and block of points."""
    batch, points = albedo.shape[:2]
    if batch * points == 0:
        return
    inputs = (albedo, normal, view_direction, sh, key_direction, key_colour, occlusion, specular, roughness, scatter)
    _shade[(batch * triton.cdiv(points, block),)](*inputs, light, points, BLOCK=block)
