"""Knows what a camera makes of a picture: blur of its lens, colour, tone curve, and noise, a keyed number per sample.

What is blurred is float32, in one order of sums and products; what follows is in whole numbers. So every backend writes
the same bytes.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pain3d.kernels.rendering.colour import KNEE

# The hash is lowbias32 (Wellons 2018, "Prospecting for hash functions", public domain) with half a key before each
# multiplication; the counter is spread by 2^32 / golden ratio first, as Steele et al. 2014 (SplitMix) do.
SPREAD, FIRST, SECOND = 0x9E3779B9, 0x7FEB352D, 0x846CA68B
WORD = 0xFFFFFFFF
# The four bytes of a hash sum to nearly a normal number: Irwin and Hall, kurtosis 2.7 instead of 3, at most 3.45 sigma.
MIDDLE = 510  # mean of the sum: 4 · 255 / 2
SIGMA = (4 * (256**2 - 1) / 12) ** 0.5  # its standard deviation: 147.8
SHIFT = 16  # binary digits behind the point of a strength
FINE = 8  # and of a level
MOST = 64.0  # largest standard deviation, bytes: 64 / 147.8 · 2^16 · 510 stays below 2^31, and a strength below 2^15

SETTINGS = 5  # of a picture: shot, read, mtf50, contrast, saturation
CODES = 4096  # of linear light, 0 to 1: in the dark, where bytes are closest, 1.24 codes a byte
REACH = 2  # pixels that the blur reads to each side
LUMA = (0.2126, 0.7152, 0.0722)  # Rec. 709, which has sRGB's primaries


def _lights() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Linear light of each byte, as the tone map left it, IEC 61966-2-1."""
    encoded = np.arange(256) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


BYTE_CODES = np.rint(_lights() * (CODES - 1)).astype(np.float32)  # [256] whole numbers, all different


@lru_cache(maxsize=16)
def byte_codes(device: torch.device) -> Tensor:
    """Return `BYTE_CODES` there."""
    codes: Tensor = torch.from_numpy(BYTE_CODES).to(device)
    return codes


def optics_of(sensor: Tensor) -> Tensor:
    """Return [B, 4] float32: weights of a pixel, of its neighbours and of those two away, and the saturation.

    The blur is ``[w, 1 − 2w, w]`` twice along each axis, of which the MTF is ``(1 − 2w (1 − cos 2πf))²``: w makes it a
    half at the wanted frequency.

    Args:
        sensor: [B, 5], see `pain3d.kernels.develop`.
    """
    frequency, saturation = sensor[:, 2].double(), sensor[:, 4].double()
    share = (1 - math.sqrt(0.5)) / 2 / (1 - torch.cos(2 * math.pi * frequency))
    share = torch.where(frequency > 0, share.clamp(max=0.25), torch.zeros_like(share))
    middle = (1 - 2 * share) ** 2 + 2 * share * share
    optics: Tensor = torch.stack([middle, 2 * share * (1 - 2 * share), share * share, saturation], 1).float()
    return optics


def tone_table(sensor: Tensor) -> Tensor:
    """Return [B, 4096] int32: at each code of light the level in 1/256 bytes, and, times 2^16, the strength of noise.

    The level is 255 (x + 4 (contrast − 1) · x (1 − x) (x − ½)), x = sRGB of the light. The strength is 2^16 / 147.8
    times the standard deviation, in bytes.
    """
    shot, read, contrast = (sensor[:, k, None].double() for k in (0, 1, 3))
    level, bend, steeper, lit, dark = _response(sensor.device)
    level = (level + (contrast - 1) * bend).clamp(0, 255 * 2**FINE).round()
    slope = (1 + (contrast - 1) * steeper).abs()
    strength = slope * (shot * lit + (read * read) * dark).clamp(min=0).sqrt()
    strength = strength.clamp(max=MOST * 2**SHIFT / SIGMA).round()
    entries: Tensor = (level + strength.nan_to_num() * 2**16).to(torch.int32)
    return entries


