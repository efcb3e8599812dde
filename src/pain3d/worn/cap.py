"""Knows a surgical cap: cloth gathered on an elastic band above brow and ears, puffed over the hair."""

from __future__ import annotations

import numpy as np

from pain3d.skin.smooth_step import ramp
from pain3d.worn.cloth import (
    crumpled,
    hemmed,
    napped,
    open_sky,
    outward,
    reached,
    refined,
    ridged,
    shaded,
    swung,
)
from pain3d.worn.face import Face
from pain3d.worn.pieces import Floats, Piece, joined, unit

TINTS = ((0.36, 0.52, 0.66), (0.40, 0.58, 0.50), (0.58, 0.60, 0.61))  # linear: pale blue, green, white
# The band on the unrolled template: degrees from the front and mm of height.
BAND = (
    (0, 89), (18, 90), (34, 86), (48, 72), (60, 56), (72, 48), (86, 45), (98, 38), (110, 18), (124, -20), (140, -38),
    (160, -46), (180, -48),
)  # fmt: skip
CENTRE, POLE = (0.0, 46.0, -8.0), (0.0, 0.9929, -0.1192)  # mm, from which the cap is looked at; towards its crown
COARSE, FINE = (13, 48), (46, 432)  # rows and columns
RUFFLE, SKIRT = 5.0, 1.5  # mm below the elastic; and that its edge stands off
PULLED, EAR = 1.0, 3.0  # mm that the elastic lies over the skin; and that an ear holds it off
PUFF, LEAVES = (10.0, 24.0), 11.0  # mm at the front and the back; mm over which the cloth leaves the head
# Pleats: how many around, mm high, and mm from the elastic over which they fade.
PLEATS = ((104, 0.9, 9.0), (52, 2.0, 20.0), (23, 2.6, 60.0))
CRUMPLE, CRUMPLES = 0.9, 44.0  # mm high and long


def make_cap(face: Face, generator: np.random.Generator) -> Piece:
    """The cap of one person."""
    tint = TINTS[int(generator.integers(len(TINTS)))]
    fuller = generator.uniform(0.75, 1.25)
    band = face.around(np.array(BAND, np.float64), COARSE[1])
    rows = (COARSE[0] - 1) * np.linspace(0, 1, FINE[0]) ** 1.6
    grid = refined(_skull(face, band), rows, FINE[1])
    away = reached(grid)
    height = _height(grid, away, generator, fuller)
    grid = grid + height[..., None] * outward(grid)
    grid[-1] = grid[-1].mean(0)
    pinched = 1 - 0.45 * np.exp(-(((away - RUFFLE) / 2.2) ** 2))
    shade = open_sky(height) * pinched
    return joined([shaded(face, band - [0.0, 1.5, 0.0]), *napped(grid, tint, shade), hemmed(grid, tint, shade)])


def _skull(face: Face, band: Floats) -> Floats:
    """The skin [P, Q, 3] from the band up to the crown."""
    centre, pole = np.array(CENTRE), np.broadcast_to(np.array(POLE), band.shape)
    start = unit(band - centre)
    way = np.stack([swung(start, pole, share) for share in np.linspace(0, 1, COARSE[0])])
    grid = centre + 100.0 * way
    for _ in range(5):
        distance, _ = face.skin(grid.reshape(-1, 3))
        grid = grid - distance.reshape(grid.shape[:2])[..., None] * way
    return np.asarray(grid)


def _height(grid: Floats, away: Floats, generator: np.random.Generator, fuller: float) -> Floats:
    """How far [P, Q] mm the cloth stands off."""
    up = np.maximum(away - RUFFLE, 0)
    behind = ramp(-grid[..., 2], -60.0, 70.0)
    puff = (PUFF[0] + (PUFF[1] - PUFF[0]) * behind) * fuller
    turn = np.arange(grid.shape[1]) / grid.shape[1]
    wander = np.zeros_like(turn)
    for k in (2, 3, 5, 7, 11, 17):
        wander += generator.uniform(0.7, 1.6) * np.sin(2 * np.pi * (k * turn + generator.random())) / k
    strong = 0.75 + 0.25 * np.sin(2 * np.pi * (13 * turn + generator.random()) + 2 * np.sin(2 * np.pi * 5 * turn))
    drift = 0.35 * crumpled(grid, generator, 70.0)  # pleats are no meridians
    gathered = np.zeros_like(away)
    for many, high, fades in PLEATS:
        gathered += high * ridged(many * turn + many / 40 * wander + drift) * strong * np.exp(-up / fades)
    gathered *= 0.3 + 0.7 * ramp(np.abs(away - RUFFLE), 0.0, 6.0)
    crumples = CRUMPLE * crumpled(grid, generator, CRUMPLES) * ramp(up, 4.0, 40.0)
    skirt = SKIRT * np.clip(1 - away / RUFFLE, 0, 1)
    top = 1 - ramp(np.arange(len(grid))[:, None] / (len(grid) - 1), 0.8, 1.0)  # where all meridians meet
    ear = EAR * np.exp(-(((grid[..., 1] - 42) / 16) ** 2) - (grid[..., 2] / 24) ** 2)
    return np.asarray(PULLED + ear + skirt + puff * (1 - np.exp(-up / LEAVES)) + gathered * top + crumples)
