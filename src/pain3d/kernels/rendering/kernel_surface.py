"""Knows what a covered pixel of the fused `render` sees on a GPU: its surface, its texture, its light. Triton.

A pixel reads records, 16 bytes a load: 32 bytes of each of its three vertices, 64 of its face (`topology.py`), and of a
half a texel 16, the other half where something is worn. Device functions only; `kernel.py` has the kernels.
"""

from __future__ import annotations

import triton
import triton.language as tl

from pain3d.kernels.rasterization.kernel import four
from pain3d.kernels.rasterization.reference import SUBPIXELS as STEPS_OF_A_PIXEL
from pain3d.kernels.rendering.colour import KNEE as KNEE_OF_LIGHT
from pain3d.kernels.rendering.relief import BLOOD_TINT as TINT_OF_BLOOD
from pain3d.kernels.rendering.relief import DETAIL_START
from pain3d.kernels.shading.kernel import dot3, light_of, shade_point, unit
from pain3d.kernels.shadowing.kernel_shares import dimmed, key_shares
from pain3d.kernels.texturing.kernel import level_offset, split_level, taps

POINT = 8  # floats of a vertex record: position, occlusion, normal, spare

# Jitted code reads globals only where they are constexpr.
_POINT = tl.constexpr(POINT)
_HALF = tl.constexpr(DETAIL_START)  # numbers of half a texel, see `texels.py`
_RED_TINT, _GREEN_TINT, _BLUE_TINT = (tl.constexpr(tint) for tint in TINT_OF_BLOOD)
_KNEE, _KNEE_SCALE, _ABOVE = (
    tl.constexpr(KNEE_OF_LIGHT),
    tl.constexpr(1 / (1 - KNEE_OF_LIGHT)),
    tl.constexpr(1 - KNEE_OF_LIGHT),
)
_PER_AREA = tl.constexpr(STEPS_OF_A_PIXEL**2)  # (1/256 px)² in a px²


@triton.jit
def quarter_of(ptr, place):  # type: ignore[no-untyped-def]
    """Return four numbers from each place [P], in elements of the pointer, as [P, 4]: one load each."""
    return tl.load(ptr + place[:, None] + tl.arange(0, 4)[None, :])


@triton.jit
def mixed_quarter(ptr, a, b, c, t0, t1, t2):  # type: ignore[no-untyped-def]
    """Return Σ t · numbers at three places, four of them."""
    mixed = t0[:, None] * quarter_of(ptr, a)
    mixed = tl.fma(t1[:, None], quarter_of(ptr, b), mixed)
    return four(tl.fma(t2[:, None], quarter_of(ptr, c), mixed))


@triton.jit
def mixed_weights(ptr, a, b, c, t0, t1, t2):  # type: ignore[no-untyped-def]
    """Return Σ t · weight of both detail layers at three vertices: one 8-byte load each."""
    layer = tl.arange(0, 2)[None, :]
    mixed = t0[:, None] * tl.load(ptr + a[:, None] * 2 + layer)
    mixed = tl.fma(t1[:, None], tl.load(ptr + b[:, None] * 2 + layer), mixed)
    return tl.split(tl.fma(t2[:, None], tl.load(ptr + c[:, None] * 2 + layer), mixed))


@triton.jit
def texel_places(u, v, level, share, height, width):  # type: ignore[no-untyped-def]
    """Return where half of each of the four texels around (u, v) of a level starts, and its part of a share."""
    one, two, three, last, across, down = taps(u, v, level, height, width)
    start = level_offset(level, height, width)
    below = share * down
    above = share - below
    two_share, last_share = above * across, below * across
    places = ((start + one) * _HALF, (start + two) * _HALF, (start + three) * _HALF, (start + last) * _HALF)
    return places, (above - two_share, two_share, below - last_share, last_share)


@triton.jit
def texels_added(mixed, half_ptr, places, shares):  # type: ignore[no-untyped-def]
    """Add half of four texels [P, 8], each by its share: 16 bytes, one load each."""
    p0, p1, p2, p3 = places
    s0, s1, s2, s3 = shares
    channel = tl.arange(0, 8)[None, :]
    mixed = tl.fma(s0[:, None], tl.load(half_ptr + p0[:, None] + channel).to(tl.float32), mixed)
    mixed = tl.fma(s1[:, None], tl.load(half_ptr + p1[:, None] + channel).to(tl.float32), mixed)
    mixed = tl.fma(s2[:, None], tl.load(half_ptr + p2[:, None] + channel).to(tl.float32), mixed)
    return tl.fma(s3[:, None], tl.load(half_ptr + p3[:, None] + channel).to(tl.float32), mixed)


