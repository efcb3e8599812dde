"""Knows a headscarf: cloth drawn around the face, under the chin and over neck, shoulders and chest, on an under-cap.

It is a skin of tension between two threads, one around the face and one over shoulders and chest, that what is below
pushes out; folds are laid on it after.
"""

from __future__ import annotations

import numpy as np

from pain3d.skin.smooth_step import ramp
from pain3d.worn.cloth import (
    GLOSS,
    crumpled,
    hemmed,
    napped,
    open_sky,
    outward,
    reached,
    refined,
    shaded,
    swung,
    thread,
)
from pain3d.worn.face import NEAREST, Face
from pain3d.worn.pieces import Floats, Piece, along, joined, sheet, unit

TINTS = (
    (0.055, 0.060, 0.075), (0.018, 0.018, 0.020), (0.30, 0.27, 0.23), (0.42, 0.36, 0.30), (0.16, 0.18, 0.17),
    (0.35, 0.19, 0.18), (0.10, 0.17, 0.24), (0.24, 0.030, 0.055), (0.020, 0.13, 0.13), (0.055, 0.035, 0.15),
)  # fmt: skip
# The thread around the face: on the unrolled template, degrees from the front and mm of height, from the forehead to
# before the left ear; from there landmarks of the jaw, and by how much it lies outside of each, mm.
BROW_TO_EAR = ((0, 85), (14, 86), (28, 84), (41, 76), (52, 62), (62, 46), (71, 36), (77, 28), (79, 16), (79, 4))
JAW = ((2, 6.0, -4.0, -15.0), (3, 5.0, -5.0, -15.0), (4, 3.0, -13.0, -20.0), (5, 0.0, -13.0, -16.0),
       (6, 0.0, -9.0, -9.0), (7, 0.0, -8.0, -9.0))  # fmt: skip
CHIN = (0.0, -7.0, -8.0)
# Left halves of two more threads, from the back to the front, mm: around the neck, and the end of the cloth.
WAIST = ((0.0, 0.0, -104.0), (48.0, -18.0, -94.0), (74.0, -44.0, -62.0), (76.0, -76.0, -22.0), (64.0, -98.0, 22.0),
         (36.0, -114.0, 50.0), (0.0, -120.0, 62.0))  # fmt: skip
HEM = ((0.0, -172.0, -112.0), (70.0, -168.0, -108.0), (140.0, -160.0, -80.0), (176.0, -166.0, -20.0),
       (140.0, -190.0, 40.0), (70.0, -212.0, 64.0), (0.0, -221.0, 70.0))  # fmt: skip
COARSE, FINE, THREAD = (25, 64), (110, 192), 384  # rows and columns of the cloth; places of its edge
PULLS, LOOKS = 16, 4  # steps of tension between looks at what is below
CLEAR, ENDS, FALLS = 4.5, 0.4, 7.5  # mm of the cloth, folds apart, over what is below; its edge; its end
TIED, LOOSE = 0.3, (0.95, 1.12)  # share by which each step draws the cloth to its waist; how wide that is
ROLL = 6.0  # mm from its edge over which it rounds down to the skin
FIRST = (0.0, 0.5, 1.2, 2.2, 3.5, 5.0, 7.0, 9.5)  # mm of the first rows from the edge
EAR, BUN = 8.5, (0.0, 16.0)  # mm that it stands off over ears; and over hair that is tied behind, least and most
HELD = 32  # columns, of which the skin at the edge holds one vertex each
UNDER = 6.0  # mm that it bunches below the chin, so that a jaw that drops finds room
FOLDS, FOLDED, HIGH = 15, (0.14, 1.55), 5.0  # how many; between which places; mm high for 10 mm wide
BAND_TURN, BAND_WIDE, BAND_HEIGHT = 0.2, 7.0, 1.4  # of the thread to either side of its top; mm seen; and over the skin
DARKER = 0.6  # of the scarf's tint has the band
FOLLOWS = (2.0, 48.0)  # mm from the edge over which cloth comes not to follow the skin at the edge


