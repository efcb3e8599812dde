"""Knows the places that come along: `data/environments_cc0.npz`, written by `tools/build_environments.py`.

Of each place the file holds the strip as a JPEG of codes (`decoded`), mirrors as halves, and nine harmonics with the
key as floats. Where the panoramas come from and whose they are stands in `data/NOTICE`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.doors.pictures import decode_picture
from pain3d.environment.panorama import MIRRORS, Environment, Floats
from pain3d.ranges import told

FILE: Final = Path(__file__).parent / "data" / "environments_cc0.npz"
# Indoors: a flat's and a hotel's room, a lobby, a workshop school. Outside: sun, under a roof, under trees, an overcast
# city, and a night lit from the horizon.
ENVIRONMENTS: Final = (
    "apartment", "bedroom", "lobby", "classroom", "meadow", "courtyard", "forest", "city", "night",
)  # fmt: skip
BRIGHTEST_CODE: Final = 16.0  # in units of the mean luminance: four stops more than a picture shows


@lru_cache(maxsize=len(ENVIRONMENTS))
def embedded_environment(name: str) -> Environment:
    """A place by name, one of `ENVIRONMENTS`.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in ENVIRONMENTS:
        raise ValueError(f"environment must be one of {', '.join(ENVIRONMENTS)}, got {told(name)}")
    with np.load(FILE) as kept:
        numbers = kept[f"{name}.light"].astype(np.float64)
        mirrors = tuple(kept[f"{name}.mirror{level}"].astype(np.float32) for level in range(len(MIRRORS)))
        strip = decoded(decode_picture(kept[f"{name}.strip"].tobytes(), name))
    return Environment(name, strip, mirrors, numbers[:27].reshape(9, 3), numbers[27:30], numbers[30:33], numbers[33])


def encoded(strip: Floats) -> npt.NDArray[np.uint8]:
    """Codes of linear light, its fourth root: a step is 3 % at the mean, of which the sensor's noise leaves nothing."""
    return np.rint(255 * np.clip(strip / BRIGHTEST_CODE, 0, 1) ** 0.25).astype(np.uint8)


def decoded(codes: npt.NDArray[np.uint8]) -> Floats:
    """Inverse of `encoded`."""
    return np.asarray(BRIGHTEST_CODE * (codes.astype(np.float32) / np.float32(255)) ** 4, np.float32)


def as_arrays(place: Environment, strip: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """What the file holds of a place, by name.

    Args:
        place: Which.
        strip: The JPEG of its encoded strip.
    """
    numbers = np.concatenate([place.sh.ravel(), place.key_direction, place.key_colour, [place.key_radius]])
    mirrors = {f"{place.name}.mirror{level}": part.astype(np.float16) for level, part in enumerate(place.mirrors)}
    return {
        f"{place.name}.strip": np.frombuffer(strip, np.uint8),
        **mirrors,
        f"{place.name}.light": numbers.astype(np.float32),
    }
