"""Knows example inputs of the room `antialias`: a rasterised sphere in random colours."""

from __future__ import annotations

from typing import Any

import torch

from pain3d.kernels.antialiasing.reference import face_adjacency_reference
from pain3d.kernels.rasterization.example import example_inputs as rasterize_inputs
from pain3d.kernels.rasterization.reference import rasterize_reference


def example_inputs(
    size: int = 2, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `antialias`: two 24 x 32 views of an icosphere with 20 · 4^size faces."""
    scene = rasterize_inputs(size, device, dtype, seed)
    fragments = rasterize_reference(**scene)
    generator = torch.Generator().manual_seed(seed)
    colour = torch.rand(2, *scene["size"], 3, generator=generator, dtype=torch.float64)
    return {
        "colour": colour.to(device, dtype),
        "face_ids": fragments.face_ids,
        "depth": fragments.depth,
        "vertices_clip": scene["vertices_clip"],
        "faces": scene["faces"],
        "adjacent_faces": face_adjacency_reference(scene["faces"]),
    }
