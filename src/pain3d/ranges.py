"""Knows how a public record refuses what is no number, or none in its range: in one line that names the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pain3d.console.refused import quoted

Limits = Mapping[str, tuple[float, float, str]]  # by the name of a field: least, most, its unit or what it counts
FAR = 1e3  # metres from the origin: farther, a head is less than a pixel


def told(value: object) -> str:
    """What was given, as an error tells it: on one line, cut."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    return str(value) if isinstance(value, Real) and not isinstance(value, int) else quoted(value)


def check_kind(name: str, value: object, *kinds: type) -> None:
    """Raise ValueError unless a value is of one of these kinds."""
    if not isinstance(value, kinds):
        raise ValueError(f"{name} must be of {' or '.join(kind.__name__ for kind in kinds)}, got {told(value)}")


def check_number(name: str, value: object, low: float, high: float, meaning: str = "") -> None:
    """Raise ValueError unless a value is a number in ``low`` … ``high``; `meaning` says its unit or what it counts."""
    number: Any = value  # a whole number of 400 digits is none of floats
    if not isinstance(value, Real) or not low <= number <= high:  # NaN is in no range
        raise ValueError(f"{name} must be in {low:g}..{high:g}{' ' + meaning if meaning else ''}, got {told(value)}")


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raise ValueError unless a value is a whole number in ``low`` … ``high``."""
    number: Any = value
    if not isinstance(value, Integral) or not low <= number <= high:
        raise ValueError(f"{name} must be a whole number in {low}..{high}, got {told(value)}")


def check_fields(record: object, limits: Limits) -> None:
    """Raise ValueError unless each field of a record is a number within its limits."""
    for name, (low, high, meaning) in limits.items():
        value = getattr(record, name)
        if type(value) is not float or not low <= value <= high:  # floats are most: a scene has twenty of them
            check_number(name, value, low, high, meaning)


def check_rows(name: str, value: object, shape: tuple[int, ...], low: float = -3e38, high: float = 3e38) -> int:
    """Check a tensor of N rows of this shape, and on the CPU that its numbers are finite and within limits.

    On another device they are not looked at, for that would wait for it; nor where a graph is traced.

    Returns:
        N.

    Raises:
        ValueError: It is something else; the text names it.
    """
    if not isinstance(value, Tensor) or tuple(value.shape[1:]) != shape or value.ndim != len(shape) + 1:
        raise ValueError(f"{name} must be a tensor {['N', *shape]}, got {told(value)}".replace("'", ""))
    plain: Any = type(value) is Tensor or type(value) is torch.nn.Parameter
    if plain and value.device.type == "cpu" and value.numel() and not torch.compiler.is_compiling():
        least, most = (float(number) for number in torch.aminmax(value.detach()))  # NaN where any is
        if not low <= least <= most <= high:
            given = least if not least >= low else most
            raise ValueError(f"{name} must be in {low:g}..{high:g}, got {given:g}")
    return len(value)


def are_numbers(values: object, count: int, low: float, high: float) -> bool:
    """Whether values are so many numbers, each in ``low`` … ``high``."""
    listed: list[Any] = list(values) if isinstance(values, Sequence) or np.ndim(values) == 1 else []  # type: ignore[call-overload, arg-type]
    return len(listed) == count and all(isinstance(value, Real) and low <= value <= high for value in listed)  # type: ignore[operator]


def check_ancestry(shares: object) -> None:
    """Raise ValueError unless shares are three that sum to 1."""
    if not are_numbers(shares, 3, 0, 1 + 1e-3) or abs(sum(shares) - 1) > 1e-3:  # type: ignore[call-overload]
        raise ValueError(f"ancestry must be three shares that sum to 1 (african, asian, caucasian), got {told(shares)}")
