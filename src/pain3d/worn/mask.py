"""Knows an oxygen mask: a clear shell over nose and mouth, its rim, strap, nose clip, vents and tube."""

from __future__ import annotations

import numpy as np

from pain3d.worn.face import Face
from pain3d.worn.pieces import CLEAR, ROUND, SHADE, Floats, Piece, beside, joined, ribbon, sheet, through, tube, unit

SHELLS = ((0.34, 0.50, 0.41), (0.44, 0.50, 0.52))  # linear: green or clear PVC
STRAPS = ((0.60, 0.62, 0.60), (0.16, 0.34, 0.22))
CLIP = (0.55, 0.56, 0.57)
RIM, TUBE = 1.6, 3.2  # mm
DEPTH = 34.0  # mm from the tip of the nose, or lips, to the front of the shell
AROUND, ROWS, VENTED = 44, 14, 6  # columns, rows, and the row in which its vents lie
CLEAREST, DENSEST = 0.09, 0.42  # alpha of a shell that is looked through straight, and along
STEP = 4.0


def make_mask(face: Face, generator: np.random.Generator) -> Piece:
    """The mask of one person."""
    kind = int(generator.integers(len(SHELLS)))
    colour, strap = SHELLS[kind], STRAPS[int(generator.integers(len(STRAPS)))]
    fog = generator.uniform(0.0, 0.14)
    rim, normal = face.lay(_outline(face.landmarks), RIM + 0.2)
    rim[-1], normal[-1] = rim[0], normal[0]
    pieces = [
        _shadow(face, rim, normal),
        face.hold(tube(rim, (RIM * 1.4, RIM), normal, colour, tile=CLEAR, gloss=1.3)),
        *_shell(face, rim, colour, fog),
        _clip(face),
        *_strap(face, rim, strap),
    ]
    return joined(pieces)


def _outline(marks: Floats) -> Floats:
    """The rim, from the bridge of the nose over the person's left cheek around the chin: closed, mm."""
    left = [
        marks[28] * [0, 1, 1],
        0.45 * marks[28] + 0.55 * marks[42] + [3.0, -14.0, 0.0],
        0.5 * (marks[35] + marks[13]) + [-3.0, 6.0, 6.0],
        marks[54] + [17.0, 0.0, -14.0],
        0.62 * marks[10] + 0.38 * marks[54] + [6.0, -1.0, 0.0],
    ]
    chin = marks[8] + [0.0, 4.0, 4.0]
    middle_left = 0.55 * marks[9] + 0.45 * marks[8] + [6.0, 3.0, 3.0]
    right = [place * [-1, 1, 1] for place in (middle_left, *left[:0:-1])]
    # Both sides are the mean of both, so that a crooked mouth makes no crooked mask.
    return through([*left, middle_left, chin, *right], STEP, closed=True)


