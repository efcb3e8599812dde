"""Knows what sensor noise means: how strong it is at each byte, and the keyed number that each sample gets.

All is in whole numbers once the table is made, so every backend writes the same bytes.
"""

from __future__ import annotations

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
SHIFT = 16  # binary digits behind the point of a table's entry
MOST = 64.0  # largest standard deviation, bytes: 64 / 147.8 · 2^16 · 510 stays below 2^31


def noise_table(shot: Tensor, read: Tensor) -> Tensor:
    """Return [B, 256] int32: at each byte, 2^16 / 147.8 times the standard deviation of the noise, in bytes.

    Args:
        shot: [B] variance of the noise per unit of linear light.
        read: [B] standard deviation of the noise without light, linear.
    """
    light, constant = _response(shot.device)
    variance = shot.double()[:, None] * light + (read.double() * read.double())[:, None] * constant
    sigma = variance.clamp(min=0).sqrt().clamp(max=MOST)
    return torch.nan_to_num((sigma * (2**SHIFT / SIGMA)).round()).to(torch.int32)


@lru_cache(maxsize=16)
def _response(device: torch.device) -> Tensor:
    """Return [2, 256] float64: slope² · light and slope² at each byte, slope = d byte / d light of tone map and sRGB.

    A byte's light is where both curves are inverted. White is reached at infinite light: there the slope is 0.
    """
    encoded = np.arange(256) / 255
    low = encoded <= 0.04045
    toned = np.where(low, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    slope = 255 * np.where(low, 12.92, 1.055 / 2.4 * np.maximum(toned, 1e-3) ** (1 / 2.4 - 1))
    room = np.minimum((1 - toned) / (1 - KNEE), 1)  # 1 below the knee, 0 at white: the tone map's slope is its square
    above = (1 - KNEE) * np.maximum(toned - KNEE, 0)  # times 1 / room: what the tone map took of light above the knee
    slope = slope * room**2
    lit = np.minimum(toned, KNEE) * slope**2 + above / (1 - KNEE) * slope**2 / np.maximum(room, 1e-6)
    return torch.from_numpy(np.stack([lit, slope**2])).to(device)


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


def add_sensor_noise_reference(image: Tensor, shot: Tensor, read: Tensor, keys: Tensor) -> Tensor:
    """Return [B, H, W, 3] uint8; see `pain3d.kernels.add_sensor_noise`."""
    batch, height, width, channels = image.shape
    samples = height * width * channels
    flat = image.reshape(batch, samples)
    strength = noise_table(shot, read).long().gather(1, flat.long())
    noise = (strength * (hashed_sums(keys, samples) - MIDDLE) + (1 << (SHIFT - 1))) >> SHIFT
    return (flat.long() + noise).clamp(0, 255).to(torch.uint8).reshape(image.shape)
