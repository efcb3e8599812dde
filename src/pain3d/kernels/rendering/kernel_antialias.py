"""Knows the last pass of the fused `render` on a GPU: the queued pixels walk to their silhouettes and mix. Triton."""

from __future__ import annotations

import triton
import triton.language as tl

from pain3d.kernels._triton import UNFUSED, programs_on
from pain3d.kernels.antialiasing.kernel import is_pair, taken_share
from pain3d.kernels.rasterization.kernel import face_of, four
from pain3d.kernels.rendering.bundles import Rendered, RenderInputs
from pain3d.kernels.rendering.kernel import BLOCKS, Blocks, Chunk, image_strides, is_bfloat16, warps_of
from pain3d.kernels.rendering.kernel_bytes import store_colour
from pain3d.kernels.rendering.topology import PreparedTopology

WAVES = 32  # programs per multiprocessor, one warp each: as many as one takes


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
        kept = tl.where(mixes, tl.fma(-total, scale, 1.0), 0.0)

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
            cover = tl.fma(scale, left_cover + right_cover + up_cover + below_cover, tl.where(own_cover, kept, 0.0))
            cover = tl.fma(tl.minimum(cover, 1.0), 255.0, 0.5)
            tl.store(alpha + view * pixels + pixel, cover.to(tl.int32).to(tl.uint8), mask=mixes)
        if image is not None:
            index = index.to(tl.int64)
            left, right, up, below = left * scale, right * scale, up * scale, below * scale
            red = mixed_light(buffers.light, index, width, kept, left, right, up, below)
            green = mixed_light(buffers.light + 1, index, width, kept, left, right, up, below)
            blue = mixed_light(buffers.light + 2, index, width, kept, left, right, up, below)
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
    antialias_queue_kernel[(programs_on(chunk.buffers.keys, WAVES, interpreted=1),)](
        chunk.buffers,
        scene.triangles.faces,
        scene.triangles.adjacent_faces,
        tables.srgb_buckets,
        made.image,
        made.alpha,
        chunk.first_view,
        chunk.epoch,
        scene.size,
        (len(scene.triangles.faces), scene.meshes.vertices.shape[1]),
        image_strides(layout, *scene.size),
        BFLOAT16=is_bfloat16(made),
        PIXELS=blocks.queued,
        num_warps=warps_of(4 * blocks.queued),
        **UNFUSED,
    )
