"""Knows what a baseline JPEG does to a picture: colours, halved chroma, whole-number DCT, quantisation, and back.

All is in whole numbers (where a matrix is multiplied, in float64, whose products and sums of them are exact): so every
device, batch and order of summation gives the same bytes, and they are those of libjpeg-turbo through TurboJPEG.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

BLOCK: Final = 8  # samples a side of a DCT
MCU: Final = 16  # pixels a side of what is coded together where chroma is halved
DCT_BITS: Final = 13  # binary digits behind the point of the DCT's constants
KEPT_BITS: Final = 2  # digits that are kept between its two passes
# Digits that each pass drops: the transform is √8 too large a pass, so that 8 times the coefficients are quantised.
FORWARD_DROPS: Final = (DCT_BITS - KEPT_BITS, DCT_BITS + KEPT_BITS)
INVERSE_DROPS: Final = (DCT_BITS - KEPT_BITS, DCT_BITS + KEPT_BITS + 3)
ACCURATE_FROM: Final = 96  # quality: below it TurboJPEG encodes by the fast DCT, whose constants have 8 binary digits
FAST_BITS: Final = 8
_SMALL, _LARGE = float(np.sin(np.pi / 8)), float(np.cos(np.pi / 8))
FAST_SHARES: Final = tuple(
    round(share * 2**FAST_BITS) for share in (0.5**0.5, _SMALL, _LARGE - _SMALL, _LARGE + _SMALL)
)
SCALE_BITS: Final = 14  # of the factors that the fast DCT leaves to the quantisation
# ITU T.871 (JFIF) with 16 binary digits: rows of Y, Cb, Cr; then what Cr adds to red, Cb and Cr to green, Cb to blue.
TO_YCC: Final = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
FROM_YCC: Final = (91881, -22554, -46802, 116130)
# ITU T.81, tables K.1 and K.2.
LUMA: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
CHROMA: Final = (
    (17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99),
)  # the corner of low frequencies; 99 beyond  # fmt: skip


@lru_cache(maxsize=1)
def dct_matrix() -> npt.NDArray[np.int64]:
    """The DCT [8, 8] (frequency, place) times √8 · 2^13, as Loeffler's scheme with rounded constants has it.

    Each output is one sum of products of an input with constants that were rounded one by one (Loeffler, Ligtenberg and
    Moschytz 1989, figure 1), so some entries are one off the rounded cosine. The inverse is the transpose.
    """
    place = np.eye(BLOCK, dtype=np.int64)
    plus, minus = place[:4] + place[:3:-1], place[:4] - place[:3:-1]
    even, odd = plus[:2] + plus[:1:-1], plus[:2] - plus[:1:-1]

    def rounded(number: float) -> int:
        return round(number * 2**DCT_BITS)

    c = [np.sqrt(2) * np.cos(k * np.pi / 16) for k in range(BLOCK)]
    both = rounded(c[6]) * (odd[0] + odd[1])
    outer, inner = minus[3] + minus[0], minus[2] + minus[1]
    evens, odds = minus[3] + minus[1], minus[2] + minus[0]
    shared = rounded(c[3]) * (evens + odds)
    outer, inner = rounded(c[7] - c[3]) * outer, rounded(-c[1] - c[3]) * inner
    evens, odds = rounded(-c[3] - c[5]) * evens + shared, rounded(c[5] - c[3]) * odds + shared
    return np.stack(
        [
            (even[0] + even[1]) << DCT_BITS,
            rounded(c[1] + c[3] - c[5] - c[7]) * minus[0] + outer + odds,
            both + rounded(c[2] - c[6]) * odd[0],
            rounded(c[1] + c[3] + c[5] - c[7]) * minus[1] + inner + evens,
            (even[0] - even[1]) << DCT_BITS,
            rounded(c[1] + c[3] - c[5] + c[7]) * minus[2] + inner + odds,
            both - rounded(c[2] + c[6]) * odd[1],
            rounded(-c[1] + c[3] + c[5] - c[7]) * minus[3] + outer + evens,
        ]
    )


@lru_cache(maxsize=16)
def _constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The DCT [8, 8] float64; both tables [2, 8, 8] int64; what the fast DCT is too large by, [8, 8] int64, 2^-14."""
    chroma = np.full((BLOCK, BLOCK), 99)
    chroma[:4, :4] = CHROMA
    tables = torch.from_numpy(np.stack([np.array(LUMA), chroma]))
    scale = np.sqrt(2) * np.cos(np.arange(BLOCK) * np.pi / 16)
    scale[0] = 1
    scales = torch.from_numpy(np.round(np.outer(scale, scale) * 2**SCALE_BITS).astype(np.int64))
    return torch.from_numpy(dct_matrix()).double().to(device), tables.to(device), scales.to(device)


