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

from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.shading import reference as model
from pain3d.kernels.shading.reference import Lights, SurfacePoints

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
def dot3(ax, ay, az, bx, by, bz):  # type: ignore[no-untyped-def]
    """Return a · b: one product, two sums fused with a product each."""
    return tl.fma(az, bz, tl.fma(ay, by, ax * bx))


@triton.jit
def unit(x, y, z):  # type: ignore[no-untyped-def]
    """Return the vector at unit length; one shorter than 1e-10 comes back shorter than 1."""
    scale = tl.rsqrt(tl.maximum(dot3(x, y, z, x, y, z), TINY_SQUARED))
    return x * scale, y * scale, z * scale


@triton.jit
def fifth(x):  # type: ignore[no-untyped-def]
    """Return x⁵."""
    squared = x * x
    return squared * squared * x


@triton.jit
def three(ptr, at, mask):  # type: ignore[no-untyped-def]
    """Load vectors of three that start at a place."""
    x, y = tl.load(ptr + at, mask=mask, other=0.0), tl.load(ptr + at + 1, mask=mask, other=0.0)
    return x, y, tl.load(ptr + at + 2, mask=mask, other=0.0)


@triton.jit
def light_of(lights, row):  # type: ignore[no-untyped-def]
    """Return one row of `Lights`: the pointer to its sh, key direction (x, y, z), key colour (red, green, blue)."""
    direction, colour = lights.key_direction + row * 3, lights.key_colour + row * 3
    x, y, z = tl.load(direction), tl.load(direction + 1), tl.load(direction + 2)
    red, green, blue = tl.load(colour), tl.load(colour + 1), tl.load(colour + 2)
    return lights.sh + row * 27, (x, y, z), (red, green, blue)


@triton.jit  # type: ignore[untyped-decorator]
def light_channel(  # type: ignore[no-untyped-def]
    albedo, sh_ptr, channel: tl.constexpr, key, normal, mirrored, cosine, wrap, occlusion, gloss, mirror
):
    """Return one channel's light; cosine, gloss and mirror are what the channels share."""
    nx, ny, nz = normal
    mx, my, mz = mirrored
    s0, s1 = tl.load(sh_ptr + channel), tl.load(sh_ptr + 3 + channel)
    s2, s3 = tl.load(sh_ptr + 6 + channel), tl.load(sh_ptr + 9 + channel)
    quadratic = tl.load(sh_ptr + 12 + channel) * (Y2 * nx * ny)
    quadratic = tl.fma(tl.load(sh_ptr + 15 + channel), Y2 * ny * nz, quadratic)
    quadratic = tl.fma(tl.load(sh_ptr + 18 + channel), Y20 * tl.fma(3.0 * nz, nz, -1.0), quadratic)
    quadratic = tl.fma(tl.load(sh_ptr + 21 + channel), Y2 * nx * nz, quadratic)
    quadratic = tl.fma(tl.load(sh_ptr + 24 + channel), Y22 * tl.fma(nx, nx, -ny * ny), quadratic)
    linear = dot3(s1, s2, s3, Y1 * ny, Y1 * nz, Y1 * nx)
    irradiance = tl.maximum(tl.fma(A2, quadratic, tl.fma(A1, linear, A0_Y00 * s0)), 0.0)
    seen = tl.maximum(tl.fma(Y00, s0, dot3(s1, s2, s3, Y1 * my, Y1 * mz, Y1 * mx)), 0.0)
    reach = 1.0 + wrap
    wrapped = tl.maximum(cosine + wrap, 0.0) / (reach * reach)
    diffuse = albedo * INVERSE_PI * tl.fma(key, wrapped, irradiance * occlusion)
    return tl.fma(seen, mirror, tl.fma(key, gloss, diffuse))


