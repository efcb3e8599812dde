"""Knows smooth noise in space: one periodic volume, looked up at any scale; texels that meet on the head agree."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from pain3d.random import keyed_generator

Floats = npt.NDArray[np.float32]

CELLS = 64  # a side of the periodic volume; a blob is about 4 cells wide, so that it repeats after 16 blobs
BLOB = 4
SHARES = 16
SHIFT = 64.0  # periods: more than any head reaches, so that frac sees positive numbers only
CHANNELS = 4  # independent fields; a person mixes them with weights of their own
# Rotation off the axes, so that the volume's grid lines up with no feature of the face (0.4 and 0.7 rad).
_A, _B = np.cos([0.4, 0.7]), np.sin([0.4, 0.7])
ROTATION = np.array([[_A[0], _B[0], 0], [-_B[0] * _A[1], _A[0] * _A[1], _B[1]], [_B[0] * _B[1], -_A[0] * _B[1], _A[1]]])


@lru_cache(maxsize=1)
def noise_volume() -> torch.Tensor:
    """Periodic noise [1, CHANNELS, CELLS + 1, CELLS + 1, CELLS + 1], mean 0, variance 1, first plane repeated last."""
    white = keyed_generator(0, "skin/volume").standard_normal((CHANNELS, CELLS, CELLS, CELLS), np.float32)
    frequency = np.fft.fftfreq(CELLS)
    last = np.fft.rfftfreq(CELLS)
    squared = frequency[:, None, None] ** 2 + frequency[None, :, None] ** 2 + last[None, None, :] ** 2
    band = (squared * BLOB**2 * np.exp(-squared * BLOB**2 * np.pi)).astype(np.float32)  # an octave, BLOB cells a blob
    smooth = np.fft.irfftn(np.fft.rfftn(white, axes=(1, 2, 3)) * band, s=(CELLS,) * 3, axes=(1, 2, 3))
    smooth /= smooth.std((1, 2, 3), keepdims=True)
    return torch.from_numpy(np.pad(smooth, ((0, 0), *((0, 1),) * 3), mode="wrap").astype(np.float32))[None]


def noise_at(points: Floats, wavelength: float) -> Floats:
    """Noise fields [CHANNELS, N] at points [N, 3]; blobs are about `wavelength` wide, in the points' unit."""
    # Term by term: a matrix product's last bits would depend on the number of threads.
    x, y, z = torch.from_numpy(points).unbind(1)
    turns = (ROTATION / wavelength * (BLOB / CELLS)).tolist()  # periods of the volume
    grid = torch.stack([2 * torch.frac(a * x + b * y + c * z + SHIFT) - 1 for a, b, c in turns], 1)
    # torch gives a thread to each sample of a batch, so the points are dealt into some.
    parts = SHARES if len(points) % SHARES == 0 else 1
    volume = noise_volume().expand(parts, -1, -1, -1, -1)
    grid = grid.reshape(parts, 1, 1, -1, 3)
    fields = torch.nn.functional.grid_sample(volume, grid, mode="bilinear", align_corners=True)
    return np.asarray(fields.transpose(0, 1).reshape(CHANNELS, len(points)).numpy())
