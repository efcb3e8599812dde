"""Knows example inputs of the room `shade`."""

from __future__ import annotations

from typing import Any

import torch


def example_inputs(
    size: int = 9, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `shade`: two batches of `size` points that mostly face the eye and the light."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    toward = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    key = uniform(2, 3) - 0.5 + toward
    inputs = {
        "albedo": uniform(2, size, 3),
        "normal": uniform(2, size, 3) - 0.5 + toward,
        "view_direction": uniform(2, size, 3) - 0.5 + toward,
        "sh": torch.cat([uniform(2, 1, 3) + 1, 0.2 * (uniform(2, 8, 3) - 0.5)], 1),
        "key_direction": key / key.norm(dim=-1, keepdim=True),
        "key_colour": uniform(2, 3) + 0.5,
        "occlusion": uniform(2, size),
        "specular": uniform(2, size) + 0.5,
        "roughness": 0.1 + 0.8 * uniform(2, size),
        "scatter": uniform(2, size),
    }
    return {name: tensor.to(device, dtype) for name, tensor in inputs.items()}