@triton.jit
def eight(record):  # type: ignore[no-untyped-def]
    """Split [P, 8] into its eight columns."""
    even, odd = tl.split(tl.reshape(record, (record.shape[0], 4, 2)))
    c0, c2, c4, c6 = four(even)
    c1, c3, c5, c7 = four(odd)
    return c0, c1, c2, c3, c4, c5, c6, c7


@triton.jit
def worn_texture(skin_ptr, detail_ptr, size, top, u, v, level, first_weight, second_weight):  # type: ignore[no-untyped-def]
    """Return albedo (red, green, blue), specular scale, roughness, slopes along t and b, scatter of a texture.

    Detail layers are added by their weights. What no lane needs is not read; what others need is added with a share of
    0, so that a finite texture gives the same bits.
    """
    height, width = size
    lower, upper, fraction = split_level(level, top)
    fine, fine_shares = texel_places(u, v, lower, 1.0 - fraction, height, width)
    nothing = tl.zeros([u.shape[0], 8], tl.float32)
    mixed = texels_added(nothing, skin_ptr, fine, fine_shares)
    if tl.max((fraction > 0.0).to(tl.int32), axis=0) > 0:
        coarse, coarse_shares = texel_places(u, v, upper, fraction, height, width)
        mixed = texels_added(mixed, skin_ptr, coarse, coarse_shares)
    red, green, blue, specular, roughness, along, rise, scatter = eight(mixed)
    worn = (first_weight != 0.0) | (second_weight != 0.0)
    if tl.max(worn.to(tl.int32), axis=0) > 0:
        coarse, coarse_shares = texel_places(u, v, upper, fraction, height, width)
        layers = texels_added(nothing, detail_ptr, fine, fine_shares)
        layers = texels_added(layers, detail_ptr, coarse, coarse_shares)
        along0, rise0, shade0, blood0, along1, rise1, shade1, blood1 = eight(layers)
        along += tl.fma(second_weight, along1, first_weight * along0)
        rise += tl.fma(second_weight, rise1, first_weight * rise0)
        shade = tl.fma(second_weight, shade1, first_weight * shade0)
        blood = tl.fma(second_weight, blood1, first_weight * blood0)
        left_over = 1.0 - tl.minimum(tl.maximum(shade, 0.0), 1.0)
        red *= left_over * tl.maximum(tl.fma(-_RED_TINT, blood, 1.0), 0.0)
        green *= left_over * tl.maximum(tl.fma(-_GREEN_TINT, blood, 1.0), 0.0)
        blue *= left_over * tl.maximum(tl.fma(-_BLUE_TINT, blood, 1.0), 0.0)
        specular *= left_over
    return red, green, blue, specular, roughness, along, rise, scatter


@triton.jit
def tilted(nx, ny, nz, ux, uy, uz, along, rise):  # type: ignore[no-untyped-def]
    """Return n + along t + rise b, n of unit length, t = up x n, b = n x t = up - (up · n) n; not of unit length."""
    nx, ny, nz = unit(nx, ny, nz)
    keep = tl.fma(-rise, dot3(ux, uy, uz, nx, ny, nz), 1.0)
    x = tl.fma(rise, ux, tl.fma(along, tl.fma(uy, nz, -uz * ny), keep * nx))
    y = tl.fma(rise, uy, tl.fma(along, tl.fma(uz, nx, -ux * nz), keep * ny))
    z = tl.fma(rise, uz, tl.fma(along, tl.fma(ux, ny, -uy * nx), keep * nz))
    return x, y, z


@triton.jit
def below_knee(light):  # type: ignore[no-untyped-def]
    """Return what of light lies in 0 to 0.8; of NaN 0."""
    light = tl.where(light > 0.0, light, 0.0)
    return tl.where(light < _KNEE, light, _KNEE)


@triton.jit
def above_knee(light):  # type: ignore[no-untyped-def]
    """Return t / (1 + t), t = (light - 0.8) / 0.2 and not below 0; of NaN 0."""
    above = (light - _KNEE) * _KNEE_SCALE
    above = tl.where(above > 0.0, above, 0.0)
    return above / (1.0 + above)


