"""Knows what must hold of the columns that ``pain3d synth --dense`` adds: depth and parts of each pixel."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pain3d.doors.pictures import decode_levels
from pain3d.records import DEPTH_UNIT_MM, NO_PART, PARTS


def check_dense(table: pa.Table, size: int, pool: Executor) -> Iterator[tuple[int, str]]:
    """What is wrong with depth and parts in rows of frames, with the row: nothing where there are none.

    Args:
        table: The rows.
        size: Pixels a side of their pictures.
        pool: Where pictures are decoded.
    """
    if "depth_unit_mm" in table.column_names:
        for row, unit in enumerate(table["depth_unit_mm"].to_pylist()):
            if unit != float(np.float32(DEPTH_UNIT_MM)):
                yield row, f"depth_unit_mm is {unit:g}, not {DEPTH_UNIT_MM}"
    if "depth" in table.column_names or "parts" in table.column_names:
        for found in pool.map(_check_pictures, _tasks(table, size)):
            yield from found


def _tasks(table: pa.Table, size: int) -> Iterator[tuple[int, dict[str, bytes], int]]:
    names = [name for name in ("depth", "parts", "heatmap") if name in table.column_names]
    for row in range(len(table)):
        yield row, {name: table[name][row]["bytes"].as_py() for name in names}, size


def _check_pictures(task: tuple[int, dict[str, bytes], int]) -> list[tuple[int, str]]:
    """Depth and parts must be grey PNGs of their bits, know each part, and have the head where the heatmap has it."""
    row, contents, size = task
    levels: dict[str, npt.NDArray[Any]] = {}
    for name, content in contents.items():
        try:
            levels[name] = decode_levels(content, 16 if name == "depth" else 8)
        except ValueError as error:
            return [(row, f"{name} can't be decoded ({error})")]
        if levels[name].shape != (size, size):
            return [(row, f"{name} is {levels[name].shape[1]} x {levels[name].shape[0]}, not {size} x {size}")]
    found = []
    head = {"depth": levels["depth"] > 0} if "depth" in levels else {}
    if "parts" in levels:
        head["parts"] = levels["parts"] != NO_PART
        if (head["parts"] & (levels["parts"] >= len(PARTS))).any():
            found.append((row, f"parts has {levels['parts'][head['parts']].max()}, the last part is {len(PARTS) - 1}"))
    for name, seen in head.items():
        if (levels["heatmap"][~seen] > 0).any():
            found.append((row, f"{name} has background where heatmap says that the head moved"))
    if len(head) == 2 and (head["depth"] != head["parts"]).any():
        found.append((row, "depth and parts differ in where the head is"))
    return found
