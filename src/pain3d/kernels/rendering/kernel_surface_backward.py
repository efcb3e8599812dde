"""Knows the gradient of what a covered pixel of the fused `render` sees on a GPU. Triton, float32.

From the gradient to a pixel's light, before antialiasing, to what its vertices give it and to its texel: the surface
is looked at once more, nothing of the forward pass is kept. What belongs to a view (light, exposure, camera, vertical
axis) is summed over a block of pixels here and over the blocks by torch, in an order that does not change.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.rasterization.kernel import four, perspective
from pain3d.kernels.rasterization.reference import HALF as HALF_A_PIXEL
from pain3d.kernels.rasterization.reference import SUBPIXELS as STEPS_OF_A_PIXEL
from pain3d.kernels.rendering.bundles import RenderInputs
from pain3d.kernels.rendering.colour import KNEE as KNEE_OF_LIGHT
from pain3d.kernels.rendering.kernel import record_of, sizes_of, strides_of
from pain3d.kernels.rendering.kernel_surface import (
    eight,
    mixed_quarter,
    mixed_weights,
    quarter_of,
    texel_places,
    texels_added,
    tilted,
)
from pain3d.kernels.rendering.relief import BLOOD_TINT as TINT_OF_BLOOD
from pain3d.kernels.rendering.relief import DETAIL_START
from pain3d.kernels.rendering.topology import PreparedTopology
from pain3d.kernels.shading.kernel import dot3, light_of, shade_point
from pain3d.kernels.shading.kernel_backward import (
    LightSums,
    scaled_unit,
    shade_point_backward,
    store_light_sums,
    unit_backward,
)
from pain3d.kernels.shadowing.kernel_shares import dimmed, key_shares
from pain3d.kernels.texturing.kernel import split_level

PIXELS = 1024 if interpreting() else 64  # of a program: a pixel a thread of two warps
SURFACE = 9  # numbers of a pixel that its vertices give: position, normal, occlusion, two weights

# Jitted code reads globals only where they are constexpr.
SUBPIXELS, HALF = tl.constexpr(STEPS_OF_A_PIXEL), tl.constexpr(HALF_A_PIXEL)
_POINT, _HALF, _SURFACE = tl.constexpr(8), tl.constexpr(DETAIL_START), tl.constexpr(SURFACE)
_RED_TINT, _GREEN_TINT, _BLUE_TINT = (tl.constexpr(tint) for tint in TINT_OF_BLOOD)
_KNEE, _KNEE_SCALE = tl.constexpr(KNEE_OF_LIGHT), tl.constexpr(1 / (1 - KNEE_OF_LIGHT))
_PER_AREA = tl.constexpr(STEPS_OF_A_PIXEL**2)  # (1/256 px)² in a px²


class PixelGradients(NamedTuple):
    """Of the pixels of N views, 0 on background."""

    surface: Tensor  # [N, H, W, 9] to position, normal, occlusion, weights of the detail layers
    texels: Tensor  # [N, H, W, 16] to what the texture gives
    uv: Tensor  # [N, H, W, 2] where it was looked up: no gradient
    level: Tensor  # [N, H, W] likewise


class ViewSums(NamedTuple):
    """Gradients of a view, summed over each block of pixels."""

    lights: LightSums
    exposure: Tensor  # [N, blocks]
    camera_position: Tensor  # [N, blocks, 3]
    up: Tensor  # [N, blocks, 3], of the view's mesh


@triton.jit
def exposed_backward(gradient, light, exposure):  # type: ignore[no-untyped-def]
    """Return the gradients to a channel's light and to the exposure from that to the toned light: see `tone_map`."""
    bright = light * exposure
    above = 1.0 + (bright - _KNEE) * _KNEE_SCALE
    slope = tl.where((bright >= 0.0) & (bright <= _KNEE), 1.0, 0.0)
    slope += tl.where(bright >= _KNEE, 1.0 / (above * above), 0.0)
    gradient *= slope
    return gradient * exposure, gradient * light


