"""Knows sensor noise on a CPU: numba, one picture per thread, every sample a few whole-number operations."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pain3d.kernels._compiling import COMPILED, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.sensor.reference import FIRST, MIDDLE, SECOND, SHIFT, SPREAD, WORD, mixed_keys, noise_table

U, I32 = np.uint32, np.int32
LANE = U(0x00FF00FF)
GOLDEN, MULTIPLIER, LAST = U(SPREAD), U(FIRST), U(SECOND)
BLOCK = 2048  # samples: two buffers of 8 kB, half of the first cache
CENTRE, POINT, HALF = I32(MIDDLE), I32(SHIFT), I32(1 << (SHIFT - 1))
COUNTERS = np.arange(BLOCK, dtype=np.uint32) * GOLDEN  # spread: a 64-bit counter and its product took half the time


@njit(**COMPILED)
def add_noise(flat, table, low, high, out):  # type: ignore[no-untyped-def]
    """Write the noisy bytes of one picture, flat [N] uint8, to out [N]; table [256] int32, low and high its key.

    Block by block, in three loops: the look-up in the middle one would keep the others from being vectors.
    """
    sums, strengths = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.int32)
    for start in range(0, flat.shape[0], BLOCK):
        count = min(BLOCK, flat.shape[0] - start)
        first = U(U(U(start) * GOLDEN) + low)
        bytes_in, bytes_out = flat[start : start + count], out[start : start + count]
        # Numba widens uint32 arithmetic to 64 bits: every step is cut back, or half as many fit into a vector.
        for k in range(count):
            x = U(COUNTERS[k] + first)
            x = U(U(x ^ U(x >> U(16))) * MULTIPLIER)
            x = U(U(U(x ^ U(x >> U(15))) + high) * LAST)
            x = U(x ^ U(x >> U(16)))
            pairs = U(U(x & LANE) + U(U(x >> U(8)) & LANE))
            sums[k] = I32(U(pairs & U(0xFFFF)) + U(pairs >> U(16))) - CENTRE
        for k in range(count):
            strengths[k] = table[bytes_in[k]]
        for k in range(count):
            level = I32(bytes_in[k]) + I32(I32(strengths[k] * sums[k] + HALF) >> POINT)
            bytes_out[k] = np.uint8(min(max(level, I32(0)), I32(255)))


def add_sensor_noise_cpu(image: Tensor, shot: Tensor, read: Tensor, keys: Tensor) -> Tensor:
    """Return [B, H, W, 3] uint8; see `pain3d.kernels.add_sensor_noise`."""
    noisy = torch.empty(image.shape, dtype=torch.uint8)
    flat, out = image.contiguous().flatten(1).numpy(), noisy.flatten(1).numpy()
    tables, words = noise_table(shot, read).numpy(), mixed_keys(keys).numpy()

    def run(start: int, stop: int) -> None:
        for index in range(start, stop):
            key = int(words[index])
            add_noise(flat[index], tables[index], U(key & WORD), U((key >> 32) & WORD), out[index])

    if flat.size:
        for_each_range(len(image), run)
    return noisy
