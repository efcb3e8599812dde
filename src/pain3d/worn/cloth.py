"""Knows how cloth hangs: closed grids made finer, their normals, folds and what folds shade; threads through places."""

from __future__ import annotations

import numpy as np

from pain3d.worn.face import Face
from pain3d.worn.pieces import SHADE, Floats, Piece, Vector, ribbon, sheet, unit

WAVES = 7  # of which crumples are the sum
WARP = 0.9  # radians by which a wave bends the next one
VALLEY = 0.055  # of the sky that a valley loses for each mm that it lies lower than what is around
NAP, NAP_ALPHA = 0.4, 0.5  # mm that fibres stand off, and how dense: a border of cloth against what is behind is soft
HEM = 0.7  # mm to either side of the thread that a border ends with
SHADOW = (0.9, 4.5)  # mm over the skin, and to either side, of what a border shades
GLOSS = 0.1
SMOOTHED = 6  # times that a height is averaged over its neighbours to say what is around


def refined(grid: Floats, rows: Floats, columns: int) -> Floats:
    """A closed grid [P, Q, C] at rows (from 0 to P − 1, fractions) and so many even columns, on cubic curves."""
    around = np.arange(columns) * (grid.shape[1] / columns)
    across = _cubic(np.moveaxis(np.concatenate([grid[:, -1:], grid, grid[:, :2]], 1), 1, 0), around)
    padded = np.moveaxis(across, 1, 0)
    padded = np.concatenate([2 * padded[:1] - padded[1:2], padded, 2 * padded[-1:] - padded[-2:-1]])
    return _cubic(padded, rows)


def _cubic(padded: Floats, places: Floats) -> Floats:
    """Values [N, …] at places of knots [K + 2, …] that have one more at either end (Catmull and Rom 1974)."""
    first = np.clip(np.floor(places).astype(np.int64), 0, len(padded) - 4)
    t = (places - first).reshape(-1, *[1] * (padded.ndim - 1))
    a, b, c, d = (padded[first + k] for k in range(4))
    curve = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    return np.asarray(0.5 * curve)


def thread(knots: Floats, count: int) -> Floats:
    """A closed thread [count, 3] through knots [K, 3], evenly from knot to knot."""
    return np.asarray(refined(knots[None].repeat(2, 0), np.zeros(1), count)[0])


def swung(start: Floats, end: Floats, share: float) -> Floats:
    """Between two bundles of vectors [Q, 3], turned by a share of the way from one to the other (Shoemake 1985)."""
    far = np.sqrt((start**2).sum(-1)) * (1 - share) + np.sqrt((end**2).sum(-1)) * share
    one, two = unit(start), unit(end)
    angle = np.arccos(np.clip((one * two).sum(-1), -1, 1))[:, None]
    way = (np.sin((1 - share) * angle) * one + np.sin(share * angle) * two) / np.maximum(np.sin(angle), 1e-6)
    return np.asarray(far[:, None] * unit(way))


def reached(grid: Floats) -> Floats:
    """How far [P, Q] mm each place lies from the first row of its column, along the grid."""
    steps = np.sqrt((np.diff(grid, axis=0) ** 2).sum(-1))
    return np.concatenate([np.zeros((1, grid.shape[1])), np.cumsum(steps, 0)])


def outward(grid: Floats) -> Floats:
    """Unit normals of a closed grid: rows leave the face, columns go over the left side, the last may be a point."""
    around = np.roll(grid, -1, 1) - np.roll(grid, 1, 1)
    normals = unit(np.cross(around, np.gradient(grid, axis=0)))
    normals[-1] = np.where(np.ptp(grid[-1], axis=0).max() > 0, normals[-1], unit(normals[-2].mean(0)))
    return normals


def crumpled(places: Floats, generator: np.random.Generator, length: float) -> Floats:
    """Heights [...] of about −1 to 1 at places [..., 3] mm, of waves about so many mm long that bend each other."""
    height, bent = np.zeros(places.shape[:-1]), np.zeros(places.shape[:-1])
    for _ in range(WAVES):
        way = unit(generator.normal(size=3)) * 2 * np.pi / (length * generator.uniform(0.7, 1.5))
        bent = np.sin((places * way).sum(-1) + generator.uniform(0, 2 * np.pi) + WARP * bent)
        height += bent
    return np.asarray(height / np.sqrt(WAVES))


def open_sky(height: Floats) -> Floats:
    """Share of the sky [P, Q] that folds of a closed grid leave, of their heights [P, Q] mm."""
    around = height
    for _ in range(SMOOTHED):
        padded = np.pad(around, ((1, 1), (0, 0)), mode="edge")
        around = (padded[:-2] + padded[2:] + np.roll(around, 1, 1) + np.roll(around, -1, 1)) / 4
    return np.clip(1 - VALLEY * SMOOTHED * (around - height), 0.35, 1.0)


def ridged(phase: Floats) -> Floats:
    """The profile of folds, −0.4 to 0.6, of a phase in turns: narrow ridges and wide valleys."""
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    return np.asarray(wave**1.7 - 0.4)


def napped(grid: Floats, tint: Vector, occlusion: Floats) -> list[Piece]:
    """The cloth over a closed grid [P, Q, 3], and the fibres that stand off it."""
    normals = outward(grid)
    nap = np.full(grid.shape[:2], NAP_ALPHA)
    return [
        sheet(grid, normals, tint, gloss=GLOSS, occlusion=occlusion, closed=True),
        sheet(grid + NAP * normals, normals, tint, alpha=nap, gloss=GLOSS, occlusion=occlusion, closed=True),
    ]


def hemmed(grid: Floats, tint: Vector, occlusion: Floats) -> Piece:
    """The thread that the first row of a closed grid [P, Q, 3] ends with, its first place again at the end."""
    turn = [*range(grid.shape[1]), 0]
    side, normals = HEM * unit(grid[0] - grid[2]), outward(grid)[0]
    return ribbon(grid[0, turn], side[turn], normals[turn], tint, gloss=GLOSS, occlusion=occlusion[0, turn])


def shaded(face: Face, border: Floats) -> Piece:
    """What a closed border [Q, 3] takes from what lies before it: a soft dark band on the skin."""
    laid, normal = face.lay(np.concatenate([border, border[:1]]), SHADOW[0])
    laid[-1], normal[-1] = laid[0], normal[0]
    side = SHADOW[1] * unit(np.asarray(np.cross(np.gradient(laid, axis=0), normal), np.float64))
    return ribbon(laid, side, normal, (0.0, 0.0, 0.0), tile=SHADE, gloss=0.0)
