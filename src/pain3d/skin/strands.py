"""Knows how hair lies on a head: strands that leave a whorl or a parting, gather in locks, wave or coil."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.maps import SurfaceMaps

Floats = npt.NDArray[np.float32]

# Strands run away from a pole on the skull: the whorl, a side parting (left or right), the middle of a bun.
SKULL_CENTRE, SKULL_RADIUS = (0.0, 35.0, -5.0), 90.0  # mm
POLES = {
    "whorl": (0.10, 0.75, -0.65),
    "left": (0.30, 0.88, 0.36),
    "right": (-0.30, 0.88, 0.36),
    "bun": (0.0, 0.62, -0.78),
}
PARTINGS = ("left", "right")
SHEET_ROWS, SHEET_COLUMNS = 256, 1024  # of the strand sheets, which repeat
STRAND_WIDTH, ROW_LENGTH = 2 * np.pi * SKULL_RADIUS / SHEET_COLUMNS, 2.2  # mm of a column and of a row
SHEETS = ((0.85, 7.0), (2.6, 10.0), (7.0, 18.0))  # columns and rows (standard deviations) of hairs, wisps and locks
WAVE_LENGTH, WAVE_WIDTH = 36.0, 7.0  # mm, of waves at curl 1; below `STRAIGHT` there are none
STRAIGHT = 0.28
WANDER = 2.0  # mm by which strands leave their line
CROPPED = 4.0  # times shorter than other strands are those of a buzz cut
COILED = 0.7  # curl from which hair coils instead of lying in strands


@dataclass(frozen=True)
class Strands:
    """Two planes [h, w] of zero mean and unit variance: strands, and the locks they gather in."""

    fine: Floats
    locks: Floats


def lay_strands(
    layer: Layer, pole: str, curl: float, generator: np.random.Generator, *, cropped: bool = False
) -> Strands:
    """How one person's hair lies on the texels of a layer; `pole` is of `POLES`, `curl` 0–1; cropped hair is short."""
    maps, box = layer.maps, layer.box
    if curl > COILED:
        coils = mixed_noise(maps, "mottle", box, generator)
        tufts = mixed_noise(maps, "patch", box, generator)
        ridges = np.maximum((np.float32(0.8) - np.abs(coils)) * np.float32(1.6), np.float32(-1.6))
        return Strands(ridges, np.float32(0.5) * tufts + np.float32(0.7) * mixed_noise(maps, "mottle", box, generator))
    turn, reach = _polar(maps, pole)
    turn, reach = turn[box], reach[box]
    wander = mixed_noise(maps, "broad", box, generator) * np.float32(WANDER / STRAND_WIDTH)
    phase = generator.random(2) * (SHEET_COLUMNS, SHEET_ROWS)
    wave = np.float32(WAVE_WIDTH * max(0.0, curl - STRAIGHT) / STRAND_WIDTH) * np.sin(
        reach * np.float32(2 * np.pi / WAVE_LENGTH) + np.float32(0.5) * wander
    )
    columns = np.mod(
        turn * np.float32(SHEET_COLUMNS / (2 * np.pi)) + wander + wave + np.float32(phase[0]), SHEET_COLUMNS
    )
    rows = np.mod(
        reach * np.float32(CROPPED if cropped else 1) * np.float32(1 / ROW_LENGTH) + np.float32(phase[1]), SHEET_ROWS
    )
    columns, rows = columns.astype(np.float32), rows.astype(np.float32)
    fine, locks = (np.asarray(cv2.remap(s, columns, rows, cv2.INTER_LINEAR), np.float32) for s in _sheets())
    return Strands(fine, locks)


def _polar(maps: SurfaceMaps, pole: str) -> tuple[Floats, Floats]:
    """Angle around a pole (radians, from 0) and distance from it along the skull (mm), [H, W]; made once per maps."""
    names = f"turn_{pole}", f"reach_{pole}"
    if names[1] not in maps.masks:
        axis = np.array(POLES[pole]) / np.linalg.norm(POLES[pole])
        side = np.cross(axis, [0.0, 0.0, 1.0] if pole in PARTINGS else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        across = np.cross(side, axis)
        laid = pole in PARTINGS  # of hair that lies over the ears
        places = [maps.masks[f"laid_{axis}"] if laid else getattr(maps, axis) for axis in "xyz"]
        offset = [p - np.float32(c) for p, c in zip(places, SKULL_CENTRE, strict=True)]
        along, up, over = (
            sum(np.float32(d) * plane for d, plane in zip(direction, offset, strict=True))
            for direction in (axis, side, across)
        )
        # Below the skull hair hangs: a neck that is narrower than the head must not pull its strands together.
        reach = np.arctan2(np.hypot(up, over), along) * np.float32(SKULL_RADIUS)
        maps.masks[names[0]] = np.arctan2(up, over).astype(np.float32) + np.float32(np.pi)
        maps.masks[names[1]] = reach.astype(np.float32)
    return maps.masks[names[0]], maps.masks[names[1]]


@lru_cache(maxsize=1)
def _sheets() -> tuple[Floats, Floats]:
    """Periodic sheets (one row and column more than a period) of strands and of locks; they run along the rows."""
    hair, wisp, lock = (_sheet(number, *size) for number, size in enumerate(SHEETS))
    fine = hair + np.float32(0.35) * wisp
    return np.asarray(fine / fine.std(), np.float32), lock


def _sheet(number: int, wide: float, long: float) -> Floats:
    white = keyed_generator(0, "skin/strands", number).standard_normal((SHEET_ROWS, SHEET_COLUMNS))
    wrapped = np.pad(white.astype(np.float32), 96, mode="wrap")
    sheet = cv2.GaussianBlur(wrapped, (0, 0), sigmaX=wide, sigmaY=long)[96:-95, 96:-95]
    return np.asarray((sheet - sheet.mean()) / sheet.std(), np.float32)
