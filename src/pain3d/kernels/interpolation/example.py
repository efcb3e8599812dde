"""Knows example inputs of the room `interpolate`."""

from __future__ import annotations

from typing import Any

import torch


def example_inputs(
    size: int = 9, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `interpolate`: two images of size x (size + 4) pixels, a third of them background."""
    generator = torch.Generator().manual_seed(seed)
    vertices, faces, channels = 7, 5, 4
    shape = (2, size, size + 4)
    face_ids = torch.randint(faces, shape, generator=generator, dtype=torch.int32)
    face_ids[torch.rand(shape, generator=generator) < 1 / 3] = -1
    weights = torch.rand(*shape, 3, generator=generator, dtype=torch.float64)
    weights = torch.where(face_ids[..., None] >= 0, weights / weights.sum(-1, keepdim=True), 0)
    attributes = torch.randn(2, vertices, channels, generator=generator, dtype=torch.float64)
    return {
        "attributes": attributes.to(device, dtype),
        "faces": torch.randint(vertices, (faces, 3), generator=generator, dtype=torch.int32).to(device),
        "face_ids": face_ids.to(device),
        "barycentrics": weights.to(device, dtype),
    }
