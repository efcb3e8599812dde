"""Knows how light a person's skin is: measured on the albedo, where no hair grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pain3d.colour import typology_angle


def skin_tone(albedo: npt.NDArray[np.float32], lengths: Sequence[int]) -> float:
    """ITA° of the median over patches, which follow each other in albedo [T, 3], of their mean."""
    patches = np.split(albedo, np.cumsum(lengths[:-1]))
    return float(typology_angle(np.median([patch.mean(0, dtype=np.float64) for patch in patches], axis=0)))
