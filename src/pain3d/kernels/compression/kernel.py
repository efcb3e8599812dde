"""Knows a JPEG's loss on a GPU: Triton, whole numbers. Three launches: pixels to planes, coded and decoded, to pixels.

The eight numbers that a DCT takes lie in eight tensors, one for each place, whose entries are the rows of many blocks:
so a pass is plain arithmetic on tensors, and between two passes the blocks are transposed.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.compression.reference import (
    ACCURATE_FROM,
    BLOCK,
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

BLOCKS = 16  # a program: 128 rows, one for each thread of four warps
PIXELS = 512  # a program of the other launches
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
def _colours(pixel_ptr):  # type: ignore[no-untyped-def]
    return tl.load(pixel_ptr).to(tl.int32), tl.load(pixel_ptr + 1).to(tl.int32), tl.load(pixel_ptr + 2).to(tl.int32)


@triton.jit
def _luma(pixel_ptr):  # type: ignore[no-untyped-def]
    red, green, blue = _colours(pixel_ptr)
    return _dropped(red * _Y0 + green * _Y1 + blue * _Y2, 16).to(tl.uint8)


@triton.jit
def _chroma(pixel_ptr):  # type: ignore[no-untyped-def]
    """Cb and Cr of a pixel, their halves rounded down."""
    red, green, blue = _colours(pixel_ptr)
    middle = (128 << 16) + (1 << 15) - 1
    of_blue, of_red = red * _B0 + green * _B1 + blue * _B2, red * _R0 + green * _R1 + blue * _R2
    return (of_blue + middle) >> 16, (of_red + middle) >> 16


@triton.jit  # type: ignore[untyped-decorator]
def _split(image_ptr, planes_ptr, height, width, PIXELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """PIXELS squares of 2 × 2 pixels of a picture as luma and chroma planes, filled up to multiples of 16."""
    down, across = tl.cdiv(height, 16) * 8, tl.cdiv(width, 16) * 8
    programs = tl.cdiv(down * across, PIXELS)
    picture = tl.program_id(0) // programs
    place = (tl.program_id(0) - picture * programs) * PIXELS + tl.arange(0, PIXELS)
    there = place < down * across
    y, x = place // across, place % across
    image_ptr += picture.to(tl.int64) * height * width * 3
    planes_ptr += picture.to(tl.int64) * down * across * 6
    left, right = tl.minimum(2 * x, width - 1) * 3, tl.minimum(2 * x + 1, width - 1) * 3
    upper = image_ptr + tl.minimum(2 * y, height - 1) * width * 3
    lower = image_ptr + tl.minimum(2 * y + 1, height - 1) * width * 3
    out = planes_ptr + y * across * 4 + 2 * x
    tl.store(out, _luma(upper + left), mask=there)
    tl.store(out + 1, _luma(upper + right), mask=there)
    tl.store(out + across * 2, _luma(lower + left), mask=there)
    tl.store(out + across * 2 + 1, _luma(lower + right), mask=there)
    seen = tl.minimum(y, (height + 1) // 2 - 1)  # below the picture chroma's own last row goes on
    upper = image_ptr + 2 * seen * width * 3
    lower = image_ptr + tl.minimum(2 * seen + 1, height - 1) * width * 3
    blue_a, red_a = _chroma(upper + left)
    blue_b, red_b = _chroma(upper + right)
    blue_c, red_c = _chroma(lower + left)
    blue_d, red_d = _chroma(lower + right)
    up = 1 + x % 2
    blue, red = (blue_a + blue_b + blue_c + blue_d + up) >> 2, (red_a + red_b + red_c + red_d + up) >> 2
    tl.store(planes_ptr + down * across * 4 + place, blue.to(tl.uint8), mask=there)
    tl.store(planes_ptr + down * across * 5 + place, red.to(tl.uint8), mask=there)


@triton.jit
def _store(row_ptr, number, there):  # type: ignore[no-untyped-def]
    tl.store(row_ptr, tl.minimum(tl.maximum(number + 128, 0), 255).to(tl.uint8), mask=there)


@triton.jit
def _lane(row_ptr, there):  # type: ignore[no-untyped-def]
    return tl.load(row_ptr, mask=there, other=128).to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator]
def _code(planes_ptr, quality_ptr, tables_ptr, down, across, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """BLOCKS blocks of 8 × 8 of a picture's planes, coded and decoded where they lie; `down` and `across` of chroma."""
    count = down * across // 64  # blocks of a chroma plane; luma has four times as many
    programs = tl.cdiv(6 * count, BLOCKS)
    picture = tl.program_id(0) // programs
    quality = tl.minimum(tl.maximum(tl.load(quality_ptr + picture).to(tl.int32), 1), 100)
    row = tl.arange(0, BLOCKS * 8)
    block = (tl.program_id(0) - picture * programs) * BLOCKS + row // 8
    there, is_luma = block < 6 * count, block < 4 * count
    inside = tl.where(is_luma, block, (block - 4 * count) % count)
    wide = tl.where(is_luma, 2 * across, across)
    at = (inside // (wide // 8) * 8 + row % 8) * wide + inside % (wide // 8) * 8
    at += tl.where(is_luma, 0, tl.where(block < 5 * count, 4, 5) * (down * across))
    line = planes_ptr + picture.to(tl.int64) * down * across * 6 + at
    a, b, c, d = _lane(line, there), _lane(line + 1, there), _lane(line + 2, there), _lane(line + 3, there)
    e, f, g, h = _lane(line + 4, there), _lane(line + 5, there), _lane(line + 6, there), _lane(line + 7, there)
    table = tables_ptr + tl.where(is_luma, 0, 64)
    a, b, c, d, e, f, g, h = _coded(a, b, c, d, e, f, g, h, table, tables_ptr + 128, quality, BLOCKS)
    _store(line, a, there)
    _store(line + 1, b, there)
    _store(line + 2, c, there)
    _store(line + 3, d, there)
    _store(line + 4, e, there)
    _store(line + 5, f, there)
    _store(line + 6, g, there)
    _store(line + 7, h, there)


@triton.jit
def _doubled(plane_ptr, near, far, x, beside, odd, smooth, there):  # type: ignore[no-untyped-def]
    """A pixel's chroma, −128 to 127: three quarters of its sample and one of its neighbour, both ways."""
    nearest = tl.load(plane_ptr + near + x, mask=there, other=128).to(tl.int32)
    corner = 3 * tl.load(plane_ptr + near + beside, mask=there, other=128).to(tl.int32)
    corner += tl.load(plane_ptr + far + beside, mask=there, other=128).to(tl.int32)
    mixed = 3 * (3 * nearest + tl.load(plane_ptr + far + x, mask=there, other=128).to(tl.int32)) + corner
    return tl.where(smooth, (mixed + 8 - odd) >> 4, nearest) - 128


@triton.jit  # type: ignore[untyped-decorator]
def _join(planes_ptr, lossy_ptr, height, width, PIXELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """PIXELS pixels of a picture from its planes."""
    down, across = tl.cdiv(height, 16) * 8, tl.cdiv(width, 16) * 8
    programs = tl.cdiv(height * width, PIXELS)
    picture = tl.program_id(0) // programs
    pixel = (tl.program_id(0) - picture * programs) * PIXELS + tl.arange(0, PIXELS)
    there = pixel < height * width
    y, x = pixel // width, pixel % width
    planes_ptr += picture.to(tl.int64) * down * across * 6
    rows, columns = (height + 1) // 2, (width + 1) // 2
    near, far = y // 2, tl.minimum(tl.maximum(y // 2 + 2 * (y % 2) - 1, 0), rows - 1)
    half, beside = x // 2, tl.minimum(tl.maximum(x // 2 + 2 * (x % 2) - 1, 0), columns - 1)
    near, far = near * across, far * across
    light = tl.load(planes_ptr + y * (across * 2) + x, mask=there, other=0).to(tl.int32)
    chroma = planes_ptr + down * across * 4
    blue = _doubled(chroma, near, far, half, beside, x % 2, columns > 2, there)
    red = _doubled(chroma + down * across, near, far, half, beside, x % 2, columns > 2, there)
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
    blocks: int = BLOCKS,
    pixels: int = PIXELS,
) -> None:
    """Write the pictures; `blocks` of 8 × 8, or `pixels`, a program: powers of two."""
    if lossy.numel() == 0:
        return
    count, height, width = image.shape[:3]
    down, across = cdiv(height, MCU) * BLOCK, cdiv(width, MCU) * BLOCK
    planes = image.new_empty(count, 6 * down * across)  # of each picture luma, Cb, Cr
    launch(_split, (count * cdiv(down * across, pixels),), image, planes, height, width, PIXELS=pixels)
    grid = (count * cdiv(6 * down * across // BLOCK**2, blocks),)
    launch(_code, grid, planes, quality, tables, down, across, BLOCKS=blocks)
    grid = (count * cdiv(height * width, pixels),)
    launch(_join, grid, planes, lossy, height, width, PIXELS=pixels)
