"""Knows a JPEG's loss on a GPU: Triton, whole numbers. One launch codes and decodes planes, one makes pixels of them.

The eight numbers that a DCT takes lie in eight tensors, one for each place, whose entries are the rows of many blocks:
so a pass is plain arithmetic on tensors, and between two passes the blocks are transposed.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import UNFUSED
from pain3d.kernels.compression.reference import (
    ACCURATE_FROM,
    FAST_BITS,
    FAST_SHARES,
    FORWARD_DROPS,
    FROM_YCC,
    INVERSE_DROPS,
    MCU,
    SCALE_BITS,
    TO_YCC,
    dct_matrix,
)

UNITS = 4  # of 16 x 16 pixels, a program: 128 rows of luma blocks, one for each thread of four warps
PIXELS = 1024  # a program of the second launch
# Of the reference; a kernel reads globals only as constants. The DCT's left half: the right one mirrors it.
_Y0, _Y1, _Y2, _B0, _B1, _B2, _R0, _R1, _R2 = (tl.constexpr(entry) for row in TO_YCC for entry in row)
_RED, _GREEN_B, _GREEN_R, _BLUE = (tl.constexpr(entry) for entry in FROM_YCC)
_C10, _C11, _C12, _C13 = (tl.constexpr(int(entry)) for entry in dct_matrix()[1, :4])
_C30, _C31, _C32, _C33 = (tl.constexpr(int(entry)) for entry in dct_matrix()[3, :4])
_C50, _C51, _C52, _C53 = (tl.constexpr(int(entry)) for entry in dct_matrix()[5, :4])
_C70, _C71, _C72, _C73 = (tl.constexpr(int(entry)) for entry in dct_matrix()[7, :4])
_C20, _C21, _C60, _C61 = (tl.constexpr(int(dct_matrix()[row, place])) for row in (2, 6) for place in (0, 1))
_ONE = tl.constexpr(int(dct_matrix()[0, 0]))
_ROOT, _SHARED, _LOW, _HIGH = (tl.constexpr(share) for share in FAST_SHARES)
_FAST_BITS, _FAST_BELOW, _SCALE_BITS = tl.constexpr(FAST_BITS), tl.constexpr(ACCURATE_FROM), tl.constexpr(SCALE_BITS)
_ACROSS, _BOTH = (tl.constexpr(bits) for bits in FORWARD_DROPS)
_DOWN, _BACK = (tl.constexpr(bits) for bits in INVERSE_DROPS)


@triton.jit  # type: ignore[untyped-decorator]
def _transposed(a, b, c, d, e, f, g, h, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Lanes by row [BLOCKS · 8] become lanes by column."""
    even = tl.join(tl.join(a, e), tl.join(c, g))  # the last digit of a lane's number is joined last
    odd = tl.join(tl.join(b, f), tl.join(d, h))
    blocks = tl.permute(tl.reshape(tl.join(even, odd), (BLOCKS, 8, 8)), (0, 2, 1))
    even, odd = tl.split(tl.reshape(blocks, (BLOCKS * 8, 2, 2, 2)))
    ae, cg = tl.split(even)
    bf, dh = tl.split(odd)
    a, e = tl.split(ae)
    b, f = tl.split(bf)
    c, g = tl.split(cg)
    d, h = tl.split(dh)
    return a, b, c, d, e, f, g, h


@triton.jit  # type: ignore[untyped-decorator]
def _dropped(number, BITS: tl.constexpr):  # type: ignore[no-untyped-def]
    return ((number >> (BITS - 1)) + 1) >> 1


@triton.jit  # type: ignore[untyped-decorator]
def _accurate(a, b, c, d, e, f, g, h, BITS: tl.constexpr):  # type: ignore[no-untyped-def]
    """The DCT of eight lanes by `dct_matrix`."""
    s, t, u, v = a + h, b + g, c + f, d + e
    a, b, c, d = a - h, b - g, c - f, d - e
    return (
        _dropped((s + t + u + v) * _ONE, BITS),
        _dropped(a * _C10 + b * _C11 + c * _C12 + d * _C13, BITS),
        _dropped((s - v) * _C20 + (t - u) * _C21, BITS),
        _dropped(a * _C30 + b * _C31 + c * _C32 + d * _C33, BITS),
        _dropped((s - t - u + v) * _ONE, BITS),
        _dropped(a * _C50 + b * _C51 + c * _C52 + d * _C53, BITS),
        _dropped((s - v) * _C60 + (t - u) * _C61, BITS),
        _dropped(a * _C70 + b * _C71 + c * _C72 + d * _C73, BITS),
    )


