"""Knows interpolation on a GPU: Triton, float32. A program mixes a block of channels at a block of pixels.

    value(p) = Σ_c barycentrics_c(p) · attributes[faces[face_ids(p), c]]        0 on background

No index is trusted: a face that does not exist, or has a vertex that does not, is background, and nothing is read
for it.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import cdiv, launch, power_of_two

MOST_CHANNELS = 32  # a program: a row of 128 bytes, what one access to memory brings
VALUES = 1024  # a program, pixels x channels: 8 a thread of four warps, so three corners stay in registers


@triton.jit  # type: ignore[untyped-decorator]
def _interpolate(  # type: ignore[no-untyped-def]
    attributes_ptr,
    faces_ptr,
    face_ids_ptr,
    barycentrics_ptr,
    values_ptr,
    pixels,
    vertices,
    faces,
    channels,
    image_stride,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    channel_blocks, pixel_blocks = tl.cdiv(channels, CHANNELS), tl.cdiv(pixels, PIXELS)
    block = tl.program_id(0) // channel_blocks
    image = block // pixel_blocks
    first = (block - image * pixel_blocks) * PIXELS
    lane = tl.arange(0, PIXELS)
    there = lane < pixels - first
    start = image.to(tl.int64) * pixels + first

    face = tl.load(face_ids_ptr + start + lane, mask=there, other=-1)
    covered = (face >= 0) & (face < faces)
    corners = faces_ptr + face.to(tl.int64) * 3
    a = tl.load(corners, mask=covered, other=-1)
    b = tl.load(corners + 1, mask=covered, other=-1)
    c = tl.load(corners + 2, mask=covered, other=-1)
    covered = (a >= 0) & (a < vertices) & (b >= 0) & (b < vertices) & (c >= 0) & (c < vertices)
    weights = barycentrics_ptr + (start + lane) * 3
    weight_a = tl.load(weights, mask=covered, other=0.0)
    weight_b = tl.load(weights + 1, mask=covered, other=0.0)
    weight_c = tl.load(weights + 2, mask=covered, other=0.0)

    channel = (tl.program_id(0) - block * channel_blocks) * CHANNELS + tl.arange(0, CHANNELS)
    known = covered[:, None] & (channel < channels)[None, :]
    rows = attributes_ptr + image.to(tl.int64) * image_stride + channel[None, :]
    mixed = weight_a[:, None] * tl.load(rows + (a.to(tl.int64) * channels)[:, None], mask=known, other=0.0)
    mixed += weight_b[:, None] * tl.load(rows + (b.to(tl.int64) * channels)[:, None], mask=known, other=0.0)
    mixed += weight_c[:, None] * tl.load(rows + (c.to(tl.int64) * channels)[:, None], mask=known, other=0.0)
    target = values_ptr + (start + lane)[:, None] * channels + channel[None, :]
    tl.store(target, mixed, mask=there[:, None] & (channel < channels)[None, :])


def launch_interpolate(
    attributes: Tensor,  # [B or 1, V, C] float32, contiguous
    faces: Tensor,  # [F, 3] int32 or int64, contiguous
    face_ids: Tensor,  # [B, H, W] int32 or int64, contiguous
    barycentrics: Tensor,  # [B, H, W, 3] float32, contiguous
    values: Tensor,  # [B, H, W, C] float32, contiguous: written
    *,
    block: int = VALUES,
) -> None:
    """Write every pixel's values: a program per image and block of pixels x channels, `block` (power of two) in all."""
    if values.numel() == 0:
        return
    batch, height, width, channels = values.shape
    channel_block = min(power_of_two(channels), MOST_CHANNELS)
    pixel_block = max(block // channel_block, 1)
    grid = (batch * cdiv(height * width, pixel_block) * cdiv(channels, channel_block),)
    launch(
        _interpolate,
        grid,
        attributes,
        faces,
        face_ids,
        barycentrics,
        values,
        height * width,
        attributes.shape[1],
        len(faces),
        channels,
        0 if len(attributes) == 1 else attributes.stride(0),
        PIXELS=pixel_block,
        CHANNELS=channel_block,
    )
