"""Knows the fused `render` on a GPU: Triton. From the visibility buffer to bytes, each pixel once.

A chunk of views takes two launches after those of `rasterize`:

    resolve   every pixel: face, barycentrics, texture, light, background, bytes, and whatever else was asked for.
              A pixel that has a silhouette beside it may be mixed: it joins a queue and its light is kept.
    antialias the queue: four walks each, light mixed, bytes written again where a walk met a silhouette.

Two pixels mix only if both are in the queue, so no light is kept for any other pixel and nothing is shaded twice. The
order of the queue changes no byte: a pixel reads others' light and writes only its own bytes.
An output that nobody asked for is a pointer that is None, and its code is not compiled.

Longer than other files: Triton has one door in a room, and half of the lines name what two kernels read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._triton import programs_on
from pain3d.kernels.antialiasing.kernel import is_pair, taken_share
from pain3d.kernels.rasterization.kernel import corner, corners_of, face_of, four, perspective
from pain3d.kernels.rasterization.reference import HALF as HALF_A_PIXEL
from pain3d.kernels.rasterization.reference import SUBPIXELS as STEPS_OF_A_PIXEL
from pain3d.kernels.rendering.colour import KNEE as KNEE_OF_LIGHT
from pain3d.kernels.rendering.reference import NO_LABEL as LABEL_OF_NOTHING
from pain3d.kernels.rendering.reference import Rendered, RenderInputs
from pain3d.kernels.rendering.relief import BLOOD_TINT as TINT_OF_BLOOD
from pain3d.kernels.rendering.relief import CHANNELS as CHANNELS_OF_A_TEXEL
from pain3d.kernels.rendering.topology import PreparedTopology
from pain3d.kernels.shading.kernel import shade_point, unit
from pain3d.kernels.texturing.kernel import level_offset, split_level, taps

WAVES = 16  # programs of `antialias` per multiprocessor, one warp each
CHANNELS = 8  # of the attributes, interpolated side by side: one or two sectors of 32 bytes per vertex


class Blocks(NamedTuple):
    """How much of the work a program takes; no byte depends on it."""

    rows: int = 4  # pixels of `resolve`: a row per warp, one pixel per thread
    columns: int = 32
    queued: int = 32  # pixels of a step of `antialias`: one warp, four walks a thread, so that a long one holds up few


# The interpreter's cost is per program and operation, not per lane.
BLOCKS = Blocks(rows=64, columns=64, queued=512) if interpreting() else Blocks()

SUBPIXELS, HALF = tl.constexpr(STEPS_OF_A_PIXEL), tl.constexpr(HALF_A_PIXEL)
TEXEL = tl.constexpr(CHANNELS_OF_A_TEXEL)  # floats: two sectors of memory
RED_TINT, GREEN_TINT, BLUE_TINT = (tl.constexpr(tint) for tint in TINT_OF_BLOOD)
KNEE, KNEE_SCALE, ABOVE = (
    tl.constexpr(KNEE_OF_LIGHT),
    tl.constexpr(1 / (1 - KNEE_OF_LIGHT)),
    tl.constexpr(1 - KNEE_OF_LIGHT),
)
NO_LABEL = tl.constexpr(LABEL_OF_NOTHING)
INFINITE = tl.constexpr(float("inf"))
PER_AREA = tl.constexpr(STEPS_OF_A_PIXEL**2)  # (1/256 px)² in a px²


@triton.jit
def mixed_corners(ptr, a, b, c, t0, t1, t2, mask):  # type: ignore[no-untyped-def]
    """Return Σ t · value of a scalar at three indices."""
    first, second = tl.load(ptr + a, mask=mask, other=0.0), tl.load(ptr + b, mask=mask, other=0.0)
    return t0 * first + t1 * second + t2 * tl.load(ptr + c, mask=mask, other=0.0)


@triton.jit
def mixed_weights(ptr, a, b, c, t0, t1, t2, mask):  # type: ignore[no-untyped-def]
    """Return Σ t · weight of both detail layers at three vertices: one 8-byte load each."""
    layer = tl.arange(0, 2)[None, :]
    mixed = t0[:, None] * tl.load(ptr + a[:, None] * 2 + layer, mask=mask[:, None], other=0.0)
    mixed += t1[:, None] * tl.load(ptr + b[:, None] * 2 + layer, mask=mask[:, None], other=0.0)
    mixed += t2[:, None] * tl.load(ptr + c[:, None] * 2 + layer, mask=mask[:, None], other=0.0)
    return tl.split(mixed)


@triton.jit
def texel_places(u, v, level, height, width):  # type: ignore[no-untyped-def]
    """Return where the four texels around (u, v) of a level start, in floats, and how far across and down them."""
    one, two, three, last, across, down = taps(u, v, level, height, width)
    start = level_offset(level, height, width)
    return (start + one) * TEXEL, (start + two) * TEXEL, (start + three) * TEXEL, (start + last) * TEXEL, across, down


@triton.jit  # type: ignore[untyped-decorator]
def texel_quarter(texels_ptr, place, quarter: tl.constexpr, mask):  # type: ignore[no-untyped-def]
    """Return four of the sixteen channels of the texels that start at a place [P], [P, 4]: one 16-byte load each."""
    channel = quarter * 4 + tl.arange(0, 4)
    return tl.load(texels_ptr + place[:, None] + channel[None, :], mask=mask[:, None], other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def bilinear_quarter(texels_ptr, p0, p1, p2, p3, across, down, quarter: tl.constexpr, mask):  # type: ignore[no-untyped-def]
    """Return four channels [P, 4] of the mix of four texels: left to right, then top to bottom."""
    across, down = across[:, None], down[:, None]
    left, right = texel_quarter(texels_ptr, p0, quarter, mask), texel_quarter(texels_ptr, p1, quarter, mask)
    above = left + across * (right - left)
    left, right = texel_quarter(texels_ptr, p2, quarter, mask), texel_quarter(texels_ptr, p3, quarter, mask)
    return above + down * (left + across * (right - left) - above)


@triton.jit
def detail_layers(texels_ptr, u, v, lower, upper, fraction, height, width, one, two, mask):  # type: ignore[no-untyped-def]
    """Return the two detail layers, each by its weight: slope along t and b, shade, blood."""
    p0, p1, p2, p3, across, down = texel_places(u, v, lower, height, width)
    first = bilinear_quarter(texels_ptr, p0, p1, p2, p3, across, down, 2, mask)
    second = bilinear_quarter(texels_ptr, p0, p1, p2, p3, across, down, 3, mask)
    p0, p1, p2, p3, across, down = texel_places(u, v, upper, height, width)
    coarser, fraction = mask & (fraction > 0.0), fraction[:, None]
    first += fraction * (bilinear_quarter(texels_ptr, p0, p1, p2, p3, across, down, 2, coarser) - first)
    second += fraction * (bilinear_quarter(texels_ptr, p0, p1, p2, p3, across, down, 3, coarser) - second)
    return four(one[:, None] * first + two[:, None] * second)


@triton.jit
def tilted(nx, ny, nz, ux, uy, uz, along, rise):  # type: ignore[no-untyped-def]
    """Return n + along t + rise b, n of unit length, t = up x n, b = n x t = up - (up · n) n; not of unit length."""
    nx, ny, nz = unit(nx, ny, nz)
    keep = 1.0 - rise * (ux * nx + uy * ny + uz * nz)
    x = keep * nx + along * (uy * nz - uz * ny) + rise * ux
    y = keep * ny + along * (uz * nx - ux * nz) + rise * uy
    z = keep * nz + along * (ux * ny - uy * nx) + rise * uz
    return x, y, z


@triton.jit  # type: ignore[untyped-decorator]
def bilinear_tap(p0, p1, p2, p3, channel: tl.constexpr, across, down, mask):  # type: ignore[no-untyped-def]
    """Return one channel of the mix of four background pixels: left to right, then top to bottom."""
    left, right = tl.load(p0 + channel, mask=mask, other=0.0), tl.load(p1 + channel, mask=mask, other=0.0)
    above = left + across * (right - left)
    left, right = tl.load(p2 + channel, mask=mask, other=0.0), tl.load(p3 + channel, mask=mask, other=0.0)
    return above + down * (left + across * (right - left) - above)


@triton.jit
def stretched(position, scale, texels):  # type: ignore[no-untyped-def]
    """Return the two texels (int32) on either side of a pixel of a stretched line, and the fraction between them."""
    at = (position.to(tl.float32) + 0.5) * scale - 0.5
    at = tl.minimum(tl.maximum(at, 0.0), (texels - 1) + 0.0)  # an argument of 1 is a plain number here
    low = at.to(tl.int32)
    return low, tl.minimum(low + 1, texels - 1), at - low.to(tl.float32)


@triton.jit
def tone_mapped(light, exposure):  # type: ignore[no-untyped-def]
    """Return exposed, tone-mapped light: x up to 0.8, then 0.8 + 0.2 t / (1 + t), t = (x - 0.8) / 0.2."""
    light *= exposure
    above = (light - KNEE) * KNEE_SCALE
    above = tl.where(above > 0.0, above, 0.0)
    light = tl.where(light > 0.0, light, 0.0)
    return tl.where(light < KNEE, light, KNEE) + ABOVE * (above / (1.0 + above))


@triton.jit
def srgb_byte(light, edges_ptr):  # type: ignore[no-untyped-def]
    """Return the byte (int32) k of linear light: the last for which light ≥ edges[k]; NaN gives 0.

    The curve itself is the guess, far closer than two bytes are, so one comparison with the exact edge above and one
    with that below decide. edges: [257], -inf first and inf last.
    """
    light = tl.where(light > 0.0, light, 0.0)  # a comparison, not a maximum: NaN becomes 0
    light = tl.where(light < 1.0, light, 1.0)
    root = tl.exp2(tl.log2(tl.maximum(light, 1e-3)) * (1 / 2.4))
    encoded = tl.where(light <= 0.0031308, 12.92 * light, 1.055 * root - 0.055)
    byte = (encoded * 255.0 + 0.5).to(tl.int32)
    byte = tl.minimum(tl.maximum(byte, 0), 255)
    byte += (light >= tl.load(edges_ptr + byte + 1)).to(tl.int32)
    byte -= (light < tl.load(edges_ptr + byte)).to(tl.int32)
    return byte


@triton.jit  # type: ignore[untyped-decorator]
def store_byte(ptr, byte, mask, BFLOAT16: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write a byte, or byte / 255 as the bits of a bfloat16: float32 rounded to nearest, ties to even, in integers."""
    if BFLOAT16:
        bits = (byte.to(tl.float32) / 255.0).to(tl.int32, bitcast=True)
        tl.store(ptr, ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.int16), mask=mask)
    else:
        tl.store(ptr, byte.to(tl.uint8), mask=mask)


