"""Knows the action units in other people's words: ARKit's, MediaPipe's, ICT-FaceKit's, OpenFace's, as fitted data.

The table lies in ``data/unit_map.csv``, written by ``tools/build_unit_map.py``: coefficients at intensity 5 of both
sides, and what they leave over of our displacement, as a share and in millimetres. A sided name is written without its
side. FLAME's shapes bear no names: `pain3d.Head.load` fits them to the user's own file and keeps table and residuals.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).parent / "data" / "unit_map.csv"
COLUMNS: Final = (
    "au", "meaning", "arkit", "arkit_left_over", "arkit_residual_mm", "mediapipe", "openface", "ict", "ict_left_over",
    "ict_residual_mm", "flame",
)  # fmt: skip
NO_MEDIAPIPE: Final = frozenset({"tongueOut"})  # ARKit's 52 but for this one, and _neutral, are MediaPipe's
# OpenFace 2's columns of intensity; of AU28 it has presence alone, and blinking (45) stands for closed eyes (43).
OPENFACE: Final = {
    **{n: f"AU{n:02d}_r" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26)},
    28: "AU28_c", 43: "AU45_r",
}  # fmt: skip


@dataclass(frozen=True)
class UnitNames:
    """One action unit in other words.

    Attributes:
        au: Number.
        arkit: ARKit's name without its side → coefficient 0–1 at intensity 5. MediaPipe has the same names.
        arkit_left_over: Share of our displacement that these shapes don't make; on the packaged head.
        arkit_residual_mm: The same, root mean square over the points that move.
        ict: ICT-FaceKit's names → coefficient at intensity 5.
        ict_left_over: Share of our displacement that its shapes of these names don't make: another sculptor's face.
        ict_residual_mm: The same, root mean square.
        openface: OpenFace's column, empty where it has none.
    """

    au: int
    arkit: dict[str, float]
    arkit_left_over: float
    arkit_residual_mm: float
    ict: dict[str, float]
    ict_left_over: float
    ict_residual_mm: float
    openface: str


@lru_cache(maxsize=1)
def unit_names() -> dict[int, UnitNames]:
    """The table by number of the action unit."""
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        int(row["au"][2:]): UnitNames(
            au=int(row["au"][2:]),
            arkit=_shares(row["arkit"]),
            arkit_left_over=float(row["arkit_left_over"]),
            arkit_residual_mm=float(row["arkit_residual_mm"]),
            ict=_shares(row["ict"]),
            ict_left_over=float(row["ict_left_over"]),
            ict_residual_mm=float(row["ict_residual_mm"]),
            openface=row["openface"],
        )
        for row in rows
    }


def _shares(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in (pair.split("=") for pair in text.split())}
