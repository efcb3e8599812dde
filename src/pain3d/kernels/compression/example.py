"""Knows example inputs of the room `compression`."""

from __future__ import annotations

from typing import Any

import torch


def example_inputs(
    size: int = 9, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `jpeg_loss`: waves with grain, size × (size + 14), from good to best quality."""
    generator = torch.Generator().manual_seed(seed)
    across = torch.arange(size + 14)[:, None] * torch.rand(2, 1, 1, 3, generator=generator)
    waves = 128 + 90 * torch.sin(across + 0.3 * torch.arange(size)[:, None, None])
    grain = 20 * torch.randn(2, size, size + 14, 3, generator=generator)
    image = (waves + grain).clamp(0, 255).to(torch.uint8)
    return {"image": image.to(device), "quality": torch.tensor([60, 97], device=device)}
