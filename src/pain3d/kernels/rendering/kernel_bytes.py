"""Knows how the fused `render` on a GPU makes bytes of light, and the light of the background. Triton.

Device functions only; `kernel.py` has the kernels.
"""

from __future__ import annotations

import triton
import triton.language as tl

from pain3d.kernels.rendering.colour import DARKEST, FIRST_BUCKET

# Jitted code reads globals only where they are constexpr.
_DARKEST, _FIRST_BUCKET = tl.constexpr(DARKEST), tl.constexpr(FIRST_BUCKET)


@triton.jit
def stretched(position, scale, texels):  # type: ignore[no-untyped-def]
    """Return the two texels (int32) on either side of a pixel of a stretched line, and the fraction between them."""
    at = tl.fma(position.to(tl.float32) + 0.5, scale, -0.5)
    at = tl.minimum(tl.maximum(at, 0.0), (texels - 1) + 0.0)  # an argument of 1 is a plain number here
    low = at.to(tl.int32)
    return low, tl.minimum(low + 1, texels - 1), at - low.to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def bilinear_tap(p0, p1, p2, p3, channel: tl.constexpr, across, down, mask):  # type: ignore[no-untyped-def]
    """Return one channel of the mix of four background pixels: left to right, then top to bottom."""
    left, right = tl.load(p0 + channel, mask=mask, other=0.0), tl.load(p1 + channel, mask=mask, other=0.0)
    above = tl.fma(across, right - left, left)
    left, right = tl.load(p2 + channel, mask=mask, other=0.0), tl.load(p3 + channel, mask=mask, other=0.0)
    return tl.fma(down, tl.fma(across, right - left, left) - above, above)


@triton.jit
def sky_light(views, sizes, view, row, column, mask):  # type: ignore[no-untyped-def]
    """Return (red, green, blue) of the stretched background of a view; of a single colour nothing is mixed."""
    sky = views.background + view * sizes.background_stride
    if sizes.background_height * sizes.background_width == 1:
        p0 = sky + tl.zeros_like(row)
        red, green = tl.load(p0, mask=mask, other=0.0), tl.load(p0 + 1, mask=mask, other=0.0)
        blue = tl.load(p0 + 2, mask=mask, other=0.0)
    else:
        upper_row, lower_row, down = stretched(row, sizes.background_down, sizes.background_height)
        west, east, across = stretched(column, sizes.background_across, sizes.background_width)
        upper, lower = upper_row * sizes.background_width, lower_row * sizes.background_width
        p0, p1, p2, p3 = (
            sky + (upper + west) * 3,
            sky + (upper + east) * 3,
            sky + (lower + west) * 3,
            sky + (lower + east) * 3,
        )
        red = bilinear_tap(p0, p1, p2, p3, 0, across, down, mask)
        green = bilinear_tap(p0, p1, p2, p3, 1, across, down, mask)
        blue = bilinear_tap(p0, p1, p2, p3, 2, across, down, mask)
    return red, green, blue


@triton.jit
def srgb_byte(light, buckets_ptr):  # type: ignore[no-untyped-def]
    """Return the byte (int32) k of linear light: the last for which light ≥ `SRGB_EDGES[k]`; NaN gives 0.

    buckets: `SRGB_BUCKETS`. Where a bucket ends and the edge in it are exact, so the byte is.
    """
    light = tl.where(light > _DARKEST, light, _DARKEST)  # a comparison, not a maximum: NaN becomes 0
    light = tl.where(light < 1.0, light, 1.0)
    bits = light.to(tl.int32, bitcast=True)
    bucket = tl.load(buckets_ptr + ((bits >> 16) - _FIRST_BUCKET))
    return (bucket & 0xFF) + ((bits & 0xFFFF) >= (bucket >> 8)).to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator]
def store_byte(ptr, byte, mask, BFLOAT16: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write a byte, or byte / 255: as float32, or as the bits of a bfloat16, rounded to nearest, ties to even."""
    if ptr.dtype.element_ty == tl.float32:
        tl.store(ptr, tl.div_rn(byte.to(tl.float32), 255.0), mask=mask)
    elif BFLOAT16:
        bits = (byte.to(tl.float32) / 255.0).to(tl.int32, bitcast=True)
        tl.store(ptr, ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.int16), mask=mask)
    else:
        tl.store(ptr, byte.to(tl.uint8), mask=mask)


@triton.jit  # type: ignore[untyped-decorator]
def store_colour(ptr, red, green, blue, buckets_ptr, channel_stride, mask, BFLOAT16: tl.constexpr):  # type: ignore[no-untyped-def]
    """Encode and write three channels."""
    store_byte(ptr, srgb_byte(red, buckets_ptr), mask, BFLOAT16)
    store_byte(ptr + channel_stride, srgb_byte(green, buckets_ptr), mask, BFLOAT16)
    store_byte(ptr + 2 * channel_stride, srgb_byte(blue, buckets_ptr), mask, BFLOAT16)


@triton.jit
def store_linear(ptr, red, green, blue, coverage, mask):  # type: ignore[no-untyped-def]
    """Write four numbers from each place, one store."""
    record = tl.reshape(tl.join(tl.join(red, blue), tl.join(green, coverage)), (red.shape[0], 4))
    tl.store(ptr[:, None] + tl.arange(0, 4)[None, :], record, mask=mask[:, None])
