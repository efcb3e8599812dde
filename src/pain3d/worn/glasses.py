"""Knows spectacles: rims on the bridge of the nose, temples to the ears, lenses that mirror a little of the room."""

from __future__ import annotations

import numpy as np

from pain3d.worn.face import Face
from pain3d.worn.pieces import CLEAR, PLAIN, ROUND, Floats, Piece, beside, joined, sheet, through, tube, unit

# Linear tint, gloss, tile, and mm of the rim across and outward: plastic thick, metal thin.
FRAMES = (
    ((0.009, 0.009, 0.010), 0.5, ROUND, (1.7, 1.5)), ((0.045, 0.018, 0.009), 0.5, ROUND, (1.7, 1.5)),
    ((0.020, 0.026, 0.045), 0.5, ROUND, (1.5, 1.4)), ((0.28, 0.28, 0.29), 4.0, ROUND, (0.75, 0.75)),
    ((0.40, 0.28, 0.12), 4.0, ROUND, (0.75, 0.75)), ((0.36, 0.30, 0.25), 1.0, CLEAR, (1.7, 1.5)),
)  # fmt: skip
# Half width and half height of a lens in mm, and the power of its superellipse: round, panto, oval, oblong.
LENSES = ((22.5, 21.0, 2.1), (24.5, 20.0, 2.5), (25.5, 16.5, 2.2), (26.0, 17.5, 3.6))
VERTEX_DISTANCE = 14.0  # mm from the pupil to the lens (EN ISO 13666: 12 to 14)
CURVE, TILT = 170.0, 0.14  # mm: radius of the front of a frame, and radians that its lower border lies back
GLASS = (0.10, 0.11, 0.12)  # linear: what dims the eye behind, 5 % of it
COAT = (0.50, 0.72, 0.66)  # tint of what an antireflective coat still mirrors
LENS_ALPHA, LENS_GLOSS = 0.05, 4.0
RINGS, AROUND = 6, 40


def make_glasses(face: Face, generator: np.random.Generator) -> Piece:
    """The spectacles of one person: as wide as the eyes ask, on the nose as it is."""
    colour, gloss, tile, rim = FRAMES[int(generator.integers(len(FRAMES)))]
    wide, high, power = LENSES[int(generator.integers(len(LENSES)))]
    glint = generator.uniform(0.25, 1.0)
    marks = face.landmarks
    eyes = marks[73, 0] - marks[72, 0]
    scale = eyes / 62.0
    wide, high = wide * scale, high * scale
    centre = max(0.5 * eyes + 1.5, wide + 8.0)
    level = marks[[72, 73], 1].mean() - 3.0
    ridge = np.interp(level + 4.0, marks[[29, 28, 27], 1], marks[[29, 28, 27], 2])
    front = max(marks[[72, 73], 2].mean() + VERTEX_DISTANCE, ridge + 2.0, marks[20:24, 2].max() + 1.0)

    def bent(x: Floats, y: Floats) -> Floats:
        """Places of the front of the frame."""
        z = front - x**2 / (2 * CURVE) + TILT * (y - level)
        return np.stack([x, y, z], -1)

    turn = np.linspace(0, 2 * np.pi, AROUND + 1)
    cosine, sine = np.cos(turn), np.sin(turn)
    across, up = (np.sign(c) * np.abs(c) ** (2 / power) for c in (cosine, sine))
    pieces = []
    for side in (1.0, -1.0):
        x, y = side * centre + wide * across, level + high * up
        edge = bent(x, y)
        facing = unit(np.stack([x / CURVE, np.full_like(x, -TILT), np.ones_like(x)], -1))
        pieces += [tube(edge, rim, facing, colour, tile=tile, gloss=gloss)]
        pieces += _lens(side * centre, level, wide * across, high * up, bent, glint, side)
        pieces += _temple(face, side, edge, level, high, (colour, gloss, tile, rim))
    reach = centre - wide
    bow = bent(np.array([-reach - 0.6, -0.5 * reach, 0.0, 0.5 * reach, reach + 0.6]),
               level + high * np.array([0.22, 0.38, 0.42, 0.38, 0.22]))  # fmt: skip
    bow[1:-1, 2] = np.maximum(bow[1:-1, 2], ridge + 1.5)
    bridge = through(bow, 2.0)
    facing = np.broadcast_to(np.array([0.0, 0.25, 1.0]), bridge.shape)
    pieces.append(tube(bridge, (rim[0] * 1.15, rim[1]), facing, colour, tile=tile, gloss=gloss))
    return joined(pieces)  # rigid: no expression moves the bridge of a nose by as much as frames give


def _lens(x: float, y: float, across: Floats, up: Floats, bent: object, glint: float, side: float) -> list[Piece]:
    """The glass, and what of the room it mirrors: a soft slanted patch."""
    assert callable(bent)
    shares = np.linspace(0.02, 0.985, RINGS)[:, None]
    places = bent(x + shares * across[None, :-1], y + shares * up[None, :-1])
    normals = unit(
        np.stack([places[..., 0] / 90.0 - x / 140.0, (places[..., 1] - y) / 90.0, np.ones(places.shape[:2])], -1)
    )
    alpha = np.full(places.shape[:2], LENS_ALPHA)
    glass = sheet(places, normals, GLASS, alpha=alpha, gloss=LENS_GLOSS, closed=True)
    u, v = shares * across[None, :-1] / np.abs(across).max(), shares * up[None, :-1] / np.abs(up).max()
    slant = (u - 0.55 * v + 0.25) / 0.30
    patch = np.exp(-(slant**2)) * np.clip((0.95 - np.hypot(u, v)) / 0.35, 0, 1) * np.clip(0.6 + v, 0, 1)
    mirrored = sheet(places + np.array((0, 0, 0.3)), normals, COAT, alpha=0.11 * glint * patch, gloss=3.0, closed=True)
    return [glass, mirrored]


def _temple(
    face: Face, side: float, edge: Floats, level: float, high: float,
    frame: tuple[tuple[float, float, float], float, int, tuple[float, float]],
) -> list[Piece]:  # fmt: skip
    """The arm from the outer end of the rim over the ear, and where it touches the skin."""
    colour, gloss, tile, rim = frame
    outer = edge[np.argmax(edge[:, 0] * side)]
    ear = face.landmarks[16 if side > 0 else 0]
    hinge_x = max(side * outer[0] + 3.5, side * ear[0] - 3.0)
    hinge = np.array([side * hinge_x, level + 0.45 * high, outer[2] - 5.0])
    attach = outer + np.array([0.0, 0.40 * high, 0.5])
    top = np.array([side * (abs(ear[0]) + 4.5), ear[1] + 22.0, 4.0])
    middle = 0.55 * hinge + 0.45 * top + np.array([side * 1.5, 0.0, 0.0])
    behind = [beside(top, -side * 1.0, -2.0, -14.0), beside(top, -side * 5.0, -26.0, -28.0)]
    end = through([attach, hinge], 1.5)
    facing = np.broadcast_to(np.array([side * 0.4, 0.0, 1.0]), end.shape)
    arm, _ = face.lay(through([hinge, middle, top, *behind], 4.0), 2.0, tight=False)
    out = np.broadcast_to(np.array([side, 0.0, 0.15]), arm.shape)
    tall = max(1.4, 1.5 * rim[0])
    return [
        tube(end, (tall, rim[1]), facing, colour, tile=tile, gloss=gloss),
        tube(arm, (tall, 0.8), out, colour, tile=PLAIN if tile == ROUND else tile, gloss=gloss),
    ]
