"""Knows those gradients of the fused `render` on a GPU that are the picture's: of encoding and background. Triton."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.rendering.colour import GAMMA, OFFSET, TOE, TOE_SLOPE
from pain3d.kernels.rendering.kernel import image_strides
from pain3d.kernels.rendering.kernel_bytes import stretched

LANES = 4096 if interpreting() else 128  # of a program

# Jitted code reads globals only where they are constexpr.
_TOE, _TOE_SLOPE = tl.constexpr(TOE), tl.constexpr(TOE_SLOPE)
_CURVE, _POWER = tl.constexpr((1 + OFFSET) / GAMMA), tl.constexpr(1 / GAMMA - 1)


@triton.jit  # type: ignore[untyped-decorator]
def _encode_backward(  # type: ignore[no-untyped-def]
    image_ptr, linear_ptr, gradient_ptr, count, pixels, pixel_stride, channel_stride, LANES: tl.constexpr
):
    # The sRGB curve's slope at the light that came in, 0 where it was clipped; straight through the rounding.
    at = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    there = at < count
    view = at // pixels
    upstream = image_ptr + view * pixels * 3 + (at - view * pixels) * pixel_stride
    for channel in tl.static_range(3):
        light = tl.load(linear_ptr + at * 4 + channel, mask=there, other=0.0)
        curve = tl.exp2(tl.log2(tl.where(light > _TOE, light, 1.0)) * _POWER) * _CURVE
        slope = tl.where(light <= _TOE, _TOE_SLOPE, curve)
        slope = tl.where((light >= 0.0) & (light <= 1.0), slope, 0.0)
        added = slope * tl.load(upstream + channel * channel_stride, mask=there, other=0.0)
        place = gradient_ptr + at * 4 + channel
        tl.store(place, tl.load(place, mask=there, other=0.0) + added, mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _unstretch(  # type: ignore[no-untyped-def]
    source_ptr,
    face_ids_ptr,  # [rows, count] int32: only pixels of the background count; None takes all
    out_ptr,  # [rows, texels, channels]
    numbers,  # of out
    count,
    texels,
    channels,
    strides,  # of the source: from row to row, from pixel to pixel
    scale,  # texels per pixel
    LANES: tl.constexpr,
):
    # Along one side: a texel sums, in order, over the pixels that it was stretched over, by shares of `stretched`.
    row_stride, pixel_stride = strides
    lane = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    there = lane < numbers
    row = lane // (texels * channels)
    within = (lane - row * texels * channels).to(tl.int32)
    texel, channel = within // channels, within % channels
    # Pixels whose place lies less than a texel away, and all beyond an outer texel's centre; one more on either side.
    first = tl.floor((texel.to(tl.float32) - 0.5) / scale - 0.5).to(tl.int32) - 1
    last = tl.floor((texel.to(tl.float32) + 1.5) / scale - 0.5).to(tl.int32) + 1
    first = tl.where(texel == 0, 0, tl.maximum(first, 0))
    last = tl.where(texel == texels - 1, count - 1, tl.minimum(last, count - 1))
    many = tl.where(there, last - first + 1, 0)
    total = tl.zeros([LANES], tl.float32)
    for step in range(tl.max(many, 0)):
        pixel = first + step
        taken = step < many
        if face_ids_ptr is not None:
            taken = taken & (tl.load(face_ids_ptr + row * count + pixel, mask=taken, other=0) < 0)
        low, high, fraction = stretched(pixel, scale, texels)
        share = tl.where(low == texel, 1.0 - fraction, 0.0) + tl.where(high == texel, fraction, 0.0)
        value = tl.load(source_ptr + row * row_stride + pixel * pixel_stride + channel, mask=taken, other=0.0)
        total += tl.where(taken, share * value, 0.0)
    tl.store(out_ptr + lane, total, mask=there)


def launch_encode_backward(image: Tensor, linear: Tensor, gradient: Tensor, layout: str) -> None:
    """Add to the gradient [N, H, W, 4] of linear light what comes from that to an image of floats.

    Args:
        image: [N, H, W, 3] float32 or bfloat16 or, as `layout` says, [N, 3, H, W]; contiguous like all.
        linear: [N, H, W, 4], antialiased.
        gradient: Written over.
        layout: Of the image.
    """
    views, height, width = linear.shape[:3]
    count, strides = views * height * width, image_strides(layout, height, width)
    grid = (cdiv(count, LANES),)
    launch(_encode_backward, grid, image, linear, gradient, count, height * width, *strides, LANES=LANES)


def launch_background_backward(gradient: Tensor, face_ids: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the gradient [N, Hb, Wb, 3] to backgrounds of this size, from that to light before antialiasing.

    Args:
        gradient: [N, H, W, 4] float32, contiguous.
        face_ids: [N, H, W] int32, contiguous.
        size: Rows and columns of the background.
    """
    views, height, width = face_ids.shape
    tall, wide = size
    across, out = gradient.new_empty(views, height, wide, 3), gradient.new_empty(views, tall, wide, 3)
    for source, ids, into, *sizes in (
        (gradient, face_ids, across, width, wide, 3, (width * 4, 4), wide / width),
        (across, None, out, height, tall, wide * 3, (height * wide * 3, wide * 3), tall / height),
    ):
        launch(_unstretch, (cdiv(into.numel(), LANES),), source, ids, into, into.numel(), *sizes, LANES=LANES)
    return out
