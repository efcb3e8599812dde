"""Knows how hair lies on a head: strands that leave a whorl or a parting, gather in locks, wave or coil."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch

from pain3d.random import keyed_generator
from pain3d.skin.crowd import Draws
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.maps import Box, Floats, Plane, SurfaceMaps
from pain3d.skin.planes import Number, looked_up, maximum, mod, sin

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

    fine: Plane
    locks: Plane


def lay_strands(
    layer: Layer,
    pole: Number,
    curl: Number,
    generator: np.random.Generator | Draws,
    *,
    coiled: bool,
    speed: Number,
) -> Strands:
    """How hair lies on the texels of a layer; `pole` numbers `POLES`, `curl` is 0–1, above `COILED` hair is coiled."""
    maps, box = layer.maps, layer.box
    if coiled:
        coils = mixed_noise(maps, "mottle", box, generator)
        tufts = mixed_noise(maps, "patch", box, generator)
        ridges = maximum((0.8 - abs(coils)) * 1.6, -1.6)
        return Strands(ridges, 0.5 * tufts + 0.7 * mixed_noise(maps, "mottle", box, generator))
    turn, reach = (_of_pole(maps, f"{name}_", pole, box) for name in ("turn", "reach"))
    wander = mixed_noise(maps, "broad", box, generator) * (WANDER / STRAND_WIDTH)
    phase = generator.random() * SHEET_COLUMNS, generator.random() * SHEET_ROWS
    width = WAVE_WIDTH * maximum(0.0, curl - STRAIGHT) / STRAND_WIDTH
    wave = width * sin(reach * (2 * np.pi / WAVE_LENGTH) + 0.5 * wander)
    columns = mod(turn * (SHEET_COLUMNS / (2 * np.pi)) + wander + wave + phase[0], SHEET_COLUMNS)
    rows = mod(reach * speed * (1 / ROW_LENGTH) + phase[1], SHEET_ROWS)
    return Strands(*(looked_up(sheet, columns, rows) for sheet in _sheets()))


def _of_pole(maps: SurfaceMaps, name: str, pole: Number, box: Box) -> Plane:
    if isinstance(pole, torch.Tensor):
        return torch.stack([maps.masks[name + known][box] for known in POLES])[pole]
    return maps.masks[name + list(POLES)[pole]][box]


def polar_masks(maps: SurfaceMaps) -> dict[str, Floats]:
    """For each of `POLES` the angle around it (radians, from 0) and the distance along the skull (mm), [H, W]."""
    masks = {}
    for pole, direction in POLES.items():
        axis = np.array(direction) / np.linalg.norm(direction)
        side = np.cross(axis, [0.0, 0.0, 1.0] if pole in PARTINGS else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        laid = pole in PARTINGS  # of hair that lies over the ears
        places = [maps.masks[f"laid_{axis}"] if laid else getattr(maps, axis) for axis in "xyz"]
        offset = [p - np.float32(c) for p, c in zip(places, SKULL_CENTRE, strict=True)]
        along, up, over = (
            np.asarray(sum(np.float32(d) * plane for d, plane in zip(way, offset, strict=True)), np.float32)
            for way in (axis, side, np.cross(side, axis))
        )
        # Below the skull hair hangs: a neck that is narrower than the head must not pull its strands together.
        reach = np.arctan2(np.hypot(up, over), along) * np.float32(SKULL_RADIUS)
        masks[f"turn_{pole}"] = np.arctan2(up, over).astype(np.float32) + np.float32(np.pi)
        masks[f"reach_{pole}"] = reach.astype(np.float32)
    return masks


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