@triton.jit
def tone_mapped(red, green, blue, exposure):  # type: ignore[no-untyped-def]
    """Return exposed, tone-mapped light: x up to 0.8, then 0.8 + 0.2 t / (1 + t), t = (x - 0.8) / 0.2."""
    red, green, blue = red * exposure, green * exposure, blue * exposure
    mapped_red, mapped_green, mapped_blue = below_knee(red), below_knee(green), below_knee(blue)
    bright = (red > _KNEE) | (green > _KNEE) | (blue > _KNEE)
    if tl.max(bright.to(tl.int32), axis=0) > 0:
        mapped_red = tl.fma(_ABOVE, above_knee(red), mapped_red)
        mapped_green = tl.fma(_ABOVE, above_knee(green), mapped_green)
        mapped_blue = tl.fma(_ABOVE, above_knee(blue), mapped_blue)
    return mapped_red, mapped_green, mapped_blue


@triton.jit
def surface_light(scene, strides, tables, points, sizes, view, mesh, face, corners, shares, area, covered):  # type: ignore[no-untyped-def]
    """Return the exposed and tone-mapped light (red, green, blue) of what pixels of a view see.

    corners: three vertices of each pixel's face, shares: how much of each. area: of the face on the screen, doubled, in
    (1/256 px)². All indices exist, on background those of anybody.
    """
    meshes, views = scene.meshes, scene.views
    a, b, c = corners
    t0, t1, t2 = shares
    u0, v0, u1, v1 = four(quarter_of(tables.charts, face * 8))
    u2, v2, texels, _ = four(quarter_of(tables.charts + 4, face * 8))
    # The stride counts vertices, so that the compiler sees that a pair lies on 8 bytes.
    weights = meshes.detail_weights + mesh * strides.detail_weights * 2
    first_weight, second_weight = mixed_weights(weights, a, b, c, t0, t1, t2)
    u, v = tl.fma(t2, u2, tl.fma(t1, u1, t0 * u0)), tl.fma(t2, v2, tl.fma(t1, v1, t0 * v0))
    # Texels per pixel, both as areas; log2 halved is the level whose texels are as large as pixels.
    texels *= sizes.texture_area
    drawn = (area > 0.0) & (texels > 0.0)
    level = 0.5 * tl.log2(tl.where(drawn, texels * _PER_AREA, 1.0) / tl.where(drawn, area, 1.0))
    texture, height, width = scene.texture
    skin = tl.load(views.texture_index + view).to(tl.int64)
    red, green, blue = tl.zeros_like(u), tl.zeros_like(u), tl.zeros_like(u)
    specular, roughness, along, rise, scatter = red, red, red, red, red
    if (skin >= 0) & (skin < sizes.textures):
        skin_ptr = texture + 2 * skin * sizes.texels * _HALF
        detail_ptr = texture + (2 * skin + 1) * sizes.texels * _HALF
        red, green, blue, specular, roughness, along, rise, scatter = worn_texture(
            skin_ptr, detail_ptr, (height, width), sizes.top, u, v, level, first_weight, second_weight
        )
    vertices = (a, b, c)
    a, b, c = a * _POINT, b * _POINT, c * _POINT
    points += mesh * sizes.vertices * _POINT
    x, y, z, open_sky = mixed_quarter(points, a, b, c, t0, t1, t2)
    nx, ny, nz, _ = mixed_quarter(points + 4, a, b, c, t0, t1, t2)
    camera = views.camera_position + view * 3
    to_eye = (tl.load(camera) - x, tl.load(camera + 1) - y, tl.load(camera + 2) - z)
    up = meshes.up + mesh * strides.up
    ux, uy, uz = tl.load(up), tl.load(up + 1), tl.load(up + 2)
    normal, light = tilted(nx, ny, nz, ux, uy, uz, along, rise), light_of(scene.lights, view)
    if scene.shadows.kinds is not None:
        which = tl.load(views.shadow_index + view).to(tl.int64)
        arrived = key_shares(scene.shadows, sizes, which, face, vertices, shares, scatter, covered)
        light = dimmed(light, arrived)
    red, green, blue = shade_point((red, green, blue), normal, to_eye, light, open_sky, specular, roughness, scatter)
    return tone_mapped(red, green, blue, tl.load(views.exposure + view))
