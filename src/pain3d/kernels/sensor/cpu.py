"""Knows a camera on a CPU: numba, one picture per thread, row by row, with five rows of light in the cache."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pain3d.kernels._compiling import COMPILED, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.sensor.reference import (
    BYTE_CODES,
    CODES,
    FINE,
    FIRST,
    LUMA,
    MIDDLE,
    REACH,
    SECOND,
    SHIFT,
    SPREAD,
    WORD,
    mixed_keys,
    optics_of,
    tone_table,
)

U, I32, F32 = np.uint32, np.int32, np.float32
LANE = U(0x00FF00FF)
GOLDEN, MULTIPLIER, LAST = U(SPREAD), U(FIRST), U(SECOND)
BLOCK = 2048  # samples whose counters are kept
CENTRE, POINT, HALF = I32(MIDDLE), I32(SHIFT), I32(1 << (SHIFT - 1))
FINER, LEVEL, STRENGTH = I32(SHIFT - FINE), I32(0xFFFF), I32(16)
COUNTERS = np.arange(BLOCK, dtype=np.uint32) * GOLDEN  # spread: a 64-bit counter and its product took half the time
RED, GREEN, BLUE = F32(LUMA[0]), F32(LUMA[1]), F32(LUMA[2])
ROUNDING, TOP = F32(0.5), F32(CODES - 1)
KEPT = 2 * REACH + 1  # rows of light


@njit(**COMPILED)
def develop_picture(image, codes, optics, table, low, high, out):  # type: ignore[no-untyped-def]
    """Write the bytes of one picture, image [H, W, 3] uint8, to out [H, W, 3].

    Colours lie apart while they are light, so that neighbours are neighbours in memory. Loops are short and many: a
    look-up in one keeps it from being vectors.

    Args:
        image: As it was rendered.
        codes: [256] float32, light of each byte.
        optics: [4] float32 of `optics_of`.
        table: [4096] int32 of `tone_table`.
        low: Of the picture's key, as `mixed_keys` mixes it.
        high: Likewise.
        out: Written.
    """
    height, width = image.shape[0], image.shape[1]
    here, near, far, saturation = optics[0], optics[1], optics[2], optics[3]
    light = np.empty((KEPT, 3, width), np.float32)
    mixed = np.empty(width + 2 * REACH, np.float32)
    # Views of one length: for all that LLVM knows, `mixed[x + 1]` might be counted from the end.
    left2, left, centre = mixed[:width], mixed[1 : width + 1], mixed[2 : width + 2]
    right, right2 = mixed[3 : width + 3], mixed[4 : width + 4]
    seen, grey = np.empty((3, width), np.float32), np.empty(width, np.float32)
    reds, greens, blues = seen[0], seen[1], seen[2]
    code = np.empty((3, width), np.uint16)
    entries = np.empty(3 * width, np.int32)
    read = 0
    for y in range(height):
        while read < min(y + REACH + 1, height):
            fresh, bytes_in = light[read % KEPT], image[read]
            for x in range(width):
                fresh[0, x] = codes[bytes_in[x, 0]]
                fresh[1, x] = codes[bytes_in[x, 1]]
                fresh[2, x] = codes[bytes_in[x, 2]]
            read += 1
        for channel in range(3):
            above2, above = light[max(y - 2, 0) % KEPT, channel], light[max(y - 1, 0) % KEPT, channel]
            middle, plane = light[y % KEPT, channel], seen[channel]
            below = light[min(y + 1, height - 1) % KEPT, channel]
            below2 = light[min(y + 2, height - 1) % KEPT, channel]
            for x in range(width):
                centre[x] = here * middle[x] + near * (above[x] + below[x]) + far * (above2[x] + below2[x])
            mixed[0] = mixed[1] = centre[0]
            mixed[width + 2] = mixed[width + 3] = centre[width - 1]
            for x in range(width):
                plane[x] = here * centre[x] + near * (left[x] + right[x]) + far * (left2[x] + right2[x])
        for x in range(width):
            grey[x] = RED * reds[x] + GREEN * greens[x] + BLUE * blues[x]
        for channel in range(3):
            plane, found = seen[channel], code[channel]
            for x in range(width):
                level = grey[x] + saturation * (plane[x] - grey[x]) + ROUNDING
                found[x] = np.uint16(min(max(level, F32(0)), TOP))
        for x in range(width):
            entries[3 * x] = table[code[0, x]]
            entries[3 * x + 1] = table[code[1, x]]
            entries[3 * x + 2] = table[code[2, x]]
        bytes_out = out[y].reshape(3 * width)
        for start in range(0, 3 * width, BLOCK):
            count = min(BLOCK, 3 * width - start)
            first = U(U(U(y * 3 * width + start) * GOLDEN) + low)
            part, written = entries[start : start + count], bytes_out[start : start + count]
            # Numba widens uint32 arithmetic to 64 bits: every step is cut back, or half as many fit into a vector.
            for k in range(count):
                word = U(COUNTERS[k] + first)
                word = U(U(word ^ U(word >> U(16))) * MULTIPLIER)
                word = U(U(U(word ^ U(word >> U(15))) + high) * LAST)
                word = U(word ^ U(word >> U(16)))
                pairs = U(U(word & LANE) + U(U(word >> U(8)) & LANE))
                drawn = I32(I32(U(pairs & U(0xFFFF)) + U(pairs >> U(16))) - CENTRE)
                noise = I32(I32(part[k] >> STRENGTH) * drawn)
                byte = I32(I32(I32(I32(I32(part[k] & LEVEL) << FINER) + noise) + HALF) >> POINT)
                written[k] = np.uint8(min(max(byte, I32(0)), I32(255)))


def develop_cpu(image: Tensor, sensor: Tensor, keys: Tensor) -> Tensor:
    """Return [B, H, W, 3] uint8; see `pain3d.kernels.develop`."""
    developed = torch.empty(image.shape, dtype=torch.uint8)
    pictures, out = image.contiguous().numpy(), developed.numpy()
    optics, tables, words = optics_of(sensor).numpy(), tone_table(sensor).numpy(), mixed_keys(keys).numpy()

    def run(start: int, stop: int) -> None:
        for index in range(start, stop):
            key = int(words[index])
            low, high = U(key & WORD), U((key >> 32) & WORD)
            develop_picture(pictures[index], BYTE_CODES, optics[index], tables[index], low, high, out[index])

    if pictures.size:
        for_each_range(len(image), run)
    return developed
