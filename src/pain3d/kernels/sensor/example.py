"""Knows example inputs of the room `sensor`."""

from __future__ import annotations

from typing import Any

import torch


def example_inputs(
    size: int = 9, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `develop`: three pictures, size x (size + 4), from nothing done to much."""
    generator = torch.Generator().manual_seed(seed)
    sensor = [[0.0, 0.0, 0.0, 1.0, 1.0], [2e-4, 3e-4, 0.28, 1.1, 1.2], [4e-3, 3e-3, 0.2, 0.8, 0.0]]
    return {
        "image": torch.randint(256, (3, size, size + 4, 3), generator=generator, dtype=torch.uint8).to(device),
        "sensor": torch.tensor(sensor, dtype=dtype, device=device),
        "keys": torch.randint(-(2**62), 2**62, (3,), generator=generator).to(device),
    }
