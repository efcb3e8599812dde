"""Knows which numbers a head takes: dtype, range and finiteness of what comes through its public door."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pain3d.ranges import told

# Least and most, and what it counts. Where a gradient is wanted only what is finite: an optimiser may step beyond.
LIMITS: dict[str, tuple[float, float, str]] = {
    "au": (0.0, 5.0, "intensities; AU43 is shut from 1 on"),
    "identity": (-10.0, 10.0, "coefficients: those of sampled people stay below 2.5"),
    "expression": (-10.0, 10.0, "weights"),
    "transl": (-1e3, 1e3, "metres"),
}
RADIANS = (-2 * math.pi, 2 * math.pi, "radians")  # of an axis-angle: what is larger was meant in degrees


def check_inputs(like: Tensor, tensors: Mapping[str, Tensor | None]) -> None:
    """Refuse what would end in metres of displacement, in silence, or in an error of torch's deep inside.

    Numbers are looked at on the CPU alone, once, in microseconds: to read them on another device would wait for it.

    Args:
        like: A buffer of the head, whose dtype all must have.
        tensors: By name, as `Head` takes them; poses are axis-angles.

    Raises:
        ValueError: Another dtype, a number that is not finite or, of a tensor without gradient, out of range.
    """
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} must be a tensor, got {told(tensor)}")
        if tensor.dtype != like.dtype:
            wanted, got = (str(dtype).removeprefix("torch.") for dtype in (like.dtype, tensor.dtype))
            raise ValueError(f"{name} must be {wanted} as the head is, got {got}")
        if tensor.device.type != "cpu" or type(tensor) not in (Tensor, torch.nn.Parameter) or not tensor.numel():
            continue
        if torch.compiler.is_compiling():
            continue
        low, high = (float(value) for value in torch.aminmax(tensor.detach()))  # NaN where any is
        least, most, meaning = LIMITS.get(name, RADIANS)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{name} must be finite, got {low if not math.isfinite(low) else high}")
        if not tensor.requires_grad and not least <= low <= high <= most:
            got_ = low if low < least else high
            raise ValueError(f"{name} must be in {least:.4g}..{most:.4g} ({meaning}), got {got_:.4g}")