@triton.jit
def tilted_backward(gradient, normal, up, along, rise):  # type: ignore[no-untyped-def]
    """Return the gradients of `tilted` to normal, up, along and rise, from that to n + along t + rise b.

    t = u x n and b = u - (u · n) n, so g · t = u · (n x g) = n · (g x u).
    """
    gx, gy, gz = gradient
    nx, ny, nz = normal
    ux, uy, uz = up
    n, scale, is_long = scaled_unit(nx, ny, nz)
    nx, ny, nz = n
    turned = (ny * gz - nz * gy, nz * gx - nx * gz, nx * gy - ny * gx)  # n x g
    tx, ty, tz = turned
    upright, facing = dot3(ux, uy, uz, nx, ny, nz), dot3(gx, gy, gz, nx, ny, nz)
    to_along = dot3(ux, uy, uz, tx, ty, tz)
    to_rise = tl.fma(-upright, facing, dot3(ux, uy, uz, gx, gy, gz))
    to_up = (
        tl.fma(rise, tl.fma(-facing, nx, gx), along * tx),
        tl.fma(rise, tl.fma(-facing, ny, gy), along * ty),
        tl.fma(rise, tl.fma(-facing, nz, gz), along * tz),
    )
    kept = 1.0 - rise * upright
    to_n = (
        tl.fma(along, gy * uz - gz * uy, tl.fma(-rise * facing, ux, kept * gx)),
        tl.fma(along, gz * ux - gx * uz, tl.fma(-rise * facing, uy, kept * gy)),
        tl.fma(along, gx * uy - gy * ux, tl.fma(-rise * facing, uz, kept * gz)),
    )
    return unit_backward(n, scale, is_long, to_n), to_up, to_along, to_rise


@triton.jit
def only(mask, value):  # type: ignore[no-untyped-def]
    """Return the value where the mask is true, else 0."""
    return tl.where(mask, value, 0.0)


@triton.jit
def store_eight(ptr, numbers, known, mask):  # type: ignore[no-untyped-def]
    """Write eight numbers side by side, 0 where they are not known."""
    for place in tl.static_range(8):
        tl.store(ptr + place, only(known, numbers[place]), mask=mask)


@triton.jit
def store_sum(ptr, vector):  # type: ignore[no-untyped-def]
    """Write the sum of vectors of three over all lanes."""
    x, y, z = vector
    tl.store(ptr, tl.sum(x, 0))
    tl.store(ptr + 1, tl.sum(y, 0))
    tl.store(ptr + 2, tl.sum(z, 0))


