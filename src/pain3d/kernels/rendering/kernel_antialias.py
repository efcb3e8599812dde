"""Knows the last pass of the fused `render` on a GPU: the queued pixels walk to their silhouettes and mix. Triton."""

from __future__ import annotations

import triton
import triton.language as tl

from pain3d.kernels._triton import launch, programs_on
from pain3d.kernels.antialiasing.kernel import taken_share
from pain3d.kernels.rasterization.kernel import face_of
from pain3d.kernels.rendering.bundles import Rendered, RenderInputs
from pain3d.kernels.rendering.kernel import BLOCKS, PIXEL_BITS, Blocks, Chunk, image_strides, is_bfloat16, warps_of
from pain3d.kernels.rendering.kernel_bytes import store_colour, store_linear
from pain3d.kernels.rendering.topology import PreparedTopology

# Jitted code reads globals only where they are constexpr.
_PIXEL_BITS, _PIXEL_MASK = tl.constexpr(PIXEL_BITS), tl.constexpr(2**PIXEL_BITS - 1)
WAVES = 64  # programs per multiprocessor, one warp each: twice as many as fit, so that long walks even out


@triton.jit
def mixed_light(light_ptr, index, width, kept, left, right, up, below):  # type: ignore[no-untyped-def]
    """Return one channel of the mix of a queued pixel's own light and its neighbours'; a share of 0 reads nothing."""
    light = kept * tl.load(light_ptr + index * 3, mask=kept > 0.0, other=0.0)
    light = tl.fma(left, tl.load(light_ptr + (index - 1) * 3, mask=left > 0.0, other=0.0), light)
    light = tl.fma(right, tl.load(light_ptr + (index + 1) * 3, mask=right > 0.0, other=0.0), light)
    light = tl.fma(up, tl.load(light_ptr + (index - width) * 3, mask=up > 0.0, other=0.0), light)
    light = tl.fma(below, tl.load(light_ptr + (index + width) * 3, mask=below > 0.0, other=0.0), light)
    return light


@triton.jit(do_not_specialize=["first_view", "epoch"])  # type: ignore[untyped-decorator]
def antialias_queue_kernel(  # type: ignore[no-untyped-def]
    buffers,
    faces,
    adjacent_faces,
    srgb_buckets,
    image,
    alpha,
    linear,  # [B, H, W, 4]
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
        place = start + tl.arange(0, PIXELS)
        entry = tl.load(buffers.queue + 1 + place, mask=place < many, other=0)
        pairs, index = (entry >> _PIXEL_BITS) & 15, entry & _PIXEL_MASK
        local, pixel = index // pixels, index % pixels
        row, column = pixel // width, pixel % width
        own_key = tl.load(buffers.keys + index, mask=pairs > 0, other=-1)
        own = face_of(own_key, epoch)
        mesh = (face_count, vertex_count, local.to(tl.int64) * vertex_count)
        left = tl.zeros([PIXELS], tl.float32)
        right, up, below, cover = left, left, left, left
        # A lane per pixel, its next pair in each turn: few have more than two.
        while tl.max(pairs, axis=0) > 0:
            walks = pairs > 0
            pair = pairs & -pairs
            pairs -= pair
            along, step = (pair > 2).to(tl.int32), tl.where((pair == 1) | (pair == 4), -1, 1)
            beside = index + tl.where(along == 0, step, step * width)
            other_key = tl.load(buffers.keys + beside, mask=walks, other=-1)
            other = face_of(other_key, epoch)
            # The lesser key is the nearer face, of equals the lower one; of an older epoch, or nobody's, it is greater.
            share = taken_share(
                own, other, own_key < other_key, column, row, step, along, buffers.screen, faces, adjacent_faces, mesh,
                walks,
            )  # fmt: skip
            left, right = tl.where(pair == 1, share, left), tl.where(pair == 2, share, right)
            up, below = tl.where(pair == 4, share, up), tl.where(pair == 8, share, below)
            cover += tl.where(other >= 0, share, 0.0)
        total = left + right + up + below
        mixes = total > 0.0
        scale = 1.0 / tl.maximum(total, 1.0)  # never more than the whole pixel
        kept = tl.where(mixes, tl.fma(-total, scale, 1.0), 0.0)
        view, pixel = (first_view + local).to(tl.int64), pixel.to(tl.int64)
        cover = tl.minimum(tl.fma(scale, cover, tl.where(own >= 0, kept, 0.0)), 1.0)
        if alpha is not None:
            tl.store(alpha + view * pixels + pixel, tl.fma(cover, 255.0, 0.5).to(tl.int32).to(tl.uint8), mask=mixes)
        if (image is not None) or (linear is not None):
            index = index.to(tl.int64)
            left, right, up, below = left * scale, right * scale, up * scale, below * scale
            red = mixed_light(buffers.light, index, width, kept, left, right, up, below)
            green = mixed_light(buffers.light + 1, index, width, kept, left, right, up, below)
            blue = mixed_light(buffers.light + 2, index, width, kept, left, right, up, below)
            if linear is not None:
                store_linear(linear + (view * pixels + pixel) * 4, red, green, blue, cover, mixes)
            if image is not None:
                out = image + view * pixels * 3 + pixel * pixel_stride
                store_colour(out, red, green, blue, srgb_buckets, channel_stride, mixes, BFLOAT16)
        start += tl.num_programs(0) * PIXELS


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
    launch(
        antialias_queue_kernel,
        (programs_on(chunk.buffers.keys, WAVES, interpreted=1),),
        chunk.buffers,
        scene.triangles.faces,
        scene.triangles.adjacent_faces,
        tables.srgb_buckets,
        made.image,
        made.alpha,
        made.linear,
        chunk.first_view,
        chunk.epoch,
        scene.size,
        (scene.triangles.faces.shape[0], scene.meshes.vertices.shape[1]),
        image_strides(layout, *scene.size),
        BFLOAT16=is_bfloat16(made),
        PIXELS=blocks.queued,
        num_warps=warps_of(blocks.queued),
    )
