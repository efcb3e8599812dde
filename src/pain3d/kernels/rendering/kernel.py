"""Knows the fused `render` on a GPU: Triton. From the visibility buffer to bytes, each pixel once.

A chunk of views takes two launches after those of `rasterize`:

    resolve   every pixel: face, barycentrics, texture, light, background, bytes, and whatever else was asked for.
              A pixel that has a silhouette beside it may be mixed: it joins a queue and its light is kept.
    antialias the queue: four walks each, light mixed, bytes written again where a walk met a silhouette.

Two pixels mix only if both are in the queue, so no light is kept for any other pixel and nothing is shaded twice. The
order of the queue changes no byte: a pixel reads others' light and writes only its own bytes.
Kernels take the bundles of `bundles.py` as they are; inside them a tensor is a pointer to its first element. An output
that nobody asked for is None, and its code is not compiled.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._triton import cdiv, launch, power_of_two
from pain3d.kernels.rasterization.kernel import face_of, four, perspective
from pain3d.kernels.rasterization.reference import HALF as HALF_A_PIXEL
from pain3d.kernels.rasterization.reference import SUBPIXELS as STEPS_OF_A_PIXEL
from pain3d.kernels.rendering.bundles import FORMS, Meshes, Rendered, RenderInputs
from pain3d.kernels.rendering.kernel_bytes import sky_light, store_colour, store_linear
from pain3d.kernels.rendering.kernel_surface import quarter_of, surface_light
from pain3d.kernels.rendering.reference import NO_LABEL as LABEL_OF_NOTHING
from pain3d.kernels.rendering.topology import PreparedTopology

CHANNELS = 8  # of the attributes, interpolated side by side: one or two sectors of 32 bytes per vertex
PIXEL_BITS = 28  # of an element of the queue: which pixel of the chunk; above them four bits for its neighbours
SHAREABLE = tuple(FORMS[name][0].startswith("M|1") for name in Meshes._fields)  # by all meshes
MOST_PROGRAMS = 2**16 - 1  # along the second and third side of a grid: rows of tiles, views of a chunk


class Blocks(NamedTuple):
    """How much of the work a program takes; no byte depends on it."""

    rows: int = 4  # pixels of `resolve`: a warp, so that what it need not do it skips alone, and waits for nobody
    columns: int = 8
    queued: int = 32  # pixels of a step of `antialias`: a warp, a pixel a thread


# The interpreter's cost is per program and operation, not per lane.
BLOCKS = Blocks(rows=64, columns=64, queued=512) if interpreting() else Blocks()


class Buffers(NamedTuple):
    """Memory of a chunk of N views."""

    screen: Tensor  # [N, V, 4] int32
    keys: Tensor  # [N, H · W] int64
    # [1 + N · H · W] int32: a count, then pixels, each with a bit above `PIXEL_BITS` for each neighbour that it may mix
    # with (left, right, up, below). None where nothing antialiased is wanted.
    queue: Tensor | None
    light: Tensor | None  # [N · H · W, 3] float32, None where no light is wanted


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
    shadows: int
    faces: int


SUBPIXELS, HALF = tl.constexpr(STEPS_OF_A_PIXEL), tl.constexpr(HALF_A_PIXEL)
NO_LABEL = tl.constexpr(LABEL_OF_NOTHING)
INFINITE = tl.constexpr(float("inf"))
_PIXEL_BITS = tl.constexpr(PIXEL_BITS)


@triton.jit
def record_of(records, vertex):  # type: ignore[no-untyped-def]
    """Return x, y (int32, 1/256 px) and 1/w (float32) of vertices that exist."""
    x, y, bits, _ = four(quarter_of(records, vertex * 4))
    return x, y, bits.to(tl.float32, bitcast=True)


@triton.jit
def parts_from(face, other, one, two, three):  # type: ignore[no-untyped-def]
    """Whether a neighbour's face is another one and none of the three beside this pixel's own."""
    return (other != face) & ((other < 0) | ((other != one) & (other != two) & (other != three)))


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
        value = tl.fma(t1[:, None], tl.load(base + b[:, None] * channels, mask=known, other=0.0), value)
        value = tl.fma(t2[:, None], tl.load(base + c[:, None] * channels, mask=known, other=0.0), value)
        written = inside[:, None] & (channel < channels)
        tl.store(out + (at * channels)[:, None] + channel, tl.where(covered[:, None], value, 0.0), mask=written)


@triton.jit(do_not_specialize=["first_view", "epoch"])  # type: ignore[untyped-decorator]
def resolve_kernel(  # type: ignore[no-untyped-def]
    scene,  # RenderInputs
    strides,  # Meshes: how far the rows of two meshes lie apart, 0 where all share one
    tables,  # PreparedTopology
    points,  # [M, V, 8], see `vertex_records`; None without light
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
    local = tl.program_id(2)
    view = (first_view + local).to(tl.int64)
    lane = tl.arange(0, ROWS * COLUMNS)
    row, column = tl.program_id(1) * ROWS + lane // COLUMNS, tl.program_id(0) * COLUMNS + lane % COLUMNS
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

    queued = inside & (face < -1)  # nobody
    if buffers.queue is not None:
        left, right = inside & (column > 0), inside & (column < width - 1)
        up, below = inside & (row > 0), inside & (row < height - 1)
        left_face = tl.where(left, face_of(tl.load(keys + pixel - 1, mask=left, other=-1), epoch), face)
        right_face = tl.where(right, face_of(tl.load(keys + pixel + 1, mask=right, other=-1), epoch), face)
        up_face = tl.where(up, face_of(tl.load(keys + pixel - width, mask=up, other=-1), epoch), face)
        below_face = tl.where(below, face_of(tl.load(keys + pixel + width, mask=below, other=-1), epoch), face)
        differs = (left_face != face) | (right_face != face) | (up_face != face) | (below_face != face)
        if tl.max(differs.to(tl.int32), axis=0) > 0:
            meshed = differs & covered
            neighbours = tables.corners + 4 + face[:, None] * 8 + tl.arange(0, 4)[None, :]
            one, two, three, _ = four(tl.load(neighbours, mask=meshed[:, None], other=-1))
            pairs = parts_from(face, left_face, one, two, three).to(tl.int32)
            pairs += parts_from(face, right_face, one, two, three).to(tl.int32) * 2
            pairs += parts_from(face, up_face, one, two, three).to(tl.int32) * 4
            pairs += parts_from(face, below_face, one, two, three).to(tl.int32) * 8
            queued = pairs > 0
            many = tl.sum(queued.to(tl.int32), axis=0)
            if many > 0:
                place = tl.atomic_add(buffers.queue, many, sem="relaxed") + tl.cumsum(queued.to(tl.int32), axis=0)
                tl.store(buffers.queue + place, pairs << _PIXEL_BITS | (local * pixels + pixel), mask=queued)

    t0 = tl.zeros([ROWS * COLUMNS], tl.float32)
    t1, t2, away = t0, t0, t0 + INFINITE
    red, green, blue = t0, t0, t0
    if (
        (made.image is not None)
        or (made.linear is not None)
        or (made.barycentrics is not None)
        or (made.depth is not None)
        or (made.attributes is not None)
    ):
        if tl.max(covered.to(tl.int32), axis=0) > 0:
            # Face 0 stands for none: what is read for it goes nowhere, and a mask costs registers and zeros.
            face = tl.maximum(face, 0)
            a, b, c, _ = four(quarter_of(tables.corners, face * 8))
            exist = covered & (a >= 0)
            a, b, c = tl.maximum(a, 0), tl.maximum(b, 0), tl.maximum(c, 0)
            records = buffers.screen + local.to(tl.int64) * sizes.vertices * 4
            x0, y0, w0 = record_of(records, a)
            x1, y1, w1 = record_of(records, b)
            x2, y2, w2 = record_of(records, c)
            t0, t1, t2, area = perspective(
                x0, y0, w0, x1, y1, w1, x2, y2, w2, column * SUBPIXELS + HALF, row * SUBPIXELS + HALF
            )
            area = tl.abs(area).to(tl.float32)
            per_total = 1.0 / tl.where(covered, t0 + t1 + t2, 1.0)
            t0, t1, t2 = t0 * per_total, t1 * per_total, t2 * per_total
            away = tl.where(covered, area * per_total, INFINITE)
            mesh = tl.load(scene.views.mesh_index + view).to(tl.int64)
            if made.attributes is not None:
                attributes = scene.meshes.attributes + mesh * sizes.vertices * sizes.channels
                store_attributes(
                    made.attributes, attributes, sizes.channels, at, inside, covered, (a, b, c), exist, (t0, t1, t2),
                    CHANNELS,
                )  # fmt: skip
            if (made.image is not None) or (made.linear is not None):
                red, green, blue = surface_light(
                    scene, strides, tables, points, sizes, view, mesh, face, (a, b, c), (t0, t1, t2), area, covered
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
    if (made.image is not None) or (made.linear is not None):
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
    if made.linear is not None:
        store_linear(made.linear + at * 4, red, green, blue, tl.where(covered, 1.0, 0.0), inside)
    if made.image is not None:
        out = made.image + view * pixels * 3 + pixel.to(tl.int64) * sizes.pixel_stride
        store_colour(out, red, green, blue, tables.srgb_buckets, sizes.channel_stride, inside, BFLOAT16)


def vertex_records(meshes: Meshes, normals: Tensor) -> Tensor:
    """Return [M, V, 8] float32: position, occlusion, normal, spare, so that a pixel reads a vertex in two loads."""
    count = meshes.vertices.shape[:2]
    occlusion = meshes.occlusion.expand(count)[..., None]
    return torch.cat([meshes.vertices, occlusion, normals, occlusion], 2)


def launch_resolve(
    scene: RenderInputs,
    tables: PreparedTopology,
    points: Tensor | None,
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
        points: Of `vertex_records`, None where no light is wanted.
        made: Outputs of all views, None where not wanted; the image as uint8, or as int16 for bfloat16.
        layout: Of the image.
        chunk: After `launch_visibility`.
        blocks: Pixels of a program.
    """
    buffers, (height, width), channels = chunk.buffers, scene.size, scene.meshes.attributes.shape[2]
    if buffers.queue is not None:
        buffers.queue[:1].zero_()
    across, down = cdiv(width, blocks.columns), cdiv(height, blocks.rows)
    if down > MOST_PROGRAMS:
        raise ValueError(f"size: at most {MOST_PROGRAMS * blocks.rows} rows with backend 'triton', got {height}")
    launch(
        resolve_kernel,
        (across, down, buffers.screen.shape[0]),
        scene,
        strides_of(scene.meshes),
        tables,
        points,
        buffers,
        made,
        sizes_of(scene, layout),
        chunk.first_view,
        chunk.epoch,
        BFLOAT16=is_bfloat16(made),
        ROWS=blocks.rows,
        COLUMNS=blocks.columns,
        CHANNELS=min(power_of_two(channels), CHANNELS),
        num_warps=warps_of(blocks.rows * blocks.columns),
    )


