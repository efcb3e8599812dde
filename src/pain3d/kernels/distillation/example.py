"""Knows example inputs of the room `distillation`."""

from __future__ import annotations

from typing import Any

import torch

from pain3d.kernels.distillation.bundles import DistillTargets, StudentPredictions, TeacherPredictions

WIDTH = 20  # of a token: no power of two


def example_inputs(
    size: int = 5, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `distill_loss`: `size` samples of a CLS token and six patches, every target known."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    student = [2 * normal(size, 7, WIDTH) + 0.5]
    teacher = [0.7 * normal(size, 7, WIDTH) - 0.2]
    student, teacher = [*student, 2 * normal(size)], [*teacher, 2 * normal(size)]
    student += [2 * normal(size, 6).abs(), 2 * normal(size, 3)]
    scalar = torch.randint(17, (size,), generator=generator).double()
    vector = torch.randint(6, (size, 6), generator=generator).double()
    weight = 0.5 + torch.rand(size, generator=generator, dtype=torch.float64)
    return {
        "student": StudentPredictions(*(tensor.to(device, dtype) for tensor in student)),
        "teacher": TeacherPredictions(*(tensor.to(device, dtype) for tensor in teacher)),
        "targets": DistillTargets(*(tensor.to(device, dtype) for tensor in (scalar, vector, weight))),
        "scalar_scale": 16.0,
        "vector_scale": (5.0, 5.0, 5.0, 5.0, 5.0, 1.0),
        "thresholds": (1.0, 2.0, 3.0),
    }
