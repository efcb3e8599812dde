"""Knows what tests of gradients ask of an op: those of a weighted sum of its results, and the float64 reference's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def in_float64(inputs: dict[str, Any]) -> dict[str, Any]:
    """The same inputs, floats in double precision."""
    known = {name: value for name, value in inputs.items() if isinstance(value, Tensor) and value.is_floating_point()}
    return inputs | {name: value.double() for name, value in known.items()}


def floats_of(result: Any) -> list[Tensor]:
    """The results that may have a gradient."""
    return [part for part in ([result] if isinstance(result, Tensor) else result) if part.is_floating_point()]


def upstream_of(result: Any, seed: int = 0) -> list[Tensor]:
    """A random gradient for each float result, the same for each precision and device."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(part.shape, generator=generator).to(part) for part in floats_of(result)]


def gradients(
    op: Callable[..., Any], inputs: dict[str, Any], names: Sequence[str], upstream: Sequence[Tensor] | None = None
) -> dict[str, Tensor]:
    """Gradients to the named inputs of Σ upstream · result, by default of `upstream_of`."""
    leaves = {name: inputs[name].detach().requires_grad_() for name in names}
    result = op(**(inputs | leaves))
    given = upstream_of(result) if upstream is None else upstream
    pairs = [pair for pair in zip(floats_of(result), given, strict=True) if pair[0].requires_grad]
    if not pairs:  # the reference of nothing at all
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    results, weights = zip(*[(part, weight.to(part)) for part, weight in pairs], strict=True)
    wanted = torch.autograd.grad(results, list(leaves.values()), weights, materialize_grads=True)
    return dict(zip(names, wanted, strict=True))


def assert_near(found: dict[str, Tensor], exact: dict[str, Tensor], allowed: float) -> None:
    """Each gradient within `allowed` of the greatest entry of its float64 reference, and of its shape."""
    for name, gradient in found.items():
        assert gradient.shape == exact[name].shape and gradient.dtype == torch.float32, name
        if gradient.numel():
            apart = (gradient.double() - exact[name]).abs().max()
            assert apart <= allowed * exact[name].abs().max(), f"{name}: {apart} of {exact[name].abs().max()}"
