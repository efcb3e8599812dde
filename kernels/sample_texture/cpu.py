"""Knows textures on a CPU: numba, float32. The mip chain, and the trilinear look-up of the fused `render`.

The look-up takes a block of points at a time.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numba import njit
from torch import Tensor

from pain3d.kernels._threads import for_each_range
from pain3d.kernels.sample_texture.reference import Mipmaps, level_table
from pain3d.kernels.shade.cpu import BLOCK, TEXEL

# Lanes beyond those of the shading: where to look. `LANES` is the number of lanes in all.
U, V, LEVEL, LANES = 18 * BLOCK, 19 * BLOCK, 20 * BLOCK, 21
CHANNELS = np.uint64(5)
MANY_ROWS = 64  # a smaller level is done before a second thread has started
F, N = np.float32, np.uint64  # unsigned, so that no index is tested for being negative
ZERO, HALF, ONE = F(0), F(0.5), F(1)


@njit(nogil=True, cache=True, error_model="numpy")
def sample_block(texels, table, lanes, count):  # type: ignore[no-untyped-def]
    """Write the 5 channels of flat texels at the first `count` points of the lanes; table [L, 3]: `level_table`."""
    last = np.int64(table.shape[0] - 1)
    for i in range(count):
        level = lanes[LEVEL + i]
        lower = np.int64(level)
        fraction = level - F(lower)
        u, v = lanes[U + i], ONE - lanes[V + i]
        c0 = c1 = c2 = c3 = c4 = ZERO
        for step in range(2):
            at = min(lower + step, last)
            offset, width = N(table[at, 0]), N(table[at, 2])
            right, bottom = F(table[at, 2] - 1), F(table[at, 1] - 1)
            x, y = u * (right + ONE) - HALF, v * (bottom + ONE) - HALF
            x = x if x > ZERO else ZERO
            y = y if y > ZERO else ZERO
            x = x if x < right else right
            y = y if y < bottom else bottom
            column, row = np.uint32(x), np.uint32(y)
            across, down = x - F(column), y - F(row)
            a = (offset + row * width + column) * CHANNELS
            b = a + (CHANNELS if x < right else N(0))
            below = width * CHANNELS if y < bottom else N(0)
            c, d = a + below, b + below
            weight = fraction if step == 1 else ONE - fraction
            lower_row = weight * down
            upper_row = weight - lower_row
            wb, wd = upper_row * across, lower_row * across
            wa, wc = upper_row - wb, lower_row - wd
            c0 += wa * texels[a] + wb * texels[b] + wc * texels[c] + wd * texels[d]
            k = N(1)
            c1 += wa * texels[a + k] + wb * texels[b + k] + wc * texels[c + k] + wd * texels[d + k]
            k = N(2)
            c2 += wa * texels[a + k] + wb * texels[b + k] + wc * texels[c + k] + wd * texels[d + k]
            k = N(3)
            c3 += wa * texels[a + k] + wb * texels[b + k] + wc * texels[c + k] + wd * texels[d + k]
            k = N(4)
            c4 += wa * texels[a + k] + wb * texels[b + k] + wc * texels[c + k] + wd * texels[d + k]
            if fraction == ZERO:
                break
        lanes[TEXEL + i], lanes[TEXEL + BLOCK + i], lanes[TEXEL + 2 * BLOCK + i] = c0, c1, c2
        lanes[TEXEL + 3 * BLOCK + i], lanes[TEXEL + 4 * BLOCK + i] = c3, c4


@njit(nogil=True, cache=True, error_model="numpy")
def _halve_rows(first, last, source, height, width, channels, target):  # type: ignore[no-untyped-def]
    """Write rows first … last - 1 of the next level from the level of height x width, both flat: the same means."""
    wide, row = max(width // 2, 1) * channels, width * channels
    aside = channels if width > 1 else 0
    for i in range(first, last):
        upper = (2 * i if height > 1 else 0) * row
        lower = upper + (row if height > 1 else 0)
        for j in range(0, wide, channels):
            left = 2 * j if width > 1 else j
            for c in range(left, left + channels):
                one = (source[N(upper + c)] + source[N(lower + c)]) * HALF
                two = (source[N(upper + c + aside)] + source[N(lower + c + aside)]) * HALF
                target[N(i * wide + j + c - left)] = (one + two) * HALF


def build_mipmaps_cpu(texture: Tensor) -> Mipmaps:
    """`pain3d.kernels.build_mipmaps` for float32 CPU tensors, without gradients."""
    batch, height, width, channels = texture.shape
    table = level_table(height, width)
    offset, rows, columns = table[-1]
    texels = torch.empty(batch, offset + rows * columns, channels)
    texels[:, : height * width] = texture.detach().flatten(1, 2)
    for b in range(batch if channels else 0):
        flat = texels[b].numpy().reshape(-1)
        for (start, tall, wide), (following, rows, _) in pairwise(table):
            source, target = flat[start * channels :], flat[following * channels :]

            def halve(
                first: int,
                last: int,
                source: np.ndarray[tuple[int], np.dtype[np.float32]] = source,
                target: np.ndarray[tuple[int], np.dtype[np.float32]] = target,
                tall: int = tall,
                wide: int = wide,
            ) -> None:
                _halve_rows(first, last, source, tall, wide, channels, target)

            if rows >= MANY_ROWS:
                for_each_range(rows, halve)
            else:
                halve(0, rows)
    return Mipmaps(texels, height, width)