def warps_of(lanes: int) -> int:
    """How many warps a program of so many lanes gets, one element a thread."""
    return min(max(lanes // 32, 1), 16)


def strides_of(meshes: Meshes) -> Meshes:
    """How many vertices, or numbers of `up`, lie between the rows of two meshes; 0 where all share one row."""
    return Meshes._make(
        [rows.shape[1] if may and rows.shape[0] > 1 else 0 for rows, may in zip(meshes, SHAREABLE, strict=True)]
    )


def sizes_of(scene: RenderInputs, layout: str) -> Sizes:
    """The numbers of a scene, of texels as `pack_texels` or the chain has them, and of an image of this layout."""
    height, width = scene.size
    texture, (tall, wide) = scene.texture, scene.views.background.shape[1:3]
    pixel_stride, channel_stride = image_strides(layout, height, width)
    return Sizes(
        vertices=scene.meshes.vertices.shape[1],
        uvs=scene.triangles.uvs.shape[0],
        textures=texture.texels.shape[0],
        texels=texture.texels.shape[-2],
        top=max(texture.height, texture.width).bit_length() - 1,
        texture_area=float(texture.height * texture.width),
        background_height=tall,
        background_width=wide,
        background_stride=tall * wide * 3 if scene.views.background.shape[0] > 1 else 0,
        background_down=tall / height,
        background_across=wide / width,
        channels=scene.meshes.attributes.shape[2],
        pixel_stride=pixel_stride,
        channel_stride=channel_stride,
        shadows=0 if scene.shadows.kinds is None else len(scene.shadows.kinds),
        faces=0 if scene.shadows.kinds is None else scene.shadows.kinds.shape[1],
    )


def image_strides(layout: str, height: int, width: int) -> tuple[int, int]:
    """Of a pixel and of a channel within a picture."""
    return (3, 1) if layout == "NHWC" else (1, height * width)


def is_bfloat16(made: Rendered) -> bool:
    """Whether the image is bfloat16, which the kernels write as int16."""
    return made.image is not None and made.image.dtype == torch.int16