@triton.jit  # type: ignore[untyped-decorator]
def surface_backward_kernel(  # type: ignore[no-untyped-def]
    gradient_ptr,  # [N, H, W, 4]: to red, green, blue, coverage, before antialiasing
    scene,  # RenderInputs, of these views
    strides,
    tables,  # PreparedTopology
    points,  # [M, V, 8], see `vertex_records`
    screen,  # [N, V, 4] int32
    face_ids,  # [N, H, W] int32
    into,  # PixelGradients
    sums,  # ViewSums
    sizes,
    PIXELS: tl.constexpr,
):
    """One program: PIXELS pixels of one view, in order of memory."""
    height, width = scene.size
    pixels = height * width
    blocks = tl.cdiv(pixels, PIXELS)
    view = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < pixels
    place = view * pixels + pixel
    face = tl.load(face_ids + place, mask=inside, other=-1)
    covered = inside & (face >= 0)
    if tl.max(covered.to(tl.int32), axis=0) > 0:
        gradient = gradient_ptr + place * 4
        to_red = tl.load(gradient, mask=covered, other=0.0)
        to_green = tl.load(gradient + 1, mask=covered, other=0.0)
        to_blue = tl.load(gradient + 2, mask=covered, other=0.0)
        # Face 0 stands for none, as in `resolve_kernel`; `only` takes out what it gives, which might be NaN.
        face = tl.maximum(face, 0)
        a, b, c, _ = four(quarter_of(tables.corners, face * 8))
        a, b, c = tl.maximum(a, 0), tl.maximum(b, 0), tl.maximum(c, 0)
        records = screen + view * sizes.vertices * 4
        x0, y0, w0 = record_of(records, a)
        x1, y1, w1 = record_of(records, b)
        x2, y2, w2 = record_of(records, c)
        row, column = pixel // width, pixel % width
        t0, t1, t2, area = perspective(
            x0, y0, w0, x1, y1, w1, x2, y2, w2, column * SUBPIXELS + HALF, row * SUBPIXELS + HALF
        )
        area = tl.abs(area).to(tl.float32)
        per_total = 1.0 / tl.where(covered, t0 + t1 + t2, 1.0)
        t0, t1, t2 = t0 * per_total, t1 * per_total, t2 * per_total
        mesh = tl.load(scene.views.mesh_index + view).to(tl.int64)

        u0, v0, u1, v1 = four(quarter_of(tables.charts, face * 8))
        u2, v2, texels, _ = four(quarter_of(tables.charts + 4, face * 8))
        u = only(covered, tl.fma(t2, u2, tl.fma(t1, u1, t0 * u0)))
        v = only(covered, tl.fma(t2, v2, tl.fma(t1, v1, t0 * v0)))
        texels *= sizes.texture_area
        drawn = (area > 0.0) & (texels > 0.0)
        level = 0.5 * tl.log2(tl.where(drawn, texels * _PER_AREA, 1.0) / tl.where(drawn, area, 1.0))
        weights = scene.meshes.detail_weights + mesh * strides.detail_weights * 2
        first, second = mixed_weights(weights, a, b, c, t0, t1, t2)
        first, second = only(covered, first), only(covered, second)

        skin = tl.load(scene.views.texture_index + view).to(tl.int64)
        exists = covered & (skin >= 0) & (skin < sizes.textures)
        skin = tl.minimum(tl.maximum(skin, 0), sizes.textures - 1)
        texture, tall, wide = scene.texture
        lower, upper, fraction = split_level(level, sizes.top)
        fine, fine_shares = texel_places(u, v, lower, 1.0 - fraction, tall, wide)
        coarse, coarse_shares = texel_places(u, v, upper, fraction, tall, wide)
        base = texels_added(
            tl.zeros([PIXELS, 8], tl.float32), texture + 2 * skin * sizes.texels * _HALF, fine, fine_shares
        )
        base = texels_added(base, texture + 2 * skin * sizes.texels * _HALF, coarse, coarse_shares)
        layers_ptr = texture + (2 * skin + 1) * sizes.texels * _HALF
        layers = texels_added(tl.zeros([PIXELS, 8], tl.float32), layers_ptr, fine, fine_shares)
        layers = texels_added(layers, layers_ptr, coarse, coarse_shares)
        base, layers = tl.where(exists[:, None], base, 0.0), tl.where(exists[:, None], layers, 0.0)
        base_red, base_green, base_blue, base_specular, roughness, along, rise, scatter = eight(base)
        along0, rise0, shade0, blood0, along1, rise1, shade1, blood1 = eight(layers)
        along += tl.fma(second, along1, first * along0)
        rise += tl.fma(second, rise1, first * rise0)
        shade, blood = tl.fma(second, shade1, first * shade0), tl.fma(second, blood1, first * blood0)
        left = 1.0 - tl.minimum(tl.maximum(shade, 0.0), 1.0)
        red_kept = 1.0 - _RED_TINT * blood
        green_kept = 1.0 - _GREEN_TINT * blood
        blue_kept = 1.0 - _BLUE_TINT * blood
        red_share = left * tl.maximum(red_kept, 0.0)
        green_share = left * tl.maximum(green_kept, 0.0)
        blue_share = left * tl.maximum(blue_kept, 0.0)
        albedo, specular = (
            (base_red * red_share, base_green * green_share, base_blue * blue_share),
            base_specular * left,
        )

        vertices = points + mesh * sizes.vertices * _POINT
        x, y, z, sky = mixed_quarter(vertices, a * _POINT, b * _POINT, c * _POINT, t0, t1, t2)
        nx, ny, nz, _ = mixed_quarter(vertices + 4, a * _POINT, b * _POINT, c * _POINT, t0, t1, t2)
        sky, nx, ny, nz = only(covered, sky), only(covered, nx), only(covered, ny), only(covered, nz)
        camera = scene.views.camera_position + view * 3
        eye = (
            only(covered, tl.load(camera) - x),
            only(covered, tl.load(camera + 1) - y),
            only(covered, tl.load(camera + 2) - z),
        )
        upward = scene.meshes.up + mesh * strides.up
        ux, uy, uz = tl.load(upward), tl.load(upward + 1), tl.load(upward + 2)
        turned, light = tilted(nx, ny, nz, ux, uy, uz, along, rise), light_of(scene.lights, view)
        exposure = tl.load(scene.views.exposure + view)
        if scene.shadows.kinds is not None:
            which = tl.load(scene.views.shadow_index + view).to(tl.int64)
            arrived = key_shares(scene.shadows, sizes, which, face, (a, b, c), (t0, t1, t2), scatter, covered)
            light = dimmed(light, arrived)
        red, green, blue = shade_point(albedo, turned, eye, light, sky, specular, roughness, scatter)
        to_red, red_exposure = exposed_backward(to_red, red, exposure)
        to_green, green_exposure = exposed_backward(to_green, green, exposure)
        to_blue, blue_exposure = exposed_backward(to_blue, blue, exposure)
        to_albedo, to_turned, to_eye, to_sky, to_specular, to_roughness, to_scatter, from_sky, to_key, to_key_colour = (
            shade_point_backward(
                (to_red, to_green, to_blue), albedo, turned, eye, light, sky, specular, roughness, scatter
            )
        )
        if scene.shadows.kinds is not None:
            red_arrived, green_arrived, blue_arrived = arrived
            to_key_red, to_key_green, to_key_blue = to_key_colour
            to_key_colour = (to_key_red * red_arrived, to_key_green * green_arrived, to_key_blue * blue_arrived)
        to_normal, to_up, to_along, to_rise = tilted_backward(to_turned, (nx, ny, nz), (ux, uy, uz), along, rise)

        albedo_red, albedo_green, albedo_blue = to_albedo
        red_taken = tl.where(red_kept >= 0.0, albedo_red * base_red, 0.0)
        green_taken = tl.where(green_kept >= 0.0, albedo_green * base_green, 0.0)
        blue_taken = tl.where(blue_kept >= 0.0, albedo_blue * base_blue, 0.0)
        to_left = tl.fma(red_taken, red_kept, to_specular * base_specular)
        to_left = tl.fma(blue_taken, blue_kept, tl.fma(green_taken, green_kept, to_left))
        to_shade = tl.where((shade >= 0.0) & (shade <= 1.0), -to_left, 0.0)
        to_blood = -left * (red_taken * _RED_TINT + green_taken * _GREEN_TINT + blue_taken * _BLUE_TINT)
        texel = into.texels + place * 16
        to_base = (
            albedo_red * red_share, albedo_green * green_share, albedo_blue * blue_share, to_specular * left,
            to_roughness, to_along, to_rise, to_scatter,
        )  # fmt: skip
        store_eight(texel, to_base, exists, inside)
        to_layers = (
            first * to_along, first * to_rise, first * to_shade, first * to_blood,
            second * to_along, second * to_rise, second * to_shade, second * to_blood,
        )  # fmt: skip
        store_eight(texel + 8, to_layers, exists, inside)
        to_first = along0 * to_along + rise0 * to_rise + shade0 * to_shade + blood0 * to_blood
        to_second = along1 * to_along + rise1 * to_rise + shade1 * to_shade + blood1 * to_blood
        to_eye_x, to_eye_y, to_eye_z = to_eye
        to_nx, to_ny, to_nz = to_normal
        surface = into.surface + place * _SURFACE
        store_eight(surface, (-to_eye_x, -to_eye_y, -to_eye_z, to_nx, to_ny, to_nz, to_sky, to_first), covered, inside)
        tl.store(surface + 8, only(covered, to_second), mask=inside)
        tl.store(into.uv + place * 2, u, mask=inside)
        tl.store(into.uv + place * 2 + 1, v, mask=inside)
        tl.store(into.level + place, only(covered, level), mask=inside)
        store_light_sums(sums.lights, tl.program_id(0), from_sky, to_key, to_key_colour)
        tl.store(sums.exposure + tl.program_id(0), tl.sum(red_exposure + green_exposure + blue_exposure, 0))
        store_sum(sums.camera_position + tl.program_id(0) * 3, to_eye)
        store_sum(sums.up + tl.program_id(0) * 3, to_up)
    else:
        nothing = tl.zeros([PIXELS], tl.float32)
        none = (nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
        store_eight(into.texels + place * 16, none, inside, inside)
        store_eight(into.texels + place * 16 + 8, none, inside, inside)
        store_eight(into.surface + place * _SURFACE, none, inside, inside)
        tl.store(into.surface + place * _SURFACE + 8, nothing, mask=inside)
        tl.store(into.uv + place * 2, nothing, mask=inside)
        tl.store(into.uv + place * 2 + 1, nothing, mask=inside)
        tl.store(into.level + place, nothing, mask=inside)
        three = (nothing, nothing, nothing)
        skies = ((nothing, nothing), (nothing, nothing), (nothing, nothing), three, three)
        store_light_sums(sums.lights, tl.program_id(0), skies, three, three)
        tl.store(sums.exposure + tl.program_id(0), 0.0)
        store_sum(sums.camera_position + tl.program_id(0) * 3, three)
        store_sum(sums.up + tl.program_id(0) * 3, three)


def launch_surface_backward(
    gradient: Tensor,
    scene: RenderInputs,
    tables: PreparedTopology,
    points: Tensor,
    screen: Tensor,
    face_ids: Tensor,
    *,
    block: int = PIXELS,
) -> tuple[PixelGradients, ViewSums]:
    """Return the gradients of a chunk's pixels, and those of its views, summed over blocks.

    Args:
        gradient: [N, H, W, 4], to the light before antialiasing; float32 and contiguous, as all others.
        scene: Of the chunk's views; triangles and packed texels are those that `launch_resolve` reads.
        tables: See `prepare_topology`.
        points: Of `vertex_records`.
        screen: [N, V, 4], of `launch_project`.
        face_ids: [N, H, W].
        block: Pixels of a program, a power of two; the sums over a picture depend on it.
    """
    views, height, width = face_ids.shape
    blocks = cdiv(height * width, block)
    new = gradient.new_empty
    into = PixelGradients(
        new(views, height, width, SURFACE), new(views, height, width, 16), new(views, height, width, 2),
        new(views, height, width),
    )  # fmt: skip
    lights = LightSums(new(views, blocks, 9, 3), new(views, blocks, 3), new(views, blocks, 3))
    sums = ViewSums(lights, new(views, blocks), new(views, blocks, 3), new(views, blocks, 3))
    launch(
        surface_backward_kernel,
        (views * blocks,),
        gradient,
        scene,
        strides_of(scene.meshes),
        tables,
        points,
        screen,
        face_ids,
        into,
        sums,
        sizes_of(scene, "NHWC"),
        PIXELS=block,
        num_warps=max(min(block // 32, 8), 1),
    )
    return into, sums
