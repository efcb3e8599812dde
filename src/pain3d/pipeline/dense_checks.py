"""Knows what must hold of the columns that ``pain3d synth --dense`` adds: depth and parts of each pixel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pain3d.records import NO_PART, PARTS

Mask = npt.NDArray[np.bool_]


def check_dense(levels: Mapping[str, npt.NDArray[Any]], coverage: float | None, haired: bool = False) -> Iterator[str]:
    """What is wrong with depth and parts of a row of frames: nothing where there are none.

    They must know each part, have the head where the heat map has it, and as much of it as is covered.

    Args:
        levels: Of depth, parts and the heat map, [H, W] each.
        coverage: Share of the pixels that the head covers; None where nobody says.
        haired: Whether coverage counts hair too that is laid over the head.
    """
    head: dict[str, Mask] = {"depth": levels["depth"] > 0} if "depth" in levels else {}
    if "parts" in levels:
        head["parts"] = levels["parts"] != NO_PART
        if (head["parts"] & (levels["parts"] >= len(PARTS))).any():
            yield f"parts has {levels['parts'][head['parts']].max()}, the last part is {len(PARTS) - 1}"
    for name, seen in head.items():
        if (levels["heatmap"][~seen] > 0).any():
            yield f"{name} has background where heatmap says that the head moved"
        # What is antialiased are pixels at the outline: elsewhere a covered pixel is one whose centre sees the head.
        there, border = int(seen.sum()), int(outline(seen).sum())
        more = seen.size if haired else border
        if coverage is not None and not -border <= (pixels := coverage * seen.size) - there <= more:
            yield f"coverage is {coverage:g}, {pixels:.0f} pixels, but {name} has {there}, and {border} at the outline"
    if len(head) == 2 and (head["depth"] != head["parts"]).any():
        yield "depth and parts differ in where the head is"


def outline(mask: Mask) -> Mask:
    """Pixels [H, W] beside which, left, right, above or below, another is of the other kind."""
    beside = np.zeros_like(mask)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    beside[:, 1:] |= across
    beside[:, :-1] |= across
    beside[1:] |= down
    beside[:-1] |= down
    return beside
