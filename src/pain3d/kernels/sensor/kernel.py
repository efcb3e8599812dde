"""Knows sensor noise on a GPU: Triton, whole numbers. A program is a block of samples of one picture."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.sensor.reference import FIRST, MIDDLE, SECOND, SHIFT, SPREAD

BLOCK = 1024  # samples a program: 8 a thread of four warps
# Of the reference; a kernel reads globals only as constants.
_SPREAD, _FIRST, _SECOND = tl.constexpr(SPREAD), tl.constexpr(FIRST), tl.constexpr(SECOND)
_MIDDLE, _SHIFT, _HALF = tl.constexpr(MIDDLE), tl.constexpr(SHIFT), tl.constexpr(1 << (SHIFT - 1))


@triton.jit  # type: ignore[untyped-decorator]
def _add_sensor_noise(image_ptr, table_ptr, keys_ptr, noisy_ptr, samples, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    blocks = tl.cdiv(samples, BLOCK)
    picture = tl.program_id(0) // blocks
    counter = (tl.program_id(0) - picture * blocks) * BLOCK + tl.arange(0, BLOCK)
    there = counter < samples
    at = picture.to(tl.int64) * samples + counter
    byte = tl.load(image_ptr + at, mask=there, other=0).to(tl.int32)
    strength = tl.load(table_ptr + picture * 256 + byte, mask=there, other=0)

    key = tl.load(keys_ptr + picture)
    low, high = (key & 0xFFFFFFFF).to(tl.uint32), ((key >> 32) & 0xFFFFFFFF).to(tl.uint32)
    x = counter.to(tl.uint32) * tl.full([BLOCK], _SPREAD, tl.uint32) + low
    x = (x ^ (x >> 16)) * tl.full([BLOCK], _FIRST, tl.uint32)
    x = ((x ^ (x >> 15)) + high) * tl.full([BLOCK], _SECOND, tl.uint32)
    x = x ^ (x >> 16)
    pairs = (x & 0x00FF00FF) + ((x >> 8) & 0x00FF00FF)
    total = ((pairs & 0xFFFF) + (pairs >> 16)).to(tl.int32)

    level = byte + ((strength * (total - _MIDDLE) + _HALF) >> _SHIFT)
    tl.store(noisy_ptr + at, tl.minimum(tl.maximum(level, 0), 255).to(tl.uint8), mask=there)


def launch_add_sensor_noise(
    image: Tensor,  # [B, H, W, 3] uint8, contiguous
    table: Tensor,  # [B, 256] int32, contiguous
    keys: Tensor,  # [B] int64 of `mixed_keys`, contiguous
    noisy: Tensor,  # [B, H, W, 3] uint8, contiguous: written
    *,
    block: int = BLOCK,
) -> None:
    """Write the noisy pictures; `block` samples (a power of two) a program."""
    if noisy.numel() == 0:
        return
    samples = noisy[0].numel()
    launch(_add_sensor_noise, (len(noisy) * cdiv(samples, block),), image, table, keys, noisy, samples, BLOCK=block)
