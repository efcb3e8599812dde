"""Knows example inputs of the room `sample_texture`."""

from __future__ import annotations

from typing import Any

import torch


def example_inputs(
    size: int = 9, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `sample_texture`: a 8 x 16 texture, uv from -0.1 to 1.1, levels from -0.5 to 5."""
    generator = torch.Generator().manual_seed(seed)
    texture = torch.rand(2, 8, 16, 3, generator=generator, dtype=torch.float64)
    uv = torch.rand(2, size, size + 2, 2, generator=generator, dtype=torch.float64) * 1.2 - 0.1
    level = torch.rand(2, size, size + 2, generator=generator, dtype=torch.float64) * 5.5 - 0.5
    inputs = {"texture": texture, "uv": uv, "level": level}
    return {name: tensor.to(device, dtype) for name, tensor in inputs.items()}
