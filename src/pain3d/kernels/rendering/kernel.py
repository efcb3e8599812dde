"""Knows the fused `render` on a GPU: Triton. From the visibility buffer to bytes, each pixel once.

A chunk of views takes two launches after those of `rasterize`:

    resolve   every pixel: face, barycentrics, texture, light, background, bytes, and whatever else was asked for.
              A pixel that has a silhouette beside it may be mixed: it joins a queue and its light is kept.
    antialias the queue: four walks each, light mixed, bytes written again where a walk met a silhouette.

Two pixels mix only if both are in the queue, so no light is kept for any other pixel and nothing is shaded twice. The
order of the queue changes no byte: a pixel reads others' light and writes only its own bytes.
Kernels take the bundles of `bundles.py` as they are; inside them a tensor is a pointer to its first element. An output
that nobody asked for is None, and its code is not compiled.

Longer than other files: Triton has one door in a room, and two kernels share their device functions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._triton import UNFUSED, programs_on
from pain3d.kernels.antialiasing.kernel import is_pair, taken_share
from pain3d.kernels.rasterization.kernel import corner, corners_of, face_of, four, perspective
from pain3d.kernels.rasterization.reference import HALF as HALF_A_PIXEL
from pain3d.kernels.rasterization.reference import SUBPIXELS as STEPS_OF_A_PIXEL
from pain3d.kernels.rendering.bundles import FORMS, Meshes, Rendered, RenderInputs
from pain3d.kernels.rendering.colour import KNEE as KNEE_OF_LIGHT
from pain3d.kernels.rendering.reference import NO_LABEL as LABEL_OF_NOTHING
from pain3d.kernels.rendering.relief import BLOOD_TINT as TINT_OF_BLOOD
from pain3d.kernels.rendering.relief import CHANNELS as CHANNELS_OF_A_TEXEL
from pain3d.kernels.rendering.topology import PreparedTopology
from pain3d.kernels.shading.kernel import light_of, shade_point, unit
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


class Buffers(NamedTuple):
    """Memory of a chunk of N views."""

    screen: Tensor  # [N, V, 4] int32
    keys: Tensor  # [N, H · W] int64
    queue: Tensor | None  # [1 + N · H · W] int32: a count, then pixels; None where neither image nor alpha is wanted
    light: Tensor | None  # [N · H · W, 3] float32, None where no image is wanted


class Chunk(NamedTuple):
    """Buffers of a chunk of views, and which views they hold now."""

    buffers: Buffers
    first_view: int
    epoch: int


class Sizes(NamedTuple):
    """Numbers that a pointer does not tell."""

    vertices: int
    uvs: int
    textures: int
    texels: int  # of one texture's mip chain
    top: int  # the coarsest level
    texture_area: float  # texels of level 0
    background_height: int
    background_width: int
    background_stride: int  # 0 where all views share one
    background_down: float  # texels of the background per pixel
    background_across: float
    channels: int  # of the attributes
    pixel_stride: int  # of the image
    channel_stride: int


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


@triton.jit
def worn_texture(scene, sizes, view, covered, u, v, level, first_weight, second_weight):  # type: ignore[no-untyped-def]
    """Return albedo (red, green, blue), specular scale, roughness, slopes along t and b, scatter of a view's texture.

    Detail layers are added by their weights; 0 where nothing is covered or the texture does not exist.
    """
    texture, height, width = scene.texture
    lower, upper, fraction = split_level(level, sizes.top)
    skin = tl.load(scene.views.texture_index + view).to(tl.int64)
    painted = covered & (skin >= 0) & (skin < sizes.textures)
    skin_ptr = texture + skin * sizes.texels * TEXEL
    p0, p1, p2, p3, across, down = texel_places(u, v, lower, height, width)
    colours = bilinear_quarter(skin_ptr, p0, p1, p2, p3, across, down, 0, painted)
    rest = bilinear_quarter(skin_ptr, p0, p1, p2, p3, across, down, 1, painted)
    coarser = painted & (fraction > 0.0)
    if tl.max(coarser.to(tl.int32), axis=0) > 0:
        p0, p1, p2, p3, across, down = texel_places(u, v, upper, height, width)
        other = bilinear_quarter(skin_ptr, p0, p1, p2, p3, across, down, 0, coarser)
        colours += fraction[:, None] * (other - colours)
        other = bilinear_quarter(skin_ptr, p0, p1, p2, p3, across, down, 1, coarser)
        rest += fraction[:, None] * (other - rest)
    red, green, blue, specular = four(colours)
    roughness, along, rise, scatter = four(rest)
    worn = painted & ((first_weight != 0.0) | (second_weight != 0.0))
    if tl.max(worn.to(tl.int32), axis=0) > 0:
        more_along, more_rise, shade, blood = detail_layers(
            skin_ptr, u, v, lower, upper, fraction, height, width, first_weight, second_weight, worn
        )
        along += more_along
        rise += more_rise
        left_over = 1.0 - tl.minimum(tl.maximum(shade, 0.0), 1.0)
        red *= left_over * tl.maximum(1.0 - RED_TINT * blood, 0.0)
        green *= left_over * tl.maximum(1.0 - GREEN_TINT * blood, 0.0)
        blue *= left_over * tl.maximum(1.0 - BLUE_TINT * blood, 0.0)
        specular *= left_over
    return (red, green, blue), specular, roughness, along, rise, scatter


@triton.jit
def surface_light(  # type: ignore[no-untyped-def]
    scene, strides, tables, normals, sizes, view, mesh, face, covered, corners, exist, shares, area
):
    """Return the exposed and tone-mapped light (red, green, blue) of what covered pixels of a view see.

    corners: three vertices of each pixel's face, shares: how much of each; both hold where `exist`. area: of the face
    on the screen, doubled, in (1/256 px)².
    """
    meshes, triangles, views = scene.meshes, scene.triangles, scene.views
    a, b, c = corners
    t0, t1, t2 = shares
    a3, b3, c3 = a * 3, b * 3, c * 3
    camera, points = views.camera_position + view * 3, meshes.vertices + mesh * sizes.vertices * 3
    vx = tl.load(camera) - mixed_corners(points, a3, b3, c3, t0, t1, t2, exist)
    vy = tl.load(camera + 1) - mixed_corners(points + 1, a3, b3, c3, t0, t1, t2, exist)
    vz = tl.load(camera + 2) - mixed_corners(points + 2, a3, b3, c3, t0, t1, t2, exist)
    points = normals + mesh * sizes.vertices * 3
    nx = mixed_corners(points, a3, b3, c3, t0, t1, t2, exist)
    ny = mixed_corners(points + 1, a3, b3, c3, t0, t1, t2, exist)
    nz = mixed_corners(points + 2, a3, b3, c3, t0, t1, t2, exist)
    open_sky = mixed_corners(meshes.occlusion + mesh * strides.occlusion, a, b, c, t0, t1, t2, exist)
    # The stride counts vertices, so that the compiler sees that a pair lies on 8 bytes.
    weights = meshes.detail_weights + mesh * strides.detail_weights * 2
    first_weight, second_weight = mixed_weights(weights, a, b, c, t0, t1, t2, exist)
    a, b, c, exist = corners_of(triangles.uv_faces, face, covered, sizes.uvs)
    u = mixed_corners(triangles.uvs, a * 2, b * 2, c * 2, t0, t1, t2, exist)
    v = mixed_corners(triangles.uvs + 1, a * 2, b * 2, c * 2, t0, t1, t2, exist)
    # Texels per pixel, both as areas; log2 halved is the level whose texels are as large as pixels.
    texels = tl.load(tables.uv_areas + face, mask=covered, other=0.0) * sizes.texture_area
    drawn = (area > 0.0) & (texels > 0.0)
    level = 0.5 * tl.log2(tl.where(drawn, texels * PER_AREA, 1.0) / tl.where(drawn, area, 1.0))
    albedo, specular, roughness, along, rise, scatter = worn_texture(
        scene, sizes, view, covered, u, v, level, first_weight, second_weight
    )
    up = meshes.up + mesh * strides.up
    ux, uy, uz = tl.load(up), tl.load(up + 1), tl.load(up + 2)
    normal, light = tilted(nx, ny, nz, ux, uy, uz, along, rise), light_of(scene.lights, view)
    red, green, blue = shade_point(albedo, normal, (vx, vy, vz), light, open_sky, specular, roughness, scatter)
    exposure = tl.load(views.exposure + view)
    return tone_mapped(red, exposure), tone_mapped(green, exposure), tone_mapped(blue, exposure)


@triton.jit
def sky_light(views, sizes, view, row, column, mask):  # type: ignore[no-untyped-def]
    """Return (red, green, blue) of the stretched background of a view."""
    upper_row, lower_row, down = stretched(row, sizes.background_down, sizes.background_height)
    west, east, across = stretched(column, sizes.background_across, sizes.background_width)
    sky = views.background + view * sizes.background_stride
    p0, p1 = (
        sky + (upper_row * sizes.background_width + west) * 3,
        sky + (upper_row * sizes.background_width + east) * 3,
    )
    p2, p3 = (
        sky + (lower_row * sizes.background_width + west) * 3,
        sky + (lower_row * sizes.background_width + east) * 3,
    )
    red = bilinear_tap(p0, p1, p2, p3, 0, across, down, mask)
    green = bilinear_tap(p0, p1, p2, p3, 1, across, down, mask)
    return red, green, bilinear_tap(p0, p1, p2, p3, 2, across, down, mask)


@triton.jit  # type: ignore[untyped-decorator]
def store_attributes(  # type: ignore[no-untyped-def]
    out, attributes, channels, at, inside, covered, corners, exist, shares, CHANNELS: tl.constexpr
):
    """Mix a mesh's attributes [V, channels] at the corners of covered pixels and write them; 0 to the others."""
    a, b, c = corners
    t0, t1, t2 = shares
    for first in range(0, channels, CHANNELS):
        channel = first + tl.arange(0, CHANNELS)[None, :]
        known = exist[:, None] & (channel < channels)
        base = attributes + channel
        value = t0[:, None] * tl.load(base + a[:, None] * channels, mask=known, other=0.0)
        value += t1[:, None] * tl.load(base + b[:, None] * channels, mask=known, other=0.0)
        value += t2[:, None] * tl.load(base + c[:, None] * channels, mask=known, other=0.0)
        written = inside[:, None] & (channel < channels)
        tl.store(out + (at * channels)[:, None] + channel, tl.where(covered[:, None], value, 0.0), mask=written)