@triton.jit  # type: ignore[untyped-decorator]
def store_colour(ptr, red, green, blue, edges_ptr, channel_stride, mask, BFLOAT16: tl.constexpr):  # type: ignore[no-untyped-def]
    """Encode and write three channels."""
    store_byte(ptr, srgb_byte(red, edges_ptr), mask, BFLOAT16)
    store_byte(ptr + channel_stride, srgb_byte(green, edges_ptr), mask, BFLOAT16)
    store_byte(ptr + 2 * channel_stride, srgb_byte(blue, edges_ptr), mask, BFLOAT16)


@triton.jit
def parts_from(face, other, one, two, three):  # type: ignore[no-untyped-def]
    """Whether a neighbour's face is another one and none of the three beside this pixel's own."""
    return (other != face) & ((other < 0) | ((other != one) & (other != two) & (other != three)))


@triton.jit(do_not_specialize=["first_view", "epoch"])  # type: ignore[untyped-decorator]
def resolve_kernel(  # type: ignore[no-untyped-def]
    keys_ptr,  # [N, H · W] int64, of this chunk
    screen_ptr,  # [N, V, 4] int32, of this chunk
    queue_ptr,  # int32: count, then pixels of this chunk; None where nothing is antialiased
    light_ptr,  # [N, H · W, 3], of this chunk
    vertices_ptr,
    normals_ptr,  # [M, V, 3]
    faces_ptr,
    adjacent_ptr,
    uvs_ptr,
    uv_faces_ptr,
    uv_areas_ptr,  # [F] doubled areas in the unit square
    face_labels_ptr,
    texels_ptr,
    occlusion_ptr,
    weights_ptr,  # [M or 1, V, 2]
    up_ptr,  # [M or 1, 3]
    camera_ptr,
    sh_ptr,
    key_direction_ptr,
    key_colour_ptr,
    background_ptr,
    exposure_ptr,
    mesh_index_ptr,
    texture_index_ptr,
    attributes_ptr,
    edges_ptr,
    image_ptr,
    alpha_ptr,
    face_ids_ptr,
    barycentrics_ptr,
    depth_ptr,
    values_ptr,
    labels_ptr,
    first_view,
    epoch,
    height,
    width,
    vertex_count,
    uv_count,
    texture_count,
    texel_count,
    texture_height,
    texture_width,
    top,
    texture_area,
    occlusion_stride,
    weights_stride,  # in vertices: so the compiler sees that a pair lies on 8 bytes
    up_stride,
    background_height,
    background_width,
    background_stride,
    background_down,
    background_across,
    channels,
    pixel_stride,
    channel_stride,
    BFLOAT16: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """One program: ROWS x COLUMNS pixels of one view."""
    pixels = height * width
    tiles_across = tl.cdiv(width, COLUMNS)
    tiles = tiles_across * tl.cdiv(height, ROWS)
    local, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    view = (first_view + local).to(tl.int64)
    lane = tl.arange(0, ROWS * COLUMNS)
    row, column = tile // tiles_across * ROWS + lane // COLUMNS, tile % tiles_across * COLUMNS + lane % COLUMNS
    inside = (row < height) & (column < width)
    pixel = row * width + column
    keys_ptr += local.to(tl.int64) * pixels
    face = face_of(tl.load(keys_ptr + pixel, mask=inside, other=-1), epoch)
    covered = inside & (face >= 0)
    at = view * pixels + pixel  # in the outputs

    if face_ids_ptr is not None:
        tl.store(face_ids_ptr + at, face, mask=inside)
    if labels_ptr is not None:
        label = tl.load(face_labels_ptr + face, mask=covered, other=NO_LABEL)
        tl.store(labels_ptr + at, tl.where(covered, label, NO_LABEL).to(tl.uint8), mask=inside)
    if alpha_ptr is not None:
        tl.store(alpha_ptr + at, tl.where(covered, 255, 0).to(tl.uint8), mask=inside)

    if queue_ptr is not None:
        left, right = inside & (column > 0), inside & (column < width - 1)
        up, below = inside & (row > 0), inside & (row < height - 1)
        left_face = tl.where(left, face_of(tl.load(keys_ptr + pixel - 1, mask=left, other=-1), epoch), face)
        right_face = tl.where(right, face_of(tl.load(keys_ptr + pixel + 1, mask=right, other=-1), epoch), face)
        up_face = tl.where(up, face_of(tl.load(keys_ptr + pixel - width, mask=up, other=-1), epoch), face)
        below_face = tl.where(below, face_of(tl.load(keys_ptr + pixel + width, mask=below, other=-1), epoch), face)
        queued = (left_face != face) | (right_face != face) | (up_face != face) | (below_face != face)
        meshed = queued & covered
        one = tl.load(adjacent_ptr + face * 3, mask=meshed, other=-1)
        two = tl.load(adjacent_ptr + face * 3 + 1, mask=meshed, other=-1)
        three = tl.load(adjacent_ptr + face * 3 + 2, mask=meshed, other=-1)
        queued = parts_from(face, left_face, one, two, three) | parts_from(face, right_face, one, two, three)
        queued |= parts_from(face, up_face, one, two, three) | parts_from(face, below_face, one, two, three)
        many = tl.sum(queued.to(tl.int32), axis=0)
        if many > 0:
            place = tl.atomic_add(queue_ptr, many, sem="relaxed") + tl.cumsum(queued.to(tl.int32), axis=0)
            tl.store(queue_ptr + place, local * pixels + pixel, mask=queued)

    t0 = tl.zeros([ROWS * COLUMNS], tl.float32)
    t1, t2, away = t0, t0, t0 + INFINITE
    red, green, blue = t0, t0, t0
    if (image_ptr is not None) or (barycentrics_ptr is not None) or (depth_ptr is not None) or (values_ptr is not None):
        if tl.max(covered.to(tl.int32), axis=0) > 0:
            a, b, c, exist = corners_of(faces_ptr, face, covered, vertex_count)
            view_ptr = screen_ptr + local.to(tl.int64) * vertex_count * 4
            x0, y0, w0 = corner(view_ptr, a, exist)
            x1, y1, w1 = corner(view_ptr, b, exist)
            x2, y2, w2 = corner(view_ptr, c, exist)
            t0, t1, t2, area = perspective(
                x0, y0, w0, x1, y1, w1, x2, y2, w2, column * SUBPIXELS + HALF, row * SUBPIXELS + HALF
            )
            size = tl.abs(area).to(tl.float32)
            total = tl.where(covered, t0 + t1 + t2, 1.0)
            t0, t1, t2 = t0 / total, t1 / total, t2 / total
            away = tl.where(covered, size / total, INFINITE)
            mesh = tl.load(mesh_index_ptr + view).to(tl.int64)
            if values_ptr is not None:
                for first in range(0, channels, CHANNELS):
                    channel = first + tl.arange(0, CHANNELS)[None, :]
                    known = exist[:, None] & (channel < channels)
                    base = attributes_ptr + mesh * vertex_count * channels + channel
                    value = t0[:, None] * tl.load(base + a[:, None] * channels, mask=known, other=0.0)
                    value += t1[:, None] * tl.load(base + b[:, None] * channels, mask=known, other=0.0)
                    value += t2[:, None] * tl.load(base + c[:, None] * channels, mask=known, other=0.0)
                    written = inside[:, None] & (channel < channels)
                    tl.store(
                        values_ptr + (at * channels)[:, None] + channel,
                        tl.where(covered[:, None], value, 0.0),
                        mask=written,
                    )
            if image_ptr is not None:
                points_ptr = vertices_ptr + mesh * vertex_count * 3
                a3, b3, c3 = a * 3, b * 3, c * 3
                vx = tl.load(camera_ptr + view * 3) - mixed_corners(points_ptr, a3, b3, c3, t0, t1, t2, exist)
                vy = tl.load(camera_ptr + view * 3 + 1) - mixed_corners(points_ptr + 1, a3, b3, c3, t0, t1, t2, exist)
                vz = tl.load(camera_ptr + view * 3 + 2) - mixed_corners(points_ptr + 2, a3, b3, c3, t0, t1, t2, exist)
                points_ptr = normals_ptr + mesh * vertex_count * 3
                nx = mixed_corners(points_ptr, a3, b3, c3, t0, t1, t2, exist)
                ny = mixed_corners(points_ptr + 1, a3, b3, c3, t0, t1, t2, exist)
                nz = mixed_corners(points_ptr + 2, a3, b3, c3, t0, t1, t2, exist)
                open_sky = mixed_corners(occlusion_ptr + mesh * occlusion_stride, a, b, c, t0, t1, t2, exist)
                first_weight, second_weight = mixed_weights(
                    weights_ptr + mesh * weights_stride * 2, a, b, c, t0, t1, t2, exist
                )
                a, b, c, exist = corners_of(uv_faces_ptr, face, covered, uv_count)
                u = mixed_corners(uvs_ptr, a * 2, b * 2, c * 2, t0, t1, t2, exist)
                v = mixed_corners(uvs_ptr + 1, a * 2, b * 2, c * 2, t0, t1, t2, exist)
                # Texels per pixel, both as areas; log2 halved is the level whose texels are as large as pixels.
                texels = tl.load(uv_areas_ptr + face, mask=covered, other=0.0) * texture_area
                drawn = (size > 0.0) & (texels > 0.0)
                level = 0.5 * tl.log2(tl.where(drawn, texels * PER_AREA, 1.0) / tl.where(drawn, size, 1.0))
                lower, upper, fraction = split_level(level, top)
                skin = tl.load(texture_index_ptr + view).to(tl.int64)
                painted = covered & (skin >= 0) & (skin < texture_count)
                skin_ptr = texels_ptr + skin * texel_count * TEXEL
                p0, p1, p2, p3, across, down = texel_places(u, v, lower, texture_height, texture_width)
                colours = bilinear_quarter(skin_ptr, p0, p1, p2, p3, across, down, 0, painted)
                rest = bilinear_quarter(skin_ptr, p0, p1, p2, p3, across, down, 1, painted)
                coarser = painted & (fraction > 0.0)
                if tl.max(coarser.to(tl.int32), axis=0) > 0:
                    p0, p1, p2, p3, across, down = texel_places(u, v, upper, texture_height, texture_width)
                    other = bilinear_quarter(skin_ptr, p0, p1, p2, p3, across, down, 0, coarser)
                    colours += fraction[:, None] * (other - colours)
                    other = bilinear_quarter(skin_ptr, p0, p1, p2, p3, across, down, 1, coarser)
                    rest += fraction[:, None] * (other - rest)
                base_red, base_green, base_blue, specular = four(colours)
                roughness, along, rise, scatter = four(rest)
                worn = painted & ((first_weight != 0.0) | (second_weight != 0.0))
                if tl.max(worn.to(tl.int32), axis=0) > 0:
                    more_along, more_rise, shade, blood = detail_layers(
                        skin_ptr, u, v, lower, upper, fraction, texture_height, texture_width,
                        first_weight, second_weight, worn,
                    )  # fmt: skip
                    along += more_along
                    rise += more_rise
                    left_over = 1.0 - tl.minimum(tl.maximum(shade, 0.0), 1.0)
                    base_red *= left_over * tl.maximum(1.0 - RED_TINT * blood, 0.0)
                    base_green *= left_over * tl.maximum(1.0 - GREEN_TINT * blood, 0.0)
                    base_blue *= left_over * tl.maximum(1.0 - BLUE_TINT * blood, 0.0)
                    specular *= left_over
                up_ptr += mesh * up_stride
                ux, uy, uz = tl.load(up_ptr), tl.load(up_ptr + 1), tl.load(up_ptr + 2)
                nx, ny, nz = tilted(nx, ny, nz, ux, uy, uz, along, rise)
                lx, ly = tl.load(key_direction_ptr + view * 3), tl.load(key_direction_ptr + view * 3 + 1)
                lz = tl.load(key_direction_ptr + view * 3 + 2)
                key_red, key_green = tl.load(key_colour_ptr + view * 3), tl.load(key_colour_ptr + view * 3 + 1)
                key_blue = tl.load(key_colour_ptr + view * 3 + 2)
                red, green, blue = shade_point(
                    base_red, base_green, base_blue, nx, ny, nz, vx, vy, vz, sh_ptr + view * 27, lx, ly, lz,
                    key_red, key_green, key_blue, open_sky, specular, roughness, scatter,
                )  # fmt: skip
                exposure = tl.load(exposure_ptr + view)
                red, green, blue = tone_mapped(red, exposure), tone_mapped(green, exposure), tone_mapped(blue, exposure)
        elif values_ptr is not None:
            for first in range(0, channels, CHANNELS):
                channel = first + tl.arange(0, CHANNELS)[None, :]
                written = inside[:, None] & (channel < channels)
                nothing = tl.zeros([ROWS * COLUMNS, CHANNELS], tl.float32)
                tl.store(values_ptr + (at * channels)[:, None] + channel, nothing, mask=written)

    if barycentrics_ptr is not None:
        tl.store(barycentrics_ptr + at * 3, tl.where(covered, t0, 0.0), mask=inside)
        tl.store(barycentrics_ptr + at * 3 + 1, tl.where(covered, t1, 0.0), mask=inside)
        tl.store(barycentrics_ptr + at * 3 + 2, tl.where(covered, t2, 0.0), mask=inside)
    if depth_ptr is not None:
        tl.store(depth_ptr + at, away, mask=inside)
    if image_ptr is not None:
        behind = inside & ~covered
        if tl.max(behind.to(tl.int32), axis=0) > 0:
            upper_row, lower_row, down = stretched(row, background_down, background_height)
            west, east, across = stretched(column, background_across, background_width)
            sky_ptr = background_ptr + view * background_stride
            p0, p1 = (
                sky_ptr + (upper_row * background_width + west) * 3,
                sky_ptr + (upper_row * background_width + east) * 3,
            )
            p2, p3 = (
                sky_ptr + (lower_row * background_width + west) * 3,
                sky_ptr + (lower_row * background_width + east) * 3,
            )
            red = tl.where(covered, red, bilinear_tap(p0, p1, p2, p3, 0, across, down, behind))
            green = tl.where(covered, green, bilinear_tap(p0, p1, p2, p3, 1, across, down, behind))
            blue = tl.where(covered, blue, bilinear_tap(p0, p1, p2, p3, 2, across, down, behind))
        if queue_ptr is not None:
            kept_ptr = light_ptr + local.to(tl.int64) * pixels * 3 + pixel * 3
            tl.store(kept_ptr, red, mask=queued)
            tl.store(kept_ptr + 1, green, mask=queued)
            tl.store(kept_ptr + 2, blue, mask=queued)
        out_ptr = image_ptr + view * pixels * 3 + pixel.to(tl.int64) * pixel_stride
        store_colour(out_ptr, red, green, blue, edges_ptr, channel_stride, inside, BFLOAT16)


@triton.jit
def mixed_light(light_ptr, index, width, kept, left, right, up, below):  # type: ignore[no-untyped-def]
    """Return one channel of the mix of a queued pixel's own light and its neighbours'; a share of 0 reads nothing."""
    light = kept * tl.load(light_ptr + index * 3, mask=kept > 0.0, other=0.0)
    light += left * tl.load(light_ptr + (index - 1) * 3, mask=left > 0.0, other=0.0)
    light += right * tl.load(light_ptr + (index + 1) * 3, mask=right > 0.0, other=0.0)
    light += up * tl.load(light_ptr + (index - width) * 3, mask=up > 0.0, other=0.0)
    light += below * tl.load(light_ptr + (index + width) * 3, mask=below > 0.0, other=0.0)
    return light


@triton.jit(do_not_specialize=["first_view", "epoch"])  # type: ignore[untyped-decorator]
def antialias_queue_kernel(  # type: ignore[no-untyped-def]
    keys_ptr,
    screen_ptr,
    queue_ptr,
    light_ptr,
    faces_ptr,
    adjacent_ptr,
    edges_ptr,
    image_ptr,
    alpha_ptr,
    first_view,
    epoch,
    height,
    width,
    vertex_count,
    face_count,
    pixel_stride,
    channel_stride,
    BFLOAT16: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """A persistent program: every num_programs-th block of PIXELS pixels of the queue."""
    pixels = height * width
    many = tl.load(queue_ptr)
    start = tl.program_id(0) * PIXELS
    while start < many:
        # a lane per pixel and direction: left, right, up, below
        lane = tl.arange(0, 4 * PIXELS)
        queued = start + lane // 4 < many
        index = tl.load(queue_ptr + 1 + start + lane // 4, mask=queued, other=0)
        local, pixel, which = index // pixels, index % pixels, lane % 4
        along, step = which // 2, which % 2 * 2 - 1
        row, column = pixel // width, pixel % width
        beside = tl.where(along == 0, column, row) + step
        queued = queued & (beside >= 0) & (beside < tl.where(along == 0, width, height))
        own_key = tl.load(keys_ptr + index, mask=queued, other=-1)
        other_key = tl.load(keys_ptr + index + tl.where(along == 0, step, step * width), mask=queued, other=-1)
        own, other = face_of(own_key, epoch), face_of(other_key, epoch)
        # The lesser key is the nearer face, of equals the lower one; what an older epoch left, or nobody, is greater.
        own_in_front = own_key < other_key
        pair = is_pair(own, other, step, adjacent_ptr, face_count, queued)
        mesh = (face_count, vertex_count, local.to(tl.int64) * vertex_count)
        share = taken_share(
            own, other, own_in_front, column, row, step, along, screen_ptr, faces_ptr, adjacent_ptr, mesh, pair
        )
        left, right, up, below = four(tl.reshape(share, (PIXELS, 4)))
        total = left + right + up + below
        mixes = total > 0.0
        scale = 1.0 / tl.maximum(total, 1.0)  # never more than the whole pixel
        kept = tl.where(mixes, 1.0 - total * scale, 0.0)

        # and now a lane per pixel
        place = start + tl.arange(0, PIXELS)
        index = tl.load(queue_ptr + 1 + place, mask=place < many, other=0)
        pixel = (index % pixels).to(tl.int64)
        view = (first_view + index // pixels).to(tl.int64)
        if alpha_ptr is not None:
            left_cover, right_cover, up_cover, below_cover = four(
                tl.reshape(tl.where(other >= 0, share, 0.0), (PIXELS, 4))
            )
            own_cover = face_of(tl.load(keys_ptr + index, mask=mixes, other=-1), epoch) >= 0
            cover = tl.where(own_cover, kept, 0.0) + scale * (left_cover + right_cover + up_cover + below_cover)
            cover = tl.minimum(cover, 1.0) * 255.0 + 0.5
            tl.store(alpha_ptr + view * pixels + pixel, cover.to(tl.int32).to(tl.uint8), mask=mixes)
        if image_ptr is not None:
            index = index.to(tl.int64)
            left, right, up, below = left * scale, right * scale, up * scale, below * scale
            red = mixed_light(light_ptr, index, width, kept, left, right, up, below)
            green = mixed_light(light_ptr + 1, index, width, kept, left, right, up, below)
            blue = mixed_light(light_ptr + 2, index, width, kept, left, right, up, below)
            out_ptr = image_ptr + view * pixels * 3 + pixel * pixel_stride
            store_colour(out_ptr, red, green, blue, edges_ptr, channel_stride, mixes, BFLOAT16)
        start += tl.num_programs(0) * PIXELS


class Chunk(NamedTuple):
    """Buffers of a chunk of views, and which views they hold now."""

    screen: Tensor  # [N, V, 4] int32
    keys: Tensor  # [N, H · W] int64
    queue: Tensor | None  # [1 + N · H · W] int32, None where neither image nor alpha is wanted
    light: Tensor | None  # [N · H · W, 3] float32, None where no image is wanted
    first_view: int
    epoch: int


def launch_resolve(
    scene: RenderInputs,
    topology: PreparedTopology,
    normals: Tensor | None,
    made: Rendered,
    layout: str,
    chunk: Chunk,
    *,
    blocks: Blocks = BLOCKS,
) -> None:
    """Write the outputs of a chunk's views, not yet antialiased; all tensors contiguous, those of the scene float32.

    Args:
        scene: All views; the topology's fields take the place of the scene's.
        topology: See `prepare_topology`.
        normals: [M, V, 3], None without an image.
        made: Outputs of all views, None where not wanted; the image as uint8, or as int16 for bfloat16.
        layout: Of the image.
        chunk: After `launch_visibility`.
        blocks: Pixels of a program.
    """
    views, (height, width) = len(chunk.screen), scene.size
    if chunk.queue is not None:
        chunk.queue[:1].zero_()
    tall, wide = scene.background.shape[1:3]
    texture = scene.texture
    resolve_kernel[(views * triton.cdiv(height, blocks.rows) * triton.cdiv(width, blocks.columns),)](
        chunk.keys,
        chunk.screen,
        chunk.queue,
        chunk.light,
        scene.vertices,
        normals,
        topology.faces,
        topology.adjacent_faces,
        topology.uvs,
        topology.uv_faces,
        topology.uv_areas,
        topology.face_labels,
        texture.texels,
        scene.occlusion,
        scene.detail_weights,
        scene.up,
        scene.camera_position,
        scene.sh,
        scene.key_direction,
        scene.key_colour,
        scene.background,
        scene.exposure,
        scene.mesh_index,
        scene.texture_index,
        scene.attributes,
        topology.srgb_edges,
        *made,
        chunk.first_view,
        chunk.epoch,
        height,
        width,
        scene.vertices.shape[1],
        len(topology.uvs),
        len(texture.texels),
        texture.texels.shape[1],
        texture.height,
        texture.width,
        max(texture.height, texture.width).bit_length() - 1,
        float(texture.height * texture.width),
        scene.vertices.shape[1] if len(scene.occlusion) > 1 else 0,
        scene.vertices.shape[1] if len(scene.detail_weights) > 1 else 0,
        3 if len(scene.up) > 1 else 0,
        tall,
        wide,
        tall * wide * 3 if len(scene.background) > 1 else 0,
        tall / height,
        wide / width,
        scene.attributes.shape[2],
        *_strides(layout, height, width),
        BFLOAT16=_is_bfloat16(made),
        ROWS=blocks.rows,
        COLUMNS=blocks.columns,
        CHANNELS=min(triton.next_power_of_2(max(scene.attributes.shape[2], 1)), CHANNELS),
        num_warps=4,
    )


def launch_antialias_queue(
    scene: RenderInputs,
    topology: PreparedTopology,
    made: Rendered,
    layout: str,
    chunk: Chunk,
    *,
    blocks: Blocks = BLOCKS,
) -> None:
    """Antialias the queued pixels of a chunk after `launch_resolve`."""
    height, width = scene.size
    antialias_queue_kernel[(programs_on(chunk.keys, WAVES, interpreted=1),)](
        chunk.keys,
        chunk.screen,
        chunk.queue,
        chunk.light,
        topology.faces,
        topology.adjacent_faces,
        topology.srgb_edges,
        made.image,
        made.alpha,
        chunk.first_view,
        chunk.epoch,
        height,
        width,
        scene.vertices.shape[1],
        len(topology.faces),
        *_strides(layout, height, width),
        BFLOAT16=_is_bfloat16(made),
        PIXELS=blocks.queued,
        num_warps=1,
    )


def _strides(layout: str, height: int, width: int) -> tuple[int, int]:
    """Of a pixel and of a channel within a picture."""
    return (3, 1) if layout == "NHWC" else (1, height * width)


def _is_bfloat16(made: Rendered) -> bool:
    return made.image is not None and made.image.dtype == torch.int16
