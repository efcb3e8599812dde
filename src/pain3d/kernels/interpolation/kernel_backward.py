"""Knows the gradients of interpolation on a GPU: Triton, float32, the same bits in every run.

to attributes     of a corner: Σ over the pixels that see its face of barycentrics_c · grad, by the face; then each
                  vertex sums its corners
to barycentrics   attributes[face_c] · grad, by the pixel; 0 on background
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._groups import Groups
from pain3d.kernels._triton import cdiv, launch, power_of_two
from pain3d.kernels.interpolation.kernel import VALUES
from pain3d.kernels.interpolation.kernel_gather import (
    WALKS,
    Seen,
    Walk,
    begin,
    face_of_lane,
    launch_boxes,
    launch_gather,
    stamps,
    step,
)
from pain3d.kernels.rasterization.kernel import corners_of

FEWEST_CHANNELS = 4  # of a face at once: sums of two spill 8 bytes on sm_90
MOST_CHANNELS = 16  # of a face at once: three sums of 16 for each pixel of the stamp stay in registers
BYTES = 128 << 20  # of what the faces of a chunk of views sum up


@triton.jit(do_not_specialize=["vertices", "faces", "height", "width"])  # type: ignore[untyped-decorator]
def _corner_sums(  # type: ignore[no-untyped-def]
    gradient_ptr,
    barycentrics_ptr,
    faces_ptr,
    seen,
    sums_ptr,
    vertices,
    faces,
    height,
    width,
    channels,
    CHANNELS: tl.constexpr,
    WALK: tl.constexpr,
):
    FACES: tl.constexpr = WALK[0]
    TURNS: tl.constexpr = WALK[1]
    ACROSS: tl.constexpr = WALK[2]
    DOWN: tl.constexpr = WALK[3]
    STAMP: tl.constexpr = ACROSS * DOWN
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = (channel < channels)[None, :]
    view, each = face_of_lane(0, faces, FACES * TURNS, 1, 1)
    some = begin(seen.boxes, view, each, faces, each < faces, WALK[4])[4]
    for turn in range(tl.where(tl.max(some.to(tl.int32), 0) > 0, TURNS, 0)):
        face = face_of_lane(turn, faces, FACES, TURNS, STAMP)[1]
        left, top, columns, rows, mine = begin(seen.boxes, view, face, faces, face < faces, WALK[4])
        exist = corners_of(faces_ptr, face, mine, vertices)[3]
        first = view * height * width
        sum_a = tl.zeros((FACES * STAMP, CHANNELS), tl.float32)
        sum_b, sum_c = tl.zeros_like(sum_a), tl.zeros_like(sum_a)
        for stamp in range(stamps(columns, rows, exist, ACROSS, DOWN)):
            j, i, inside = step(stamp, columns, rows, exist, ACROSS, DOWN)
            pixel = first + (top + i) * width + left + j
            own = inside & (tl.load(seen.face_ids + pixel, mask=inside, other=-1) == face)
            at = gradient_ptr + (pixel * channels)[:, None] + channel[None, :]
            value = tl.load(at, mask=own[:, None] & known, other=0.0)
            weights = barycentrics_ptr + pixel * 3
            sum_a += tl.load(weights, mask=own, other=0.0)[:, None] * value
            sum_b += tl.load(weights + 1, mask=own, other=0.0)[:, None] * value
            sum_c += tl.load(weights + 2, mask=own, other=0.0)[:, None] * value
        one = face_of_lane(turn, faces, FACES, TURNS, 1)[1]  # a lane a face
        ended = begin(seen.boxes, view, one, faces, one < faces, WALK[4])[4]
        at = sums_ptr + ((view * faces + one) * 3 * channels)[:, None] + channel[None, :]
        stored = ended[:, None] & known
        tl.store(at, tl.sum(tl.reshape(sum_a, (FACES, STAMP, CHANNELS)), 1), mask=stored)
        tl.store(at + channels, tl.sum(tl.reshape(sum_b, (FACES, STAMP, CHANNELS)), 1), mask=stored)
        tl.store(at + 2 * channels, tl.sum(tl.reshape(sum_c, (FACES, STAMP, CHANNELS)), 1), mask=stored)


def launch_corner_sums(
    gradient: Tensor,  # [N, H, W, C] float32, contiguous
    barycentrics: Tensor,  # [N, H, W, 3] float32, contiguous
    faces: Tensor,  # [F, 3] int32 or int64, contiguous
    seen: Seen,
    vertices: int,
    *,
    walks: tuple[Walk, ...] = WALKS,
) -> Tensor:
    """Return [N, 3 F, C]: Σ over the pixels that see a face of barycentrics_c · gradient, for each of its corners.

    0 for a face that nobody sees or that has a vertex outside 0 … vertices - 1.
    """
    views, height, width, channels = gradient.shape
    sums = gradient.new_empty(views, 3 * len(faces), channels)
    block = min(max(power_of_two(channels), FEWEST_CHANNELS), MOST_CHANNELS)
    for walk in walks if sums.numel() else ():
        grid = (views * cdiv(len(faces), walk.faces * walk.turns), cdiv(channels, block))
        sizes = (vertices, len(faces), height, width, channels)
        inputs = (gradient, barycentrics, faces, seen)
        launch(_corner_sums, grid, *inputs, sums, *sizes, CHANNELS=block, WALK=tuple(walk[:5]), num_warps=walk.warps)
    return sums


def launch_to_vertices(
    gradient: Tensor,  # [N, H, W, C] float32, contiguous
    barycentrics: Tensor,  # [N, H, W, 3] float32, contiguous
    faces: Tensor,  # [F, 3] int32 or int64, contiguous
    face_ids: Tensor,  # [N, H, W] int32 or int64, contiguous
    corners: Groups,  # of the faces, by vertex
    shared: bool,  # one set of attributes for all views
) -> Tensor:
    """Return the gradient [N, V, C] to attributes, or [1, V, C] if they are shared; views in chunks of 128 MB."""
    (views, channels), vertices = (gradient.shape[0], gradient.shape[3]), len(corners.starts) - 1
    result = gradient.new_zeros(1 if shared else views, vertices, channels)
    chunk = max(BYTES // max(4 * 3 * len(faces) * channels, 1), 1)
    for first in range(0, views, chunk):
        part = slice(first, first + chunk)
        seen = launch_boxes(face_ids[part], len(faces))
        sums = launch_corner_sums(gradient[part], barycentrics[part], faces, seen, vertices)
        found = launch_gather(sums, corners)
        if shared:
            result += found.sum(0, keepdim=True)
        else:
            result[part] = found
    return result


@triton.jit  # type: ignore[untyped-decorator]
def _to_barycentrics(  # type: ignore[no-untyped-def]
    gradient_ptr,
    attributes_ptr,
    faces_ptr,
    face_ids_ptr,
    out_ptr,
    pixels,
    vertices,
    faces,
    channels,
    image_stride,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    blocks = tl.cdiv(pixels, PIXELS)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * PIXELS + tl.arange(0, PIXELS)
    there = pixel < pixels
    place = image * pixels + pixel
    face = tl.load(face_ids_ptr + place, mask=there, other=-1)
    a, b, c, exist = corners_of(faces_ptr, face, (face >= 0) & (face < faces), vertices)
    attributes_ptr += image * image_stride
    row_a = attributes_ptr + (a.to(tl.int64) * channels)[:, None]
    row_b = attributes_ptr + (b.to(tl.int64) * channels)[:, None]
    row_c = attributes_ptr + (c.to(tl.int64) * channels)[:, None]
    sum_a = tl.zeros((PIXELS, CHANNELS), tl.float32)
    sum_b, sum_c = tl.zeros_like(sum_a), tl.zeros_like(sum_a)
    for first in range(0, channels, CHANNELS):
        channel = first + tl.arange(0, CHANNELS)[None, :]
        known = exist[:, None] & (channel < channels)
        value = tl.load(gradient_ptr + (place * channels)[:, None] + channel, mask=known, other=0.0)
        sum_a += tl.load(row_a + channel, mask=known, other=0.0) * value
        sum_b += tl.load(row_b + channel, mask=known, other=0.0) * value
        sum_c += tl.load(row_c + channel, mask=known, other=0.0) * value
    at = out_ptr + place * 3
    tl.store(at, tl.sum(sum_a, 1), mask=there)
    tl.store(at + 1, tl.sum(sum_b, 1), mask=there)
    tl.store(at + 2, tl.sum(sum_c, 1), mask=there)


def launch_to_barycentrics(
    gradient: Tensor,  # [B, H, W, C] float32, contiguous
    attributes: Tensor,  # [B or 1, V, C] float32, contiguous
    faces: Tensor,  # [F, 3] int32 or int64, contiguous
    face_ids: Tensor,  # [B, H, W] int32 or int64, contiguous
    *,
    block: int = VALUES,
) -> Tensor:
    """Return the gradient [B, H, W, 3] to barycentrics: a program per block of pixels x channels, `block` in all."""
    batch, height, width, channels = gradient.shape
    out = torch.empty(batch, height, width, 3, dtype=torch.float32, device=gradient.device)
    channel_block = min(power_of_two(channels), MOST_CHANNELS)
    pixel_block = max(block // channel_block, 1)
    if out.numel():
        grid = (batch * cdiv(height * width, pixel_block),)
        sizes = (height * width, attributes.shape[1], len(faces), channels)
        stride = 0 if len(attributes) == 1 else attributes.stride(0)
        blocks = {"PIXELS": pixel_block, "CHANNELS": channel_block}
        launch(_to_barycentrics, grid, gradient, attributes, faces, face_ids, out, *sizes, stride, **blocks)
    return out