@triton.jit(do_not_specialize=["first_view", "epoch"])  # type: ignore[untyped-decorator]
def resolve_kernel(  # type: ignore[no-untyped-def]
    scene,  # RenderInputs
    strides,  # Meshes: how far the rows of two meshes lie apart, 0 where all share one
    tables,  # PreparedTopology
    normals,  # [M, V, 3], None without an image
    buffers,
    made,  # Rendered: what is None is not compiled
    sizes,
    first_view,
    epoch,
    BFLOAT16: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """One program: ROWS x COLUMNS pixels of one view."""
    height, width = scene.size
    triangles = scene.triangles
    pixels = height * width
    tiles_across = tl.cdiv(width, COLUMNS)
    tiles = tiles_across * tl.cdiv(height, ROWS)
    local, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    view = (first_view + local).to(tl.int64)
    lane = tl.arange(0, ROWS * COLUMNS)
    row, column = tile // tiles_across * ROWS + lane // COLUMNS, tile % tiles_across * COLUMNS + lane % COLUMNS
    inside = (row < height) & (column < width)
    pixel = row * width + column
    keys = buffers.keys + local.to(tl.int64) * pixels
    face = face_of(tl.load(keys + pixel, mask=inside, other=-1), epoch)
    covered = inside & (face >= 0)
    at = view * pixels + pixel  # in the outputs

    if made.face_ids is not None:
        tl.store(made.face_ids + at, face, mask=inside)
    if made.labels is not None:
        label = tl.load(triangles.face_labels + face, mask=covered, other=NO_LABEL)
        tl.store(made.labels + at, tl.where(covered, label, NO_LABEL).to(tl.uint8), mask=inside)
    if made.alpha is not None:
        tl.store(made.alpha + at, tl.where(covered, 255, 0).to(tl.uint8), mask=inside)

    if buffers.queue is not None:
        left, right = inside & (column > 0), inside & (column < width - 1)
        up, below = inside & (row > 0), inside & (row < height - 1)
        left_face = tl.where(left, face_of(tl.load(keys + pixel - 1, mask=left, other=-1), epoch), face)
        right_face = tl.where(right, face_of(tl.load(keys + pixel + 1, mask=right, other=-1), epoch), face)
        up_face = tl.where(up, face_of(tl.load(keys + pixel - width, mask=up, other=-1), epoch), face)
        below_face = tl.where(below, face_of(tl.load(keys + pixel + width, mask=below, other=-1), epoch), face)
        queued = (left_face != face) | (right_face != face) | (up_face != face) | (below_face != face)
        meshed = queued & covered
        one = tl.load(triangles.adjacent_faces + face * 3, mask=meshed, other=-1)
        two = tl.load(triangles.adjacent_faces + face * 3 + 1, mask=meshed, other=-1)
        three = tl.load(triangles.adjacent_faces + face * 3 + 2, mask=meshed, other=-1)
        queued = parts_from(face, left_face, one, two, three) | parts_from(face, right_face, one, two, three)
        queued |= parts_from(face, up_face, one, two, three) | parts_from(face, below_face, one, two, three)
        many = tl.sum(queued.to(tl.int32), axis=0)
        if many > 0:
            place = tl.atomic_add(buffers.queue, many, sem="relaxed") + tl.cumsum(queued.to(tl.int32), axis=0)
            tl.store(buffers.queue + place, local * pixels + pixel, mask=queued)

    t0 = tl.zeros([ROWS * COLUMNS], tl.float32)
    t1, t2, away = t0, t0, t0 + INFINITE
    red, green, blue = t0, t0, t0
    if (
        (made.image is not None)
        or (made.barycentrics is not None)
        or (made.depth is not None)
        or (made.attributes is not None)
    ):
        if tl.max(covered.to(tl.int32), axis=0) > 0:
            a, b, c, exist = corners_of(triangles.faces, face, covered, sizes.vertices)
            records = buffers.screen + local.to(tl.int64) * sizes.vertices * 4
            x0, y0, w0 = corner(records, a, exist)
            x1, y1, w1 = corner(records, b, exist)
            x2, y2, w2 = corner(records, c, exist)
            t0, t1, t2, area = perspective(
                x0, y0, w0, x1, y1, w1, x2, y2, w2, column * SUBPIXELS + HALF, row * SUBPIXELS + HALF
            )
            area = tl.abs(area).to(tl.float32)
            total = tl.where(covered, t0 + t1 + t2, 1.0)
            t0, t1, t2 = t0 / total, t1 / total, t2 / total
            away = tl.where(covered, area / total, INFINITE)
            mesh = tl.load(scene.views.mesh_index + view).to(tl.int64)
            if made.attributes is not None:
                attributes = scene.meshes.attributes + mesh * sizes.vertices * sizes.channels
                store_attributes(
                    made.attributes, attributes, sizes.channels, at, inside, covered, (a, b, c), exist, (t0, t1, t2),
                    CHANNELS,
                )  # fmt: skip
            if made.image is not None:
                red, green, blue = surface_light(
                    scene, strides, tables, normals, sizes, view, mesh, face, covered, (a, b, c), exist, (t0, t1, t2),
                    area,
                )  # fmt: skip
        elif made.attributes is not None:
            for first in range(0, sizes.channels, CHANNELS):
                channel = first + tl.arange(0, CHANNELS)[None, :]
                written = inside[:, None] & (channel < sizes.channels)
                nothing = tl.zeros([ROWS * COLUMNS, CHANNELS], tl.float32)
                tl.store(made.attributes + (at * sizes.channels)[:, None] + channel, nothing, mask=written)

    if made.barycentrics is not None:
        tl.store(made.barycentrics + at * 3, tl.where(covered, t0, 0.0), mask=inside)
        tl.store(made.barycentrics + at * 3 + 1, tl.where(covered, t1, 0.0), mask=inside)
        tl.store(made.barycentrics + at * 3 + 2, tl.where(covered, t2, 0.0), mask=inside)
    if made.depth is not None:
        tl.store(made.depth + at, away, mask=inside)
    if made.image is not None:
        behind = inside & ~covered
        if tl.max(behind.to(tl.int32), axis=0) > 0:
            sky_red, sky_green, sky_blue = sky_light(scene.views, sizes, view, row, column, behind)
            red = tl.where(covered, red, sky_red)
            green = tl.where(covered, green, sky_green)
            blue = tl.where(covered, blue, sky_blue)
        if buffers.queue is not None:
            kept = buffers.light + local.to(tl.int64) * pixels * 3 + pixel * 3
            tl.store(kept, red, mask=queued)
            tl.store(kept + 1, green, mask=queued)
            tl.store(kept + 2, blue, mask=queued)
        out = made.image + view * pixels * 3 + pixel.to(tl.int64) * sizes.pixel_stride
        store_colour(out, red, green, blue, tables.srgb_edges, sizes.channel_stride, inside, BFLOAT16)


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
    buffers,
    faces,
    adjacent_faces,
    srgb_edges,
    image,
    alpha,
    first_view,
    epoch,
    size,  # height, width
    counts,  # of faces and vertices
    image_strides,  # of a pixel and of a channel
    BFLOAT16: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """A persistent program: every num_programs-th block of PIXELS pixels of the queue."""
    height, width = size
    face_count, vertex_count = counts
    pixel_stride, channel_stride = image_strides
    pixels = height * width
    many = tl.load(buffers.queue)
    start = tl.program_id(0) * PIXELS
    while start < many:
        # a lane per pixel and direction: left, right, up, below
        lane = tl.arange(0, 4 * PIXELS)
        queued = start + lane // 4 < many
        index = tl.load(buffers.queue + 1 + start + lane // 4, mask=queued, other=0)
        local, pixel, which = index // pixels, index % pixels, lane % 4
        along, step = which // 2, which % 2 * 2 - 1
        row, column = pixel // width, pixel % width
        beside = tl.where(along == 0, column, row) + step
        queued = queued & (beside >= 0) & (beside < tl.where(along == 0, width, height))
        own_key = tl.load(buffers.keys + index, mask=queued, other=-1)
        other_key = tl.load(buffers.keys + index + tl.where(along == 0, step, step * width), mask=queued, other=-1)
        own, other = face_of(own_key, epoch), face_of(other_key, epoch)
        # The lesser key is the nearer face, of equals the lower one; what an older epoch left, or nobody, is greater.
        own_in_front = own_key < other_key
        pair = is_pair(own, other, step, adjacent_faces, face_count, queued)
        mesh = (face_count, vertex_count, local.to(tl.int64) * vertex_count)
        share = taken_share(
            own, other, own_in_front, column, row, step, along, buffers.screen, faces, adjacent_faces, mesh, pair
        )
        left, right, up, below = four(tl.reshape(share, (PIXELS, 4)))
        total = left + right + up + below
        mixes = total > 0.0
        scale = 1.0 / tl.maximum(total, 1.0)  # never more than the whole pixel
        kept = tl.where(mixes, 1.0 - total * scale, 0.0)

        # and now a lane per pixel
        place = start + tl.arange(0, PIXELS)
        index = tl.load(buffers.queue + 1 + place, mask=place < many, other=0)
        pixel = (index % pixels).to(tl.int64)
        view = (first_view + index // pixels).to(tl.int64)
        if alpha is not None:
            left_cover, right_cover, up_cover, below_cover = four(
                tl.reshape(tl.where(other >= 0, share, 0.0), (PIXELS, 4))
            )
            own_cover = face_of(tl.load(buffers.keys + index, mask=mixes, other=-1), epoch) >= 0
            cover = tl.where(own_cover, kept, 0.0) + scale * (left_cover + right_cover + up_cover + below_cover)
            cover = tl.minimum(cover, 1.0) * 255.0 + 0.5
            tl.store(alpha + view * pixels + pixel, cover.to(tl.int32).to(tl.uint8), mask=mixes)
        if image is not None:
            index = index.to(tl.int64)
            left, right, up, below = left * scale, right * scale, up * scale, below * scale
            red = mixed_light(buffers.light, index, width, kept, left, right, up, below)
            green = mixed_light(buffers.light + 1, index, width, kept, left, right, up, below)
            blue = mixed_light(buffers.light + 2, index, width, kept, left, right, up, below)
            out = image + view * pixels * 3 + pixel * pixel_stride
            store_colour(out, red, green, blue, srgb_edges, channel_stride, mixes, BFLOAT16)
        start += tl.num_programs(0) * PIXELS


def launch_resolve(
    scene: RenderInputs,
    tables: PreparedTopology,
    normals: Tensor | None,
    made: Rendered,
    layout: str,
    chunk: Chunk,
    *,
    blocks: Blocks = BLOCKS,
) -> None:
    """Write the outputs of a chunk's views, not yet antialiased; all tensors contiguous, floats are float32.

    Args:
        scene: All views; its triangles those of the tables.
        tables: See `prepare_topology`.
        normals: [M, V, 3], None without an image.
        made: Outputs of all views, None where not wanted; the image as uint8, or as int16 for bfloat16.
        layout: Of the image.
        chunk: After `launch_visibility`.
        blocks: Pixels of a program.
    """
    buffers, (height, width), channels = chunk.buffers, scene.size, scene.meshes.attributes.shape[2]
    if buffers.queue is not None:
        buffers.queue[:1].zero_()
    tiles = triton.cdiv(height, blocks.rows) * triton.cdiv(width, blocks.columns)
    resolve_kernel[(len(buffers.screen) * tiles,)](
        scene,
        _strides(scene.meshes),
        tables,
        normals,
        buffers,
        made,
        _sizes(scene, layout),
        chunk.first_view,
        chunk.epoch,
        BFLOAT16=_is_bfloat16(made),
        ROWS=blocks.rows,
        COLUMNS=blocks.columns,
        CHANNELS=min(triton.next_power_of_2(max(channels, 1)), CHANNELS),
        num_warps=4,
        **UNFUSED,
    )


def launch_antialias_queue(
    scene: RenderInputs,
    tables: PreparedTopology,
    made: Rendered,
    layout: str,
    chunk: Chunk,
    *,
    blocks: Blocks = BLOCKS,
) -> None:
    """Antialias the queued pixels of a chunk after `launch_resolve`."""
    antialias_queue_kernel[(programs_on(chunk.buffers.keys, WAVES, interpreted=1),)](
        chunk.buffers,
        scene.triangles.faces,
        scene.triangles.adjacent_faces,
        tables.srgb_edges,
        made.image,
        made.alpha,
        chunk.first_view,
        chunk.epoch,
        scene.size,
        (len(scene.triangles.faces), scene.meshes.vertices.shape[1]),
        _image_strides(layout, *scene.size),
        BFLOAT16=_is_bfloat16(made),
        PIXELS=blocks.queued,
        num_warps=1,
        **UNFUSED,
    )


def _strides(meshes: Meshes) -> Meshes:
    """How many vertices, or numbers of `up`, lie between the rows of two meshes; 0 where all share one row."""
    shareable = (FORMS[name][0].startswith("M|1") for name in Meshes._fields)
    return Meshes._make(
        rows.shape[1] if may and len(rows) > 1 else 0 for rows, may in zip(meshes, shareable, strict=True)
    )


def _sizes(scene: RenderInputs, layout: str) -> Sizes:
    height, width = scene.size
    texture, (tall, wide) = scene.texture, scene.views.background.shape[1:3]
    pixel_stride, channel_stride = _image_strides(layout, height, width)
    return Sizes(
        vertices=scene.meshes.vertices.shape[1],
        uvs=len(scene.triangles.uvs),
        textures=len(texture.texels),
        texels=texture.texels.shape[1],
        top=max(texture.height, texture.width).bit_length() - 1,
        texture_area=float(texture.height * texture.width),
        background_height=tall,
        background_width=wide,
        background_stride=tall * wide * 3 if len(scene.views.background) > 1 else 0,
        background_down=tall / height,
        background_across=wide / width,
        channels=scene.meshes.attributes.shape[2],
        pixel_stride=pixel_stride,
        channel_stride=channel_stride,
    )


def _image_strides(layout: str, height: int, width: int) -> tuple[int, int]:
    """Of a pixel and of a channel within a picture."""
    return (3, 1) if layout == "NHWC" else (1, height * width)


def _is_bfloat16(made: Rendered) -> bool:
    return made.image is not None and made.image.dtype == torch.int16