@lru_cache(maxsize=16)
def _response(device: torch.device) -> Tensor:
    """Return [5, 4096] float64, of each code of light: what `tone_table` adds up.

    The level, how contrast bends it and its slope; slope² · light and slope² in units of a strength, where the slope, d
    byte / d light, is that of tone map and sRGB, and light what both of them were given. White is reached at infinite
    light: there the slope is 0.
    """
    toned = np.arange(CODES) / (CODES - 1)
    encoded = np.interp(np.arange(CODES), BYTE_CODES.astype(np.float64), np.arange(256) / 255)  # a byte's code is it
    bend, steeper = 4 * encoded * (1 - encoded) * (encoded - 0.5), 12 * encoded * (1 - encoded) - 2
    slope = 255 * np.where(toned <= 0.0031308, 12.92, 1.055 / 2.4 * np.maximum(toned, 1e-3) ** (1 / 2.4 - 1))
    room = np.minimum((1 - toned) / (1 - KNEE), 1)  # 1 below the knee, 0 at white: the tone map's slope is its square
    above = (1 - KNEE) * np.maximum(toned - KNEE, 0)  # times 1 / room: what the tone map took of light above the knee
    slope = slope * room**2 * 2**SHIFT / SIGMA
    lit = np.minimum(toned, KNEE) * slope**2 + above / (1 - KNEE) * slope**2 / np.maximum(room, 1e-6)
    whole = 255 * 2**FINE
    return torch.from_numpy(np.stack([whole * encoded, whole * bend, steeper, lit, slope**2])).to(device)


def mixed_keys(keys: Tensor) -> Tensor:
    """Return the keys [B] int64 with the lower half mixed with a hash of the upper one: what backends start from.

    Without it keys that differ in the upper half alone would only part before the last multiplication, too late.
    """
    x = (keys >> 32) & WORD
    x = ((x ^ (x >> 16)) * FIRST) & WORD
    x = ((x ^ (x >> 15)) * SECOND) & WORD
    return keys ^ x ^ (x >> 16)


def hashed_sums(keys: Tensor, samples: int) -> Tensor:
    """Return [B, N] int64 in 0–1020: the sum of the four bytes of the hash of each key [B] int64 and each counter."""
    keys = mixed_keys(keys)
    low, high = (keys & WORD)[:, None], ((keys >> 32) & WORD)[:, None]
    x = (torch.arange(samples, device=keys.device) * SPREAD + low) & WORD
    x = ((x ^ (x >> 16)) * FIRST) & WORD
    x = (((x ^ (x >> 15)) + high) * SECOND) & WORD
    x = x ^ (x >> 16)
    return (x & 255) + ((x >> 8) & 255) + ((x >> 16) & 255) + (x >> 24)


def blurred(light: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Return light [B, H, W, 3] blurred along an axis by weights [B, 4]; what is outside is as the border is."""
    here, near, far = (weights[:, k, None, None, None] for k in range(3))
    length = light.shape[axis]
    at = torch.arange(length, device=light.device)

    def beside(step: int) -> Tensor:
        return light.index_select(axis, (at + step).clamp(0, max(length - 1, 0)))

    return here * light + near * (beside(-1) + beside(1)) + far * (beside(-2) + beside(2))


def develop_reference(image: Tensor, sensor: Tensor, keys: Tensor) -> Tensor:
    """Return [B, H, W, 3] uint8; see `pain3d.kernels.develop`."""
    batch, height, width, channels = image.shape
    samples = height * width * channels
    optics = optics_of(sensor)
    light = byte_codes(image.device)[image.long()]
    light = blurred(blurred(light, optics, 1), optics, 2)
    red, green, blue = light.unbind(3)
    grey = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[..., None]
    light = grey + optics[:, 3, None, None, None] * (light - grey)
    code = (light + 0.5).clamp(0, CODES - 1).long().reshape(batch, samples)
    entry = tone_table(sensor).long().gather(1, code)
    level, strength = entry & 0xFFFF, entry >> 16
    noisy = (level << (SHIFT - FINE)) + strength * (hashed_sums(keys, samples) - MIDDLE) + (1 << (SHIFT - 1))
    return (noisy >> SHIFT).clamp(0, 255).to(torch.uint8).reshape(image.shape)