@triton.jit  # type: ignore[untyped-decorator]
def _inverse(a, b, c, d, e, f, g, h, BITS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Its transpose."""
    outer, inner = c * _C20 + g * _C60, c * _C21 + g * _C61
    plus, minus = (a + e) * _ONE, (a - e) * _ONE
    s, t, u, v = plus + outer, minus + inner, minus - inner, plus - outer
    w = b * _C10 + d * _C30 + f * _C50 + h * _C70
    x = b * _C11 + d * _C31 + f * _C51 + h * _C71
    y = b * _C12 + d * _C32 + f * _C52 + h * _C72
    z = b * _C13 + d * _C33 + f * _C53 + h * _C73
    return (
        _dropped(s + w, BITS),
        _dropped(t + x, BITS),
        _dropped(u + y, BITS),
        _dropped(v + z, BITS),
        _dropped(v - z, BITS),
        _dropped(u - y, BITS),
        _dropped(t - x, BITS),
        _dropped(s - w, BITS),
    )


@triton.jit
def _fast(a, b, c, d, e, f, g, h):  # type: ignore[no-untyped-def]
    """The fast DCT of eight lanes."""
    outer, inner, differ = a + h + d + e, b + g + c + f, a + h - d - e
    turned = ((b + g - c - f + differ) * _ROOT) >> _FAST_BITS
    a, b, c, d = a - h, b - g, c - f, d - e
    low, middle, high = c + d, ((b + c) * _ROOT) >> _FAST_BITS, a + b
    shared = ((low - high) * _SHARED) >> _FAST_BITS
    down, up = ((low * _LOW) >> _FAST_BITS) + shared, ((high * _HIGH) >> _FAST_BITS) + shared
    plus, minus = a + middle, a - middle
    return (
        outer + inner,
        plus + up,
        differ + turned,
        minus - down,
        outer - inner,
        minus + down,
        differ - turned,
        plus - up,
    )


@triton.jit  # type: ignore[untyped-decorator]
def _quantised(number, table_ptr, scales_ptr, percent, fast, across, DOWN: tl.constexpr):  # type: ignore[no-untyped-def]
    """The DCT's output at a frequency as the nearest step of its table tells it."""
    step = tl.load(table_ptr + DOWN * 8 + across)
    step = tl.minimum(tl.maximum((step * percent + 50) // 100, 1), 255)
    scaled = _dropped(step * tl.load(scales_ptr + DOWN * 8 + across), _SCALE_BITS - 3)
    divisor = tl.where(fast, scaled, 8 * step)
    level = (tl.abs(number) + divisor // 2) // divisor * step
    return tl.where(number < 0, -level, level)


@triton.jit  # type: ignore[untyped-decorator]
def _coded(a, b, c, d, e, f, g, h, table_ptr, scales_ptr, quality, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Rows of bytes in eight lanes as their quantised coefficients tell them, 0–255."""
    a, b, c, d, e, f, g, h = a - 128, b - 128, c - 128, d - 128, e - 128, f - 128, g - 128, h - 128
    fast = quality < _FAST_BELOW
    if fast:
        a, b, c, d, e, f, g, h = _fast(a, b, c, d, e, f, g, h)
        a, b, c, d, e, f, g, h = _transposed(a, b, c, d, e, f, g, h, BLOCKS)
        a, b, c, d, e, f, g, h = _fast(a, b, c, d, e, f, g, h)
    else:
        a, b, c, d, e, f, g, h = _accurate(a, b, c, d, e, f, g, h, _ACROSS)
        a, b, c, d, e, f, g, h = _transposed(a, b, c, d, e, f, g, h, BLOCKS)
        a, b, c, d, e, f, g, h = _accurate(a, b, c, d, e, f, g, h, _BOTH)
    percent = tl.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    across = tl.arange(0, BLOCKS * 8) % 8
    a = _quantised(a, table_ptr, scales_ptr, percent, fast, across, 0)
    b = _quantised(b, table_ptr, scales_ptr, percent, fast, across, 1)
    c = _quantised(c, table_ptr, scales_ptr, percent, fast, across, 2)
    d = _quantised(d, table_ptr, scales_ptr, percent, fast, across, 3)
    e = _quantised(e, table_ptr, scales_ptr, percent, fast, across, 4)
    f = _quantised(f, table_ptr, scales_ptr, percent, fast, across, 5)
    g = _quantised(g, table_ptr, scales_ptr, percent, fast, across, 6)
    h = _quantised(h, table_ptr, scales_ptr, percent, fast, across, 7)
    a, b, c, d, e, f, g, h = _inverse(a, b, c, d, e, f, g, h, _DOWN)
    a, b, c, d, e, f, g, h = _transposed(a, b, c, d, e, f, g, h, BLOCKS)
    return _inverse(a, b, c, d, e, f, g, h, _BACK)


@triton.jit
def _luma(row_ptr, x, width):  # type: ignore[no-untyped-def]
    pixel = row_ptr + tl.minimum(x, width - 1) * 3
    red, green, blue = tl.load(pixel).to(tl.int32), tl.load(pixel + 1).to(tl.int32), tl.load(pixel + 2).to(tl.int32)
    return _dropped(red * _Y0 + green * _Y1 + blue * _Y2, 16)


@triton.jit
def _colour(row_ptr, x, width, is_red):  # type: ignore[no-untyped-def]
    pixel = row_ptr + tl.minimum(x, width - 1) * 3
    red, green, blue = tl.load(pixel).to(tl.int32), tl.load(pixel + 1).to(tl.int32), tl.load(pixel + 2).to(tl.int32)
    of_blue = red * _B0 + green * _B1 + blue * _B2
    of_red = red * _R0 + green * _R1 + blue * _R2
    return (tl.where(is_red, of_red, of_blue) + ((128 << 16) + (1 << 15) - 1)) >> 16


@triton.jit
def _chroma(upper_ptr, lower_ptr, x, width, is_red):  # type: ignore[no-untyped-def]
    upper = _colour(upper_ptr, 2 * x, width, is_red) + _colour(upper_ptr, 2 * x + 1, width, is_red)
    lower = _colour(lower_ptr, 2 * x, width, is_red) + _colour(lower_ptr, 2 * x + 1, width, is_red)
    return (upper + lower + 1 + x % 2) >> 2


@triton.jit
def _store(row_ptr, number, there):  # type: ignore[no-untyped-def]
    tl.store(row_ptr, tl.minimum(tl.maximum(number + 128, 0), 255).to(tl.uint8), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _code(image_ptr, quality_ptr, tables_ptr, luma_ptr, chroma_ptr, height, width, UNITS: tl.constexpr):  # type: ignore[no-untyped-def]
    """UNITS squares of 16 × 16 pixels of a picture, coded and decoded into planes whose sides are multiples of 16."""
    down, across = tl.cdiv(height, 16), tl.cdiv(width, 16)
    programs = tl.cdiv(down * across, UNITS)
    picture = tl.program_id(0) // programs
    first = (tl.program_id(0) - picture * programs) * UNITS
    quality = tl.minimum(tl.maximum(tl.load(quality_ptr + picture).to(tl.int32), 1), 100)
    image_ptr += picture.to(tl.int64) * height * width * 3
    luma_ptr += picture.to(tl.int64) * down * across * 256
    chroma_ptr += picture.to(tl.int64) * down * across * 128
    scales_ptr = tables_ptr + 128

    row = tl.arange(0, UNITS * 32)
    unit, part = first + row // 32, row // 8 % 4
    there = unit < down * across
    y, x = unit // across * 16 + part // 2 * 8 + row % 8, unit % across * 16 + part % 2 * 8
    line = image_ptr + tl.minimum(y, height - 1) * width * 3
    a, b, c, d = _luma(line, x, width), _luma(line, x + 1, width), _luma(line, x + 2, width), _luma(line, x + 3, width)
    e, f = _luma(line, x + 4, width), _luma(line, x + 5, width)
    g, h = _luma(line, x + 6, width), _luma(line, x + 7, width)
    a, b, c, d, e, f, g, h = _coded(a, b, c, d, e, f, g, h, tables_ptr, scales_ptr, quality, UNITS * 4)
    out = luma_ptr + y * (across * 16) + x
    _store(out, a, there)
    _store(out + 1, b, there)
    _store(out + 2, c, there)
    _store(out + 3, d, there)
    _store(out + 4, e, there)
    _store(out + 5, f, there)
    _store(out + 6, g, there)
    _store(out + 7, h, there)

    row = tl.arange(0, UNITS * 16)
    unit, is_red = first + row // 16, row // 8 % 2 > 0
    there = unit < down * across
    y, x = unit // across * 8 + row % 8, unit % across * 8
    seen = tl.minimum(y, (height + 1) // 2 - 1)
    upper = image_ptr + 2 * seen * width * 3
    lower = image_ptr + tl.minimum(2 * seen + 1, height - 1) * width * 3
    a, b = _chroma(upper, lower, x, width, is_red), _chroma(upper, lower, x + 1, width, is_red)
    c, d = _chroma(upper, lower, x + 2, width, is_red), _chroma(upper, lower, x + 3, width, is_red)
    e, f = _chroma(upper, lower, x + 4, width, is_red), _chroma(upper, lower, x + 5, width, is_red)
    g, h = _chroma(upper, lower, x + 6, width, is_red), _chroma(upper, lower, x + 7, width, is_red)
    a, b, c, d, e, f, g, h = _coded(a, b, c, d, e, f, g, h, tables_ptr + 64, scales_ptr, quality, UNITS * 2)
    out = chroma_ptr + tl.where(is_red, down * across * 64, 0) + y * (across * 8) + x
    _store(out, a, there)
    _store(out + 1, b, there)
    _store(out + 2, c, there)
    _store(out + 3, d, there)
    _store(out + 4, e, there)
    _store(out + 5, f, there)
    _store(out + 6, g, there)
    _store(out + 7, h, there)


@triton.jit
def _doubled(plane_ptr, near, far, x, beside, odd, smooth, there):  # type: ignore[no-untyped-def]
    """A pixel's chroma, −128 to 127: three quarters of its sample and one of its neighbour, both ways."""
    nearest = tl.load(plane_ptr + near + x, mask=there, other=128).to(tl.int32)
    corner = 3 * tl.load(plane_ptr + near + beside, mask=there, other=128).to(tl.int32)
    corner += tl.load(plane_ptr + far + beside, mask=there, other=128).to(tl.int32)
    mixed = 3 * (3 * nearest + tl.load(plane_ptr + far + x, mask=there, other=128).to(tl.int32)) + corner
    return tl.where(smooth, (mixed + 8 - odd) >> 4, nearest) - 128


@triton.jit  # type: ignore[untyped-decorator]
def _colour_pixels(luma_ptr, chroma_ptr, lossy_ptr, height, width, PIXELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """PIXELS pixels of a picture from its planes."""
    down, across = tl.cdiv(height, 16), tl.cdiv(width, 16)
    programs = tl.cdiv(height * width, PIXELS)
    picture = tl.program_id(0) // programs
    pixel = (tl.program_id(0) - picture * programs) * PIXELS + tl.arange(0, PIXELS)
    there = pixel < height * width
    y, x = pixel // width, pixel % width
    luma_ptr += picture.to(tl.int64) * down * across * 256
    chroma_ptr += picture.to(tl.int64) * down * across * 128
    rows, columns = (height + 1) // 2, (width + 1) // 2
    near, far = y // 2, tl.minimum(tl.maximum(y // 2 + 2 * (y % 2) - 1, 0), rows - 1)
    half, beside = x // 2, tl.minimum(tl.maximum(x // 2 + 2 * (x % 2) - 1, 0), columns - 1)
    near, far = near * (across * 8), far * (across * 8)
    light = tl.load(luma_ptr + y * (across * 16) + x, mask=there, other=0).to(tl.int32)
    blue = _doubled(chroma_ptr, near, far, half, beside, x % 2, columns > 2, there)
    red = _doubled(chroma_ptr + down * across * 64, near, far, half, beside, x % 2, columns > 2, there)
    out = lossy_ptr + (picture.to(tl.int64) * height * width + pixel) * 3
    _store(out, light + _dropped(red * _RED, 16) - 128, there)
    _store(out + 1, light + _dropped(blue * _GREEN_B + red * _GREEN_R, 16) - 128, there)
    _store(out + 2, light + _dropped(blue * _BLUE, 16) - 128, there)


def launch_jpeg_loss(
    image: Tensor,  # [B, H, W, 3] uint8, contiguous
    quality: Tensor,  # [B] int32 or int64, contiguous
    tables: Tensor,  # [3, 64] int32 of `kernel_tables`
    lossy: Tensor,  # [B, H, W, 3] uint8, contiguous: written
    *,
    units: int = UNITS,
    pixels: int = PIXELS,
) -> None:
    """Write the pictures; `units` squares of 16 × 16, then `pixels` (powers of two) a program."""
    if lossy.numel() == 0:
        return
    count, height, width = image.shape[:3]
    down, across = triton.cdiv(height, MCU), triton.cdiv(width, MCU)
    luma = image.new_empty(count, down * MCU, across * MCU)
    chroma = image.new_empty(count, 2, down * MCU // 2, across * MCU // 2)
    grid = (count * triton.cdiv(down * across, units),)
    _code[grid](image, quality, tables, luma, chroma, height, width, UNITS=units, **UNFUSED)
    grid = (count * triton.cdiv(height * width, pixels),)
    _colour_pixels[grid](luma, chroma, lossy, height, width, PIXELS=pixels, **UNFUSED)
