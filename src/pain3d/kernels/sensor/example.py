"""Knows example inputs of the room `sensor`."""

from __future__ import annotations

from typing import Any

import torch


def example_inputs(
    size: int = 9, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `add_sensor_noise`: three pictures, size x (size + 4), from no noise to much."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(256, (3, size, size + 4, 3), generator=generator, dtype=torch.uint8).to(device),
        "shot": torch.tensor([0.0, 2e-4, 4e-3], dtype=dtype, device=device),
        "read": torch.tensor([0.0, 3e-4, 3e-3], dtype=dtype, device=device),
        "keys": torch.randint(-(2**62), 2**62, (3,), generator=generator).to(device),
    }
