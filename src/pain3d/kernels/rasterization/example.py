"""Knows example inputs of the room `rasterize`: a sphere in front of a perspective camera."""

from __future__ import annotations

from typing import Any

import torch

from pain3d.kernels.deformation.example import example_sphere


def example_inputs(
    size: int = 2, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `rasterize`: two 24 x 32 views of a bumpy icosphere of 20 · 4^size faces."""
    generator = torch.Generator().manual_seed(seed)
    points, faces = example_sphere(size)
    bumpy = points * (1 + 0.1 * torch.rand(2, len(points), 1, generator=generator, dtype=torch.float64))
    depth = 3 - bumpy[..., 2]
    clip = torch.stack([2 * bumpy[..., 0], 2.4 * bumpy[..., 1], depth, depth], -1)
    return {"vertices_clip": clip.to(device, dtype), "faces": faces.to(device), "size": (24, 32)}