@lru_cache(maxsize=16)
def kernel_tables(device: torch.device) -> Tensor:
    """The tables of luma and chroma, and what the fast DCT is too large by, [3, 64] int32."""
    _, tables, scales = _constants(device)
    return torch.cat([tables, scales[None]]).flatten(1).int()


def quantisation_tables(quality: Tensor) -> Tensor:
    """Return [B, 2, 8, 8] int64: by how much luma and chroma are divided, as the Independent JPEG Group scales it.

    Args:
        quality: [B] whole numbers; below 1 counts as 1, above 100 as 100.
    """
    quality = quality.long().clamp(1, 100)
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return ((_constants(quality.device)[1] * percent[:, None, None, None] + 50) // 100).clamp(1, 255)


def divisors(tables: Tensor, quality: Tensor) -> Tensor:
    """Return [B, 2, 8, 8] int64: what the DCT's outputs are divided by, 8 times the tables and the fast DCT's scale."""
    scaled = (tables * _constants(tables.device)[2] + (1 << (SCALE_BITS - 4))) >> (SCALE_BITS - 3)
    return torch.where((quality < ACCURATE_FROM)[:, None, None, None], scaled, 8 * tables)


def jpeg_loss_reference(image: Tensor, quality: Tensor) -> Tensor:
    """Return [B, H, W, 3] uint8; see `pain3d.kernels.jpeg_loss`."""
    if image.numel() == 0:
        return image.clone()
    height, width = image.shape[1:3]
    red, green, blue = _lengthened(image, 2, MCU).int().unbind(-1)
    luma, *colours = (
        (r * red + g * green + b * blue + ((1 << 15) if row == 0 else (128 << 16) + (1 << 15) - 1)) >> 16
        for row, (r, g, b) in enumerate(TO_YCC)
    )
    chroma = _halved(_lengthened(torch.stack(colours, 1).flatten(0, 1), 1, 2))
    tables = quantisation_tables(quality)
    steps, fast = divisors(tables, quality), quality < ACCURATE_FROM
    seen = _coded(_lengthened(luma, 1, MCU), tables[:, 0], steps[:, 0], fast)[:, :height, :width]
    tables, steps, fast = (each.repeat_interleave(2, 0) for each in (tables[:, 1], steps[:, 1], fast))
    halves = _coded(_lengthened(chroma, 1, BLOCK), tables, steps, fast)
    halves = _doubled(halves[:, : -(-height // 2), : -(-width // 2)])[:, :height, :width] - 128
    blue_off, red_off = halves.reshape(len(image), 2, height, width).unbind(1)
    of_red, green_of_blue, green_of_red, of_blue = FROM_YCC
    half = 1 << 15
    shifts = (
        (of_red * red_off + half) >> 16,
        (green_of_blue * blue_off + green_of_red * red_off + half) >> 16,
        (of_blue * blue_off + half) >> 16,
    )
    return torch.stack([seen + shift for shift in shifts], -1).clamp(0, 255).to(torch.uint8)


def _lengthened(planes: Tensor, axis: int, multiple: int) -> Tensor:
    """The planes with their last row or column repeated up to a multiple."""
    missing = -planes.shape[axis] % multiple
    last = planes.narrow(axis, planes.shape[axis] - 1, 1)
    return torch.cat([planes, last.expand(*(missing if i == axis else -1 for i in range(planes.dim())))], axis)


def _halved(planes: Tensor) -> Tensor:
    """Means of 2 × 2 of planes [P, H, W] int32, halves rounded down in even columns and up in odd ones."""
    sums = planes[:, ::2] + planes[:, 1::2]
    sums = sums[:, :, ::2] + sums[:, :, 1::2]
    return (sums + 1 + torch.arange(sums.shape[2], dtype=torch.int32, device=sums.device) % 2) >> 2


def _coded(planes: Tensor, tables: Tensor, steps: Tensor, fast: Tensor) -> Tensor:
    """Planes [P, H, W] of bytes as their quantised coefficients tell them, int32 in 0–255.

    Tables and steps [P, 8, 8] int64 (down, across), of coefficients and of the DCT's outputs; fast [P] says which DCT.
    """
    dct = _constants(planes.device)[0]
    count, height, width = planes.shape
    blocks = (planes - 128).reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    first, second = FORWARD_DROPS
    across = _dropped(blocks.double() @ dct.T, first)
    accurate = _dropped(across.transpose(2, 4) @ dct.T, second)  # (frequency across, …, frequency down)
    quick = _fast_dct(_fast_dct(blocks).transpose(2, 4))
    both = torch.where(fast[:, None, None, None, None], quick.double(), accurate)
    tables, steps = (each.transpose(1, 2)[:, None, :, None] for each in (tables, steps))
    kept = ((both.abs() + steps // 2) / steps).floor() * tables * both.sign()  # the nearest step, halves away from 0
    first, second = INVERSE_DROPS
    down = _dropped(kept @ dct, first)
    back = _dropped(down.transpose(2, 4) @ dct, second)
    return (back + 128).clamp(0, 255).int().reshape(count, height, width)


def _fast_dct(numbers: Tensor) -> Tensor:
    """The DCT along the last axis, int32 [..., 8], up to a factor per frequency (Arai, Agui and Nakajima 1988)."""
    first, last = numbers[..., :4], numbers[..., 4:].flip(-1)
    a, b, c, d = (first + last).unbind(-1)
    h, g, f, e = (first - last).unbind(-1)

    root, sine, lower, upper = FAST_SHARES
    outer, inner, differ = a + d, b + c, a - d
    turned = ((b - c + differ) * root) >> FAST_BITS
    low, middle, high = e + f, ((f + g) * root) >> FAST_BITS, g + h
    shared = ((low - high) * sine) >> FAST_BITS
    down, up = ((low * lower) >> FAST_BITS) + shared, ((high * upper) >> FAST_BITS) + shared
    plus, minus = h + middle, h - middle
    made = (outer + inner, plus + up, differ + turned, minus - down, outer - inner, minus + down, differ - turned)
    return torch.stack([*made, plus - up], -1)


def _dropped(numbers: Tensor, bits: int) -> Tensor:
    """Whole numbers in float64 without their last binary digits, rounded, halves up."""
    return (numbers * 2.0**-bits + 0.5).floor()


def _doubled(planes: Tensor) -> Tensor:
    """Planes [P, H, W] int32 at twice the size: of each sample three quarters, of its neighbour one, both ways."""
    if planes.shape[2] <= 2:  # as libjpeg does it
        return planes.repeat_interleave(2, 1).repeat_interleave(2, 2)
    rows = 3 * planes
    above, below = torch.cat([planes[:, :1], planes[:, :-1]], 1), torch.cat([planes[:, 1:], planes[:, -1:]], 1)
    tall = torch.stack([rows + above, rows + below], 2).flatten(1, 2)
    left, right = torch.cat([tall[:, :, :1], tall[:, :, :-1]], 2), torch.cat([tall[:, :, 1:], tall[:, :, -1:]], 2)
    return torch.stack([(3 * tall + left + 8) >> 4, (3 * tall + right + 7) >> 4], 3).flatten(2, 3)
