"""Knows how linear light becomes a byte: a tone map with a gentle shoulder, then exact sRGB.

The bytes are defined by 255 thresholds: byte k or more from `SRGB_EDGES[k]` on. So every backend that compares with the
same float32 thresholds writes the same byte for the same light.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

KNEE = (
    0.8  # linear light up to here stays as it is; above, 1 is only reached at infinity, so a forehead keeps its shape
)


def _edges() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Least float32 light whose rounded sRGB byte is k: IEC 61966-2-1 inverted at (k - 0.5) / 255, [256]."""
    encoded = (np.arange(256) - 0.5) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded.clip(0) + 0.055) / 1.055) ** 2.4)
    linear[0] = -np.inf
    nearest = linear.astype(np.float32)
    return np.where(nearest < linear, np.nextafter(nearest, np.float32(np.inf)), nearest)


SRGB_EDGES = _edges()
# IEC 61966-2-1: a straight toe, then a power.
TOE, TOE_SLOPE, OFFSET, GAMMA = 0.0031308, 12.92, 0.055, 2.4
DARKEST = 2.0**-13  # below the first edge: byte 0
FIRST_BUCKET = int(np.float32(DARKEST).view(np.int32)) >> 16


def _buckets() -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Return `SRGB_BUCKETS`: light from `DARKEST` to 1, by the upper 16 bits of its float32.

    A bucket is at most 2^-7 of its light wide and two edges lie 0.9 % apart or more, so it holds one edge at most. Its
    lowest 8 bits are the byte at its start, the others the lower 16 bits of the edge in it, 2^16 where there is none.
    """
    last = int(np.float32(1).view(np.int32)) >> 16
    starts = np.arange(FIRST_BUCKET, last + 2, dtype=np.int32) << 16
    below = np.searchsorted(SRGB_EDGES, starts.view(np.float32), side="right") - 1
    assert np.diff(below).max() == 1
    edges = np.append(SRGB_EDGES, np.float32(np.inf))[below + 1].view(np.int32)
    inside = edges[:-1] < starts[1:]
    return np.where(inside, edges[:-1] & 0xFFFF, 1 << 16) << 8 | below[:-1].astype(np.int32)


SRGB_BUCKETS = _buckets()  # [1665] int32: what a byte costs is one look-up, one comparison


def tone_map(light: Tensor) -> Tensor:
    """Compress linear light of any size into 0–1: ``x`` up to 0.8, then ``0.8 + 0.2·t/(1 + t)``, ``t = (x - 0.8)/0.2``.

    Value and slope are continuous. Negative light becomes 0.

    Args:
        light: [...] linear, float32 or float64.

    Returns:
        [...] 0–1, of light's dtype.

    Gradients: to light.
    """
    above = (light - KNEE).clamp(min=0) / (1 - KNEE)
    return light.clamp(0, KNEE) + (1 - KNEE) * (above / (1 + above))


def encode_srgb_float(linear: Tensor) -> Tensor:
    """Encode linear light as `encode_srgb` does, as byte / 255, with the gradient of the curve without the rounding.

    Args:
        linear: [...] linear light.

    Returns:
        [...] float32.

    Gradients: to linear, straight through the rounding: that of the sRGB curve at the light that came in; 0 where light
    outside 0–1 was clipped.
    """
    encoded = encode_srgb(linear).to(torch.float32) / 255
    if not (torch.is_grad_enabled() and linear.requires_grad):
        return encoded
    clipped = linear.clamp(0, 1)
    curve = torch.where(
        clipped <= TOE, TOE_SLOPE * clipped, (1 + OFFSET) * clipped.clamp(min=TOE) ** (1 / GAMMA) - OFFSET
    ).to(torch.float32)
    return encoded + torch.nan_to_num(curve - curve.detach())  # exact: x + 0


def encode_srgb(linear: Tensor) -> Tensor:
    """Encode linear light as sRGB bytes (IEC 61966-2-1), rounded to nearest, clipped to 0–1; NaN becomes 0.

    Args:
        linear: [...] linear light.

    Returns:
        [...] uint8.

    Gradients: none.
    """
    edges = torch.from_numpy(SRGB_EDGES[1:]).to(linear.device)
    clean = torch.nan_to_num(linear.detach().to(torch.float32), nan=0.0).contiguous()
    return torch.bucketize(clean, edges, right=True).to(torch.uint8)
