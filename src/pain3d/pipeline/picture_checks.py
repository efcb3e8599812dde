"""Knows what must hold of the pictures of one row, whoever it shows: what is decoded, measured and compared there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import one_line
from pain3d.doors.pictures import decode_heatmap, decode_levels, told_size
from pain3d.pipeline.contact_sheet import decode
from pain3d.pipeline.dense_checks import check_dense, outline
from pain3d.records import CLIPPED_LEVEL, HEATMAP_UNIT_MM, HEATMAP_UNITS_MM

DIGEST_BYTES: Final = 16
# A level is rounded half up, so the largest is at most half a level beyond the millimetres that it stands for; and both
# ends of a movement are within 5e-6 m of where another device has them (docs/formats.md).
ROUNDING_MM: Final = 1e-2
Levels = npt.NDArray[Any]


@dataclass(frozen=True)
class PicturedRow:
    """The pictures of a row, and what its columns say of them.

    Attributes:
        contents: Files by column.
        size: Pixels a side.
        neutral: Whether nothing moved.
        unit: Millimetres of a level of the heat map; 0 where there is none.
        moved: Millimetres, beyond which nothing moved; infinity where nobody knows.
        coverage: Share of the pixels that the head covers; None where nobody says.
        counted: Whether coverage counts pixels, as this code writes it.
        haired: Whether it counts hair too that depth and parts don't know.
    """

    contents: Mapping[str, bytes]
    size: int
    neutral: bool
    unit: float = 0.0
    moved: float = np.inf
    coverage: float | None = None
    counted: bool = False
    haired: bool = False


def look_at(row: PicturedRow) -> tuple[list[str], dict[str, bytes]]:
    """What is wrong with the pictures of a row, and a digest of each by column."""
    digests = {name: digest(content) for name, content in row.contents.items()}
    levels: dict[str, Levels] = {}
    found = []
    for name, content in row.contents.items():
        try:
            width, height = told_size(content)
            if (width, height) == (row.size, row.size):  # asked before so many pixels are decoded
                levels[name] = _decoded(name, content)
        except (ValueError, RuntimeError) as error:
            found.append(f"{name} can't be decoded ({one_line(error)})")
            continue
        if name not in levels:
            found.append(f"{name} is {width} x {height}, not {row.size} x {row.size}")
        elif row.neutral and "heatmap" in name and levels[name].any():
            found.append(f"is neutral, but {name} isn't 0 everywhere")
    if not found:
        found += [
            *_check_unit(row, levels),
            *_check_coverage(row, levels),
            *check_dense(levels, row.coverage, row.haired),
        ]
    return found, digests


def digest(content: bytes) -> bytes:
    """What tells whether two files are the same."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _decoded(name: str, content: bytes) -> Levels:
    if name == "heatmap":
        return decode_heatmap(content)
    if name in ("depth", "parts"):
        return decode_levels(content, 16 if name == "depth" else 8)
    return decode(content)


def _check_unit(row: PicturedRow, levels: Mapping[str, Levels]) -> Iterator[str]:
    """A heat map's unit must be the smallest that clips nothing, and none of it further than a vertex moved."""
    if "heatmap" not in levels:
        return
    if not np.isclose(row.unit, HEATMAP_UNITS_MM, rtol=1e-7, atol=0).any():  # a float32 is off by 1.5e-8 of it
        known = ", ".join(f"{unit:g}" for unit in HEATMAP_UNITS_MM)
        yield f"heatmap_unit_mm is {row.unit:g}, not one of {known}"
        return
    highest = int(levels["heatmap"].max())
    if highest == CLIPPED_LEVEL:
        yield f"heatmap is clipped at level {CLIPPED_LEVEL}: some of it moved further than it says"
    elif row.unit > 1.5 * HEATMAP_UNIT_MM and highest < CLIPPED_LEVEL // 2:  # half the unit would have been enough
        yield f"heatmap_unit_mm is {row.unit:g}, but half of it is enough for level {highest} of heatmap"
    elif highest * row.unit > row.moved + row.unit / 2 + ROUNDING_MM:
        yield (
            f"heatmap and heatmap_unit_mm say {highest * row.unit:.1f} mm, but its scene moves nothing"
            f" beyond {row.moved:.1f} mm"
        )


def _check_coverage(row: PicturedRow, levels: Mapping[str, Levels]) -> Iterator[str]:
    """Coverage must be a share of whole pixels, and at least those inside what moved."""
    if row.coverage is None or "heatmap" not in levels:
        return
    pixels = row.coverage * row.size**2
    if not 0 <= row.coverage <= 1:
        yield f"coverage is {row.coverage:g}, not 0 to 1"
    elif row.counted and np.float32(round(pixels) / row.size**2) != np.float32(row.coverage):
        yield f"coverage is {row.coverage:g}, which is {pixels:.2f} pixels and no whole number of them"
    else:
        moved = levels["heatmap"] > 0
        inside = int((moved & ~outline(moved)).sum())
        if inside > round(pixels):
            yield f"coverage is {row.coverage:g}, which is {round(pixels)} pixels, but heatmap has {inside} that moved"