def make_scarf(face: Face, generator: np.random.Generator) -> Piece:
    """The scarf of one person."""
    tint = np.array(TINTS[int(generator.integers(len(TINTS)))])
    edge = _edge(face)
    hung = _hung(face, edge, generator.uniform(*LOOSE))
    grid, away = _spaced(hung)
    height, shade = _folds(grid, away, generator)
    rounded = 1 - np.sqrt(1 - np.clip(1 - away / ROLL, 0, 1) ** 2)
    lies = edge[:: len(edge) // FINE[1]]
    lies = lies + ENDS * face.skin(lies)[1]
    grid = grid + height[..., None] * outward(grid) + rounded[..., None] * (lies - grid[0])
    pieces = [_carried(face, cloth, edge, away) for cloth in napped(grid, tint, shade)]
    pieces.append(_carried(face, hemmed(grid, tint, shade), edge, away[:1, [*range(FINE[1]), 0]]))
    shades = [face.hold(shaded(face, border)) for border in (edge, grid[-1])]
    return joined([*shades, _under_cap(face, edge, tint), *pieces])


def _edge(face: Face) -> Floats:
    """The thread around the face [Q, 3], from the forehead over the person's left, on the skin."""
    marks = face.landmarks
    upper = np.array(BROW_TO_EAR, np.float64)
    left = [face.at(upper), [marks[16 - k] + [x, y, z] for k, x, y, z in JAW], [marks[8] + CHIN]]
    right = [[marks[k] + [-x, y, z] for k, x, y, z in JAW[::-1]], face.at(upper[:0:-1] * [-1, 1])]
    knots = np.concatenate([*left, *right])
    path = thread(knots, THREAD)
    for smoothed in (90, 30, 0):
        distance, normal = face.skin(path)
        path = path - distance[:, None] * normal
        for _ in range(smoothed):
            path = (np.roll(path, 1, 0) + 2 * path + np.roll(path, -1, 0)) / 4
    return np.asarray(path)


def _hung(face: Face, edge: Floats, loose: float) -> Floats:
    """The cloth [P, Q, 3] at rest, as tension leaves it over what is below."""
    centre = np.array([0.0, 10.0, -10.0])
    border = edge[:: len(edge) // COARSE[1]]
    border = border + CLEAR * face.skin(border)[1]
    waist, hem = (
        thread(np.concatenate([half, half[-2:0:-1] * [-1, 1, 1]]), COARSE[1]) for half in map(np.array, (WAIST, HEM))
    )
    waist, hem = waist * [loose, 1, loose], face.lay(hem, FALLS)[0]
    s = np.linspace(0, 1, COARSE[0] // 2 + 1)
    upper = [centre + swung(border - centre, waist - centre, share) for share in s]
    grid = np.stack([*upper, *(centre + swung(waist - centre, hem - centre, share) for share in s[1:])])
    for _ in range(LOOKS):
        near = face.near(grid[1:-1].reshape(-1, 3), NEAREST)
        for _ in range(PULLS):
            middle = (grid[:-2] + grid[2:]) / 2
            beside = (np.roll(grid, 1, 1) + np.roll(grid, -1, 1))[1:-1] / 2
            inner = (grid[1:-1] + 0.6 * middle + 0.4 * beside) / 2
            inner[COARSE[0] // 2 - 1] += TIED * (waist - inner[COARSE[0] // 2 - 1])
            flat = inner.reshape(-1, 3)
            distance, normal = face.over(near, flat)
            lifted = flat + np.maximum(CLEAR - distance, 0)[:, None] * normal
            grid[1:-1] = lifted.reshape(inner.shape)
    return np.asarray(grid)


def _spaced(hung: Floats) -> tuple[Floats, Floats]:
    """The cloth made finer [P, Q, 3]: close rows at its edge, even ones after; and how far each is from the edge."""
    fine = refined(hung, np.linspace(0, len(hung) - 1, 6 * len(hung)), FINE[1])
    far = reached(fine)
    rest = np.linspace(0, 1, FINE[0] - len(FIRST) + 1)[1:]
    away = np.concatenate(
        [np.repeat(np.array(FIRST)[:, None], FINE[1], 1), FIRST[-1] + (far[-1] - FIRST[-1]) * rest[:, None]]
    )
    grid = np.empty((*away.shape, 3))
    for column in range(FINE[1]):
        for axis in range(3):
            grid[:, column, axis] = np.interp(away[:, column], far[:, column], fine[:, column, axis])
    return grid, away


def _folds(grid: Floats, away: Floats, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """How far [P, Q] mm folds stand off, and the share of the sky that they leave.

    A fold runs around the face about as far from it everywhere, steep on its lower side, and begins and ends somewhere.
    """
    turn = np.arange(grid.shape[1]) / grid.shape[1]
    below = ramp(-grid[..., 1], 20.0, 100.0)
    place = away / (60.0 + 0.35 * away[-1])  # under the chin folds lie closer than at the sides
    lean, height = generator.uniform(-0.4, 0.4), np.zeros(away.shape)
    for number in range(FOLDS):
        middle = FOLDED[0] + (FOLDED[1] - FOLDED[0]) * (number + generator.uniform(0.1, 0.9)) / FOLDS
        tilt = lean + generator.uniform(-0.2, 0.2)
        line = middle + tilt * np.sin(2 * np.pi * turn)
        for k in (2, 3, 5):
            line = line + 0.09 * generator.normal() * np.sin(2 * np.pi * (k * turn + generator.random())) / k
        wide = generator.uniform(6.0, 13.0)
        beyond = (place - line) * (60.0 + 0.35 * away[-1]) / wide
        profile = np.exp(-(np.where(beyond > 0, 2.2 * beyond, beyond) ** 2))
        span, centre = generator.uniform(0.22, 0.5), generator.uniform(0.2, 0.8)
        apart = np.abs(np.mod(turn - centre + 0.5, 1) - 0.5) / span
        strong = np.cos(np.clip(apart, 0, 1) * np.pi / 2) ** 2 * generator.uniform(0.5, 1.0)
        height = height + HIGH * wide / 10 * strong * profile
    height = height * (0.2 + 0.8 * below) * ramp(away, 5.0, 20.0)
    height = height + 0.5 * crumpled(grid, generator, 60.0) * (0.25 + 0.75 * below) * ramp(away, 5.0, 30.0)
    height = height + _bulges(grid, generator) * ramp(away, 0.0, 12.0)
    height = height - 0.9 * np.exp(-(((away - 11.0) / 2.5) ** 2))  # a seam
    front = ramp(np.cos(2 * np.pi * (turn - 0.5)), 0.45, 0.9)
    height = height + UNDER * front * ramp(away, 1.0, 16.0) * (1 - ramp(away, 25.0, 80.0))
    chin = 1 - 0.55 * front * np.exp(-away / 28.0) * ramp(away, 2.0, 10.0)
    return height, open_sky(height) * chin


def _bulges(grid: Floats, generator: np.random.Generator) -> Floats:
    """What is below and is not of the skin: ears, with the temples of glasses on them, and hair that is tied behind."""
    x, y, z = np.moveaxis(grid, -1, 0)
    ears = EAR * np.exp(-(((y - 38) / 26) ** 2) - ((z + 10) / 28) ** 2) * (np.abs(x) > 40)
    tied = generator.uniform(*BUN) * np.exp(-((x / 48) ** 2) - ((y - generator.uniform(20, 60)) / 42) ** 2)
    return np.asarray(ears + tied * ramp(-z, 20.0, 80.0))


def _carried(face: Face, cloth: Piece, edge: Floats, away: Floats) -> Piece:
    """Held by the skin at the edge of its column, less the farther from it; below the neck by the shoulders.

    Columns between two that are held share their vertices, so that the edge stays a smooth line.
    """
    held = face.near(edge[:: len(edge) // HELD])[:, 0]
    column = np.mod(np.arange(away.shape[1]), FINE[1]) * HELD / FINE[1]
    first = column.astype(np.int64)
    near = np.stack([held[first], np.roll(held, -1)[first]], 1)
    shares = np.stack([1 - column + first, column - first], 1)
    follows = (1 - ramp(away, *FOLLOWS)).reshape(-1, 1)
    rows = len(away)
    skull = np.full((len(follows), 1), face.skull)
    holders = np.concatenate([np.tile(near, (rows, 1)), skull], 1)
    shares = np.concatenate([np.tile(shares, (rows, 1)) * follows, 1 - follows], 1)
    x, y, z = cloth.points.T
    out = np.hypot(x, z + 30.0)
    rests = np.maximum(ramp(-y, 95.0, 180.0), ramp(-y, 85.0, 125.0) * ramp(out, 70.0, 115.0))
    return cloth._replace(holders=holders, shares=shares, rests=rests)


def _under_cap(face: Face, edge: Floats, tint: Floats) -> Piece:
    """The band of a cap that keeps the scarf in its place, seen before it from temple to temple."""
    count = len(edge)
    turn = np.mod(np.arange(count) + count // 2, count) / count - 0.5
    order = np.argsort(turn)
    seen = np.abs(turn[order]) < BAND_TURN
    path, turn = edge[order][seen], turn[order][seen]
    path, normal = face.lay(path, BAND_HEIGHT)
    inward = unit(np.asarray(np.cross(normal, along(path)), np.float64))
    inward = inward * -np.sign((inward * [0.0, 1.0, 0.0]).sum(1).mean())
    wide = BAND_WIDE * np.sqrt(np.clip(1 - (turn / BAND_TURN) ** 2, 0, 1))
    rows = np.linspace(-0.6, 1.0, 7)[:, None]
    grid = path[None] + (rows * wide)[..., None] * inward[None]
    grid = grid - (face.skin(grid.reshape(-1, 3))[0].reshape(grid.shape[:2]) - BAND_HEIGHT)[..., None] * normal[None]
    return face.hold(sheet(grid, np.broadcast_to(normal, grid.shape), tint * DARKER, gloss=GLOSS))
