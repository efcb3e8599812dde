"""Knows in which rows a stored column differs from what it should hold, and how a finding says it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pain3d.console.refused import quoted


def differing_rows(stored: pa.Array, wanted: pa.Array, tolerance: float = 0.0) -> npt.NDArray[np.int64]:
    """Which rows of two columns of one type and length differ.

    Args:
        stored: Without nulls, in lists too.
        wanted: Likewise.
        tolerance: Of numbers; NaN is within none.
    """
    if stored.equals(wanted):
        return np.zeros(0, np.int64)
    if not pa.types.is_list(stored.type):
        if tolerance:
            found, right = stored.to_numpy(), wanted.to_numpy()
            return np.flatnonzero(~(np.abs(found - right) <= tolerance))
        return np.flatnonzero(~pc.fill_null(pc.equal(stored, wanted), False).to_numpy(zero_copy_only=False))
    numbers = flat_rows(stored), flat_rows(wanted)
    if numbers[0] is None or numbers[1] is None or numbers[0].shape != numbers[1].shape:  # lists of other lengths
        pairs = enumerate(zip(stored.to_pylist(), wanted.to_pylist(), strict=True))
        return np.array([row for row, (found, right) in pairs if not _same(found, right, tolerance)], np.int64)
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN
        same = np.abs(numbers[0] - numbers[1]) <= tolerance
    return np.flatnonzero(~same.all(1))


def flat_rows(column: pa.Array) -> npt.NDArray[Any] | None:
    """The numbers [R, ...] of a column of lists, a row of them flat; None where lists have not all the same length."""
    rows = len(column)
    while pa.types.is_list(column.type):
        lengths = pc.list_value_length(column)
        if len(lengths) and pc.min_max(lengths)["min"] != pc.min_max(lengths)["max"]:
            return None
        column = column.flatten()
    return np.asarray(column.to_numpy()).reshape(rows, -1) if rows else None


def told_difference(name: str, stored: Any, wanted: Any) -> tuple[str, str, str]:
    """The first of two values' numbers that differ: what it is called (``bbox[2]``), what is stored, what should be."""
    while isinstance(stored, list) and isinstance(wanted, list):
        if len(stored) != len(wanted):
            return name, f"a list of {len(stored)}", f"one of {len(wanted)}"
        pairs = enumerate(zip(stored, wanted, strict=True))
        place = max(pairs, key=lambda pair: _distance(*pair[1]))[0] if stored else 0
        name, stored, wanted = f"{name}[{place}]", stored[place], wanted[place]
    return name, _said(stored), _said(wanted)


def _distance(found: Any, right: Any) -> float:
    """How far apart two numbers are, or of lists the farthest of theirs; infinity where one isn't a finite number."""
    if isinstance(found, list) and isinstance(right, list) and len(found) == len(right):
        return max(map(_distance, found, right), default=0.0)
    if isinstance(found, list) or isinstance(right, list):
        return np.inf
    away = abs(found - right)
    return away if away == away else np.inf


def _same(found: Any, right: Any, tolerance: float) -> bool:
    return bool(_distance(found, right) <= tolerance)


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else quoted(value)
