"""Knows a camera on a GPU: Triton. A program is a block of pixels of one picture, each with the 24 around it."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.sensor.reference import CODES, FINE, FIRST, LUMA, MIDDLE, SECOND, SHIFT, SPREAD

BLOCK = 256  # pixels a program: 2 a thread of four warps
# Of the reference; a kernel reads globals only as constants.
_SPREAD, _FIRST, _SECOND = tl.constexpr(SPREAD), tl.constexpr(FIRST), tl.constexpr(SECOND)
_MIDDLE, _SHIFT, _HALF = tl.constexpr(MIDDLE), tl.constexpr(SHIFT), tl.constexpr(1 << (SHIFT - 1))
_FINER, _TOP = tl.constexpr(SHIFT - FINE), tl.constexpr(CODES - 1)
_RED, _GREEN, _BLUE = (tl.constexpr(share) for share in LUMA)


@triton.jit
def _light(image_ptr, codes_ptr, at, there):  # type: ignore[no-untyped-def]
    return tl.load(codes_ptr + tl.load(image_ptr + at, mask=there, other=0).to(tl.int32))


@triton.jit
def _mixed(image_ptr, codes_ptr, rows, column, there, here, near, far):  # type: ignore[no-untyped-def]
    """Light of one column, blurred down it: `rows` are where the five begin."""
    above2, above, middle, below, below2 = rows
    inner = _light(image_ptr, codes_ptr, above + column, there) + _light(image_ptr, codes_ptr, below + column, there)
    outer = _light(image_ptr, codes_ptr, above2 + column, there) + _light(image_ptr, codes_ptr, below2 + column, there)
    return here * _light(image_ptr, codes_ptr, middle + column, there) + near * inner + far * outer


@triton.jit  # type: ignore[untyped-decorator]
def _develop(image_ptr, codes_ptr, optics_ptr, table_ptr, keys_ptr, developed_ptr, height, width, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    blocks = tl.cdiv(height * width, BLOCK)
    picture = tl.program_id(0) // blocks
    pixel = (tl.program_id(0) - picture * blocks) * BLOCK + tl.arange(0, BLOCK)[:, None]
    channel = tl.arange(0, 4)[None, :]  # a fourth, that is nobody's: lanes are a power of two
    there = (pixel < height * width) & (channel < 3)
    row, column = pixel // width, pixel % width
    here, near = tl.load(optics_ptr + picture * 4), tl.load(optics_ptr + picture * 4 + 1)
    far, saturation = tl.load(optics_ptr + picture * 4 + 2), tl.load(optics_ptr + picture * 4 + 3)
    offset = picture.to(tl.int64) * height * width * 3
    first = image_ptr + offset
    line = width * 3
    above2, above = tl.maximum(row - 2, 0) * line, tl.maximum(row - 1, 0) * line
    below, below2 = tl.minimum(row + 1, height - 1) * line, tl.minimum(row + 2, height - 1) * line
    rows = (above2, above, row * line, below, below2)
    left2, left = tl.maximum(column - 2, 0) * 3 + channel, tl.maximum(column - 1, 0) * 3 + channel
    right, right2 = tl.minimum(column + 1, width - 1) * 3 + channel, tl.minimum(column + 2, width - 1) * 3 + channel
    inner = _mixed(first, codes_ptr, rows, left, there, here, near, far)
    inner += _mixed(first, codes_ptr, rows, right, there, here, near, far)
    outer = _mixed(first, codes_ptr, rows, left2, there, here, near, far)
    outer += _mixed(first, codes_ptr, rows, right2, there, here, near, far)
    seen = here * _mixed(first, codes_ptr, rows, column * 3 + channel, there, here, near, far)
    seen = seen + near * inner + far * outer
    red_blue, green_none = tl.split(tl.reshape(seen, (BLOCK, 2, 2)))
    red, blue = tl.split(red_blue)
    green, _ = tl.split(green_none)
    grey = tl.expand_dims(_RED * red + _GREEN * green + _BLUE * blue, 1)
    light = grey + saturation * (seen - grey)

    code = tl.minimum(tl.maximum(light + 0.5, 0.0), _TOP).to(tl.int32)
    entry = tl.load(table_ptr + picture * (_TOP + 1) + code, mask=there, other=0)
    key = tl.load(keys_ptr + picture)
    low, high = (key & 0xFFFFFFFF).to(tl.uint32), ((key >> 32) & 0xFFFFFFFF).to(tl.uint32)
    counter = pixel * 3 + channel
    x = counter.to(tl.uint32) * tl.full([BLOCK, 4], _SPREAD, tl.uint32) + low
    x = (x ^ (x >> 16)) * tl.full([BLOCK, 4], _FIRST, tl.uint32)
    x = ((x ^ (x >> 15)) + high) * tl.full([BLOCK, 4], _SECOND, tl.uint32)
    x = x ^ (x >> 16)
    pairs = (x & 0x00FF00FF) + ((x >> 8) & 0x00FF00FF)
    total = ((pairs & 0xFFFF) + (pairs >> 16)).to(tl.int32)
    level = (((entry & 0xFFFF) << _FINER) + (entry >> 16) * (total - _MIDDLE) + _HALF) >> _SHIFT
    tl.store(developed_ptr + offset + counter, tl.minimum(tl.maximum(level, 0), 255).to(tl.uint8), mask=there)


def launch_develop(
    image: Tensor,  # [B, H, W, 3] uint8, contiguous
    codes: Tensor,  # [256] float32 of `byte_codes`
    optics: Tensor,  # [B, 4] float32 of `optics_of`, contiguous
    table: Tensor,  # [B, 4096] int32 of `tone_table`, contiguous
    keys: Tensor,  # [B] int64 of `mixed_keys`, contiguous
    developed: Tensor,  # [B, H, W, 3] uint8, contiguous: written
    *,
    block: int = BLOCK,
) -> None:
    """Write the developed pictures; `block` pixels (a power of two) a program."""
    if developed.numel() == 0:
        return
    batch, height, width, _ = developed.shape
    grid = (batch * cdiv(height * width, block),)
    launch(_develop, grid, image, codes, optics, table, keys, developed, height, width, BLOCK=block)
