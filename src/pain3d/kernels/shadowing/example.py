"""Knows example inputs of the room `shadowing`: spheres with a horn each, which throws a shadow on them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pain3d.kernels.deformation.example import example_sphere


def horned(vertices: Tensor, lamps: Tensor, sides: Tensor) -> Tensor:
    """Return meshes [M, V, 3] around the origin with a horn each, 20° from the lamps [M, 3] to their sides [M, 3]."""
    aside = sides - lamps * (sides * lamps).sum(-1, keepdim=True)
    towards = lamps * 0.94 + aside / aside.norm(dim=-1, keepdim=True) * 0.34
    pointing = vertices / vertices.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    near = (pointing * towards[:, None]).sum(-1, keepdim=True)
    pulled: Tensor = vertices * (1 + 2 * ((near - 0.9) * 20).clamp(0, 1))
    return pulled


def example_inputs(
    size: int = 32, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `cast_shadows`: two meshes, three lamps; maps of `size` texels."""
    generator = torch.Generator().manual_seed(seed)
    points, faces = example_sphere(2)
    lamps = torch.rand(3, 3, generator=generator, dtype=torch.float64) + torch.tensor([-0.3, 0.2, 0.5])
    lamps = lamps / lamps.norm(dim=1, keepdim=True)
    floats = {
        "vertices": horned(0.1 * points.expand(2, -1, -1), lamps[:2], lamps[1:]),
        "key_direction": lamps,
        "spread": torch.tensor([0.1, 0.01, 0.3], dtype=torch.float64),
    }
    inputs: dict[str, Any] = {name: tensor.to(device, dtype) for name, tensor in floats.items()}
    return inputs | {
        "faces": faces.to(device),
        "mesh_index": torch.tensor([0, 1, 0], device=device),
        "focus": torch.arange(len(points), device=device),
        "size": size,
    }
