"""Knows how a public record refuses what is no number, or none in its range: in one line that names the field."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real


def check_number(name: str, value: object, low: float, high: float, meaning: str = "") -> None:
    """Raise ValueError unless a value is a number in ``low`` … ``high``; `meaning` says its unit or what it counts."""
    if not isinstance(value, Real) or not low <= float(value) <= high:  # NaN is in no range
        said = value if isinstance(value, Real) else repr(value)
        raise ValueError(f"{name} must be in {low:g}..{high:g}{' ' + meaning if meaning else ''}, got {said}")


def are_numbers(values: object, count: int, low: float, high: float) -> bool:
    """Whether values are so many numbers, each in ``low`` … ``high``."""
    listed = list(values) if isinstance(values, Iterable) else []
    return len(listed) == count and all(isinstance(value, Real) and low <= float(value) <= high for value in listed)


def check_ancestry(shares: object) -> None:
    """Raise ValueError unless shares are three that sum to 1."""
    if not are_numbers(shares, 3, 0, 1 + 1e-3) or abs(sum(shares) - 1) > 1e-3:  # type: ignore[call-overload]
        raise ValueError(f"ancestry must be three shares that sum to 1 (african, asian, caucasian), got {shares!r}")