@triton.jit
def shade_point(albedo, normal, to_eye, light, occlusion, specular, roughness, scatter):  # type: ignore[no-untyped-def]
    """Return the linear light (red, green, blue) of points with this base colour; see the room's README.

    albedo, normal and to_eye are three tensors each; normal and vector to the eye may have any length. light: of
    `light_of`.
    """
    red, green, blue = albedo
    nx, ny, nz = normal
    vx, vy, vz = to_eye
    sh_ptr, key_direction, key_colour = light
    lx, ly, lz = key_direction
    key_red, key_green, key_blue = key_colour
    nx, ny, nz = unit(nx, ny, nz)
    vx, vy, vz = unit(vx, vy, vz)
    hx, hy, hz = unit(lx + vx, ly + vy, lz + vz)
    cosine = dot3(nx, ny, nz, lx, ly, lz)
    facing = dot3(nx, ny, nz, vx, vy, vz)
    n_l = tl.maximum(cosine, 0.0)
    n_v = tl.minimum(tl.maximum(facing, MIN_COSINE), 1.0)
    n_h = tl.minimum(tl.maximum(dot3(nx, ny, nz, hx, hy, hz), 0.0), 1.0)
    v_h = tl.minimum(tl.maximum(dot3(vx, vy, vz, hx, hy, hz), 0.0), 1.0)

    rough = tl.minimum(tl.maximum(roughness, MIN_ROUGHNESS), 1.0)
    alpha = rough * rough
    spread = tl.fma(n_h * n_h, tl.fma(alpha, alpha, -1.0), 1.0)
    both = 2.0 * n_l * n_v
    # Distribution, visibility and n·l in one fraction; no factor below the line is ever 0.
    lobe = alpha * alpha * 0.5 * n_l / (PI * spread * spread * tl.fma(alpha, n_l + n_v - both, both))
    shine = occlusion * specular
    gloss = lobe * tl.fma(REST_OF_F0, fifth(1.0 - v_h), F0) * shine

    smooth = 1.0 - rough
    grazing = tl.fma(tl.maximum(smooth, F0) - F0, fifth(1.0 - n_v), F0)
    mirror = grazing * smooth * tl.minimum(n_v * HORIZON_SCALE, 1.0) * shine
    twice = 2.0 * facing
    normal, mirrored = (nx, ny, nz), (tl.fma(twice, nx, -vx), tl.fma(twice, ny, -vy), tl.fma(twice, nz, -vz))
    wrap = RED_WRAP * scatter
    red = light_channel(red, sh_ptr, 0, key_red, normal, mirrored, cosine, wrap, occlusion, gloss, mirror)
    wrap = GREEN_WRAP * scatter
    green = light_channel(green, sh_ptr, 1, key_green, normal, mirrored, cosine, wrap, occlusion, gloss, mirror)
    wrap = BLUE_WRAP * scatter
    blue = light_channel(blue, sh_ptr, 2, key_blue, normal, mirrored, cosine, wrap, occlusion, gloss, mirror)
    return red, green, blue


@triton.jit  # type: ignore[untyped-decorator]
def _shade(points, lights, light_ptr, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    blocks = tl.cdiv(count, BLOCK)
    image = tl.program_id(0) // blocks
    first = (tl.program_id(0) - image * blocks) * BLOCK
    lane = tl.arange(0, BLOCK)
    there = lane < count - first
    scalar = image.to(tl.int64) * count + first + lane  # of occlusion, specular, roughness, scatter
    vector = scalar * 3
    normal, to_eye = three(points.normal, vector, there), three(points.view_direction, vector, there)
    albedo = three(points.albedo, vector, there)
    occlusion = tl.load(points.occlusion + scalar, mask=there, other=0.0)
    specular = tl.load(points.specular + scalar, mask=there, other=0.0)
    roughness = tl.load(points.roughness + scalar, mask=there, other=0.0)
    scatter = tl.load(points.scatter + scalar, mask=there, other=0.0)
    light = light_of(lights, image)
    red, green, blue = shade_point(albedo, normal, to_eye, light, occlusion, specular, roughness, scatter)
    tl.store(light_ptr + vector, red, mask=there)
    tl.store(light_ptr + vector + 1, green, mask=there)
    tl.store(light_ptr + vector + 2, blue, mask=there)


def launch_shade(points: SurfacePoints, lights: Lights, light: Tensor, *, block: int = POINTS) -> None:
    """Write the light [B, P, 3] of every point: one program per image and block of points.

    All are float32 and contiguous; the points have one dimension in the middle, P.
    """
    batch, count = points.albedo.shape[:2]
    if batch * count == 0:
        return
    launch(_shade, (batch * cdiv(count, block),), points, lights, light, count, BLOCK=block)
