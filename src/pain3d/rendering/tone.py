"""Knows how light a person's skin is: measured on the albedo, where no hair grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pain3d.colour import typology_angle
from pain3d.skin import SurfaceMaps

# Where the tone is taken, seen from the front in mm: cheeks below the eyes and bridge of the nose, where no hair grows.
TONE_POINTS = ((-40.0, -2.0), (-30.0, -12.0), (0.0, 25.0), (30.0, -12.0), (40.0, -2.0))


def tone_texels(maps: SurfaceMaps) -> list[npt.NDArray[np.int64]]:
    """The texels around each of `TONE_POINTS`, as places in the flat finest level."""
    reach, size = max(1, maps.size // 64), maps.size
    around = []
    for column, row in maps.texels_at(np.array(TONE_POINTS, np.float32)).round().astype(int).tolist():
        rows, columns = (np.arange(max(0, place - reach), min(size, place + reach)) for place in (row, column))
        around.append((rows[:, None] * size + columns).ravel())
    return around


def skin_tone(albedo: npt.NDArray[np.float32], lengths: Sequence[int]) -> float:
    """ITA° of the median over patches, which follow each other in albedo [T, 3], of their mean."""
    patches = np.split(albedo, np.cumsum(lengths[:-1]))
    return float(typology_angle(np.median([patch.mean(0, dtype=np.float64) for patch in patches], axis=0)))
