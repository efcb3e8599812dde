"""Knows example inputs of the room `distill`."""

from __future__ import annotations

from typing import Any

import torch

WIDTH = 20  # of a token: no power of two


def example_inputs(
    size: int = 5, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `distill_loss`: `size` pictures of a CLS token and six patches, every label known."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = {
        "student_tokens": 2 * normal(size, 7, WIDTH) + 0.5,
        "teacher_tokens": 0.7 * normal(size, 7, WIDTH) - 0.2,
        "student_pspi": 2 * normal(size),
        "teacher_pspi": 2 * normal(size),
        "student_au": 2 * normal(size, 6).abs(),
        "student_binary": 2 * normal(size, 3),
        "pspi": torch.randint(17, (size,), generator=generator).double(),
        "au": torch.randint(6, (size, 6), generator=generator).double(),
        "weight": 0.5 + torch.rand(size, generator=generator, dtype=torch.float64),
    }
    return {name: tensor.to(device, dtype) for name, tensor in inputs.items()}
