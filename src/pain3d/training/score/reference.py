"""Knows when a neutral picture is the scored one again: compared with itself a face shows no change.

Whether it shows another person can't be told with what is at hand; docs/training.md has what was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.training.score.portrait import Portrait

LOOKED_AT: Final = 32  # pixels a side: a blink or a brow is some of them, what a JPEG loses is none
# Levels of 255, mean over the crop, below which two pictures are one. Rendered pictures, 30 of each of two data sets,
# saved again four times (JPEG of quality 50 to 85, half to whole size) and found anew: half lie within 3.7 and 3.0,
# 95 % within 8.8 and 7.9. Other pictures of one person: at least 8.3 where camera and light stay
# (10 people), else 11.8 (16 people).
SAME: Final = 6.0


def noted(portraits: Sequence[Portrait], neutrals: Sequence[Portrait]) -> list[Portrait]:
    """The portraits, with a note on each that is one of its neutral pictures.

    Args:
        portraits: Crops of one size.
        neutrals: Likewise.
    """
    small = [_small(neutral) for neutral in neutrals]
    found = []
    for portrait in portraits:
        own = _small(portrait)
        same = [n for n, seen in zip(neutrals, small, strict=True) if np.abs(own - seen).mean() < SAME]
        notes = [f"the neutral picture {n.path} shows the same: a face beside itself has no expression" for n in same]
        found.append(replace(portrait, notes=(*portrait.notes, *notes)))
    return found


def _small(portrait: Portrait) -> npt.NDArray[np.float64]:
    import cv2

    return np.asarray(cv2.resize(portrait.crop, (LOOKED_AT, LOOKED_AT), interpolation=cv2.INTER_AREA), np.float64)