def _shell(face: Face, rim: Floats, colour: tuple[float, float, float], fog: float) -> list[Piece]:
    """The shell from its rim to its front, which stands before nose and mouth; vents, and the tube's socket."""
    marks = face.landmarks
    turn = np.linspace(0, 1, len(rim))
    places = np.linspace(0, 1, AROUND + 1)[:-1]
    edge = np.stack([np.interp(places, turn, rim[:, k]) for k in range(3)], -1)
    front = np.array([0.0, 0.5 * (marks[33, 1] + marks[51, 1]) - 8.0, marks[30, 2] + DEPTH * 0.62])
    s = np.linspace(0, 1, ROWS)[:, None, None]
    inward = front * [1, 1, 0] + (edge - front) * [0.34, 0.30, 0] + [0, 0, front[2]]
    # A bell: it leaves the face steeply and rounds off before the mouth.
    swell = np.concatenate([s**1.5, s**1.5, np.sin(s * np.pi / 2) ** 0.8], -1)
    grid = edge[None] * (1 - swell) + inward[None] * swell
    cap = [
        front * [1, 1, 0] + (inward - front) * [q, q, 0] + [0, 0, front[2] + 2.5 * (1 - q * q)]
        for q in (0.8, 0.5, 0.2, 0.0)
    ]
    grid = np.concatenate([grid, np.stack(cap)])
    around = np.roll(grid, -1, 1) - np.roll(grid, 1, 1)
    normals = np.cross(around, np.gradient(grid, axis=0))
    normals = unit(np.where(((grid - front + [0, 0, 40.0]) * normals).sum(-1, keepdims=True) < 0, -normals, normals))
    normals[-1] = (0.0, 0.0, 1.0)
    slope = 1 - np.abs(normals[..., 2])
    alpha = CLEAREST + (DENSEST - CLEAREST) * slope**2
    mouth = np.exp(-(((grid - marks[62] - [0, 0, 20.0]) / [30, 26, 60]) ** 2).sum(-1))
    alpha = np.clip(alpha + fog * mouth, 0, 0.9)
    shell = sheet(grid, normals, colour, alpha=alpha, gloss=3.5, closed=True)
    held = _hung(face, shell)
    socket = np.array([0.0, front[1] - 13.0, front[2] - 1.0])
    neck = through([socket, beside(socket, 0, -6.0, 9.0), beside(socket, 0, -16.0, 14.0)], 2.0)
    facing = np.broadcast_to(np.array([0.0, 0.5, 1.0]), neck.shape)
    hose = through(
        [neck[-1], beside(neck[-1], 2.0, -25.0, 0.0), beside(neck[-1], 14.0, -75.0, -34.0), [40.0, -200.0, 75.0]], STEP
    )
    ahead = np.broadcast_to(np.array([0.0, 0.2, 1.0]), hose.shape)
    shaft = tube(neck, 4.8, facing, np.array(colour) * 0.9, tile=CLEAR, gloss=1.5)
    begins = np.tile(np.minimum(0.25 + 0.25 * np.arange(len(neck)), 1.0), len(shaft.points) // len(neck))
    shaft = shaft._replace(sides=shaft.sides * begins[:, None])  # round, where it comes out of the shell
    pieces = [held, _hung(face, shaft)]
    pieces.append(_hung(face, tube(hose, TUBE, ahead, np.array(colour) * 0.95, tile=CLEAR, gloss=1.5)))
    return pieces + [_hung(face, vent) for vent in _vents(grid, normals, colour)]


def _vents(grid: Floats, normals: Floats, colour: tuple[float, float, float]) -> list[Piece]:
    """Six small holes on either side, dark."""
    vents = []
    for column in (AROUND * 5 // 22, AROUND - AROUND * 5 // 22):
        middle, out = grid[VENTED, column], normals[VENTED, column]
        across = unit(np.cross(out, [0.0, 1.0, 0.0]))
        up = np.cross(out, across)
        for turn in np.arange(6) * np.pi / 3:
            hole = middle + 3.8 * (np.cos(turn) * across + np.sin(turn) * up) + 0.4 * out
            path = hole + np.linspace(-0.9, 0.9, 3)[:, None] * up
            side = np.repeat(0.9 * across[None], 3, 0) * np.array([[0.5], [1.0], [0.5]])
            vents.append(ribbon(path, side, np.repeat(out[None], 3, 0), np.array(colour) * 0.35, gloss=0.2))
    return vents


def _hung(face: Face, piece: Piece) -> Piece:
    """Held between the bridge of the nose and the chin: rows follow either by how high they are."""
    marks = face.landmarks
    bridge, chin = face.landmark_vertices[28], face.landmark_vertices[8]
    rows = len(piece.points)
    share = np.clip((marks[28, 1] - piece.points[:, 1]) / (marks[28, 1] - marks[8, 1]), 0, 1)
    holders = np.tile(np.array([bridge, chin, chin]), (rows, 1))
    low = np.clip((-110.0 - piece.points[:, 1]) / 80.0, 0, 1)
    return piece._replace(
        holders=holders, shares=np.stack([1 - share, share, 0 * share], 1), rests=low * low * (3 - 2 * low)
    )


def _clip(face: Face) -> Piece:
    """The strip of metal that is pressed to the bridge of the nose."""
    marks = face.landmarks
    middle = 0.6 * marks[28] + 0.4 * marks[29]
    path = through([beside(middle, -9.0, -2.0, -5.0), beside(middle, 0, 0, 0), beside(middle, 9.0, -2.0, -5.0)], 1.5)
    laid, out = face.lay(path, 3.6)
    side = 2.2 * unit(np.cross(np.gradient(laid, axis=0), out))
    return face.hold(ribbon(laid, side, out, CLIP, tile=ROUND, gloss=3.0), (28,))


def _strap(face: Face, rim: Floats, colour: tuple[float, float, float]) -> list[Piece]:
    """The elastic band from either cheek below the ears to the back of the head, with its shadow."""
    marks, pieces = face.landmarks, []
    for side, ear, jaw in ((1.0, 16, 14), (-1.0, 0, 2)):
        start = rim[np.argmax(rim[:, 0] * side)]
        lobe = 0.5 * (marks[ear] + marks[jaw]) + [side * 2.0, -10.0, -4.0]
        behind = [[side * 74.0, -4.0, -36.0], [side * 52.0, 18.0, -86.0]]
        laid, out = face.lay(through([start, 0.5 * (start + lobe), lobe, *behind], STEP), 0.9)
        side_of = unit(np.cross(np.gradient(laid, axis=0), out))
        under, normal = face.lay(laid - [0, 1.5, 0], 0.4)
        pieces.append(face.hold(ribbon(under, 4.5 * side_of, normal, (0.0, 0.0, 0.0), tile=SHADE, gloss=0.0)))
        pieces.append(face.hold(ribbon(laid, 2.6 * side_of, out, colour, tile=ROUND, gloss=0.3)))
    return pieces


def _shadow(face: Face, path: Floats, normal: Floats) -> Piece:
    laid, out = face.lay(path - 1.2 * normal, 0.5)
    laid[-1], out[-1] = laid[0], out[0]
    side = 4.5 * unit(np.cross(np.gradient(laid, axis=0), out))
    return face.hold(ribbon(laid, side, out, (0.0, 0.0, 0.0), tile=SHADE, gloss=0.0))
