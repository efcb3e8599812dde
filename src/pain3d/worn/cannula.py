"""Knows a nasal cannula: prongs in the nostrils, tubes over cheeks and ears that meet below the chin."""

from __future__ import annotations

import numpy as np

from pain3d.worn.face import Face
from pain3d.worn.pieces import CLEAR, SHADE, Floats, Piece, Vector, joined, ribbon, through, tube, unit

TINTS = ((0.40, 0.47, 0.44), (0.44, 0.45, 0.46), (0.30, 0.44, 0.33))  # linear: soft PVC, clear, or green for oxygen
RADIUS, BAR, PRONG = 1.55, (2.6, 1.9), 1.7  # mm; the bar below the nose is flat
STEP, GLOSS = 4.0, 1.3  # mm
# From the wing of the nose over cheek and ear to the chin, on the left of the template: mm, laid on the skin after.
OVER_EAR = ((73.0, 48.0, 6.0), (73.0, 49.0, -10.0), (72.0, 34.0, -26.0), (68.0, 2.0, -24.0))


def make_cannula(face: Face, generator: np.random.Generator) -> Piece:
    """The cannula of one person."""
    tint = TINTS[int(generator.integers(len(TINTS)))]
    sag = generator.uniform(-4.0, 4.0)
    marks = face.landmarks
    base, lip = marks[33], marks[51]
    centre = base * 0.62 + lip * 0.38
    pieces = []
    wings: list[Floats] = []
    for side, (wing, eye, ear, jaw, chin) in ((1.0, (35, 46, 16, 12, 10)), (-1.0, (31, 41, 0, 4, 6))):
        mirror = np.array([side, 1.0, 1.0])
        start = np.array([marks[wing][0] * 0.75, centre[1] + 1.0, centre[2] - 3.0])
        wings.append(start)
        cheek = 0.5 * (marks[wing] + marks[eye]) + np.array([side * 17.0, -9.0 + sag, -8.0])
        temple = marks[ear] + np.array([side * 1.0, 4.0, 18.0])
        behind = [np.array(place) * mirror for place in OVER_EAR]
        under = [marks[jaw] + np.array([-side * 4.0, -22.0, -12.0]), marks[chin] * [0.6, 1, 0.55] - [0, 26.0, 0]]
        path, normal = face.lay(through([start, cheek, temple, *behind, *under], STEP), RADIUS + 0.2)
        meets = np.array([0.0, -118.0, 48.0])
        last, out = face.lay(through([path[-1], meets, meets - [0, 25, 0]], STEP), RADIUS + 0.4, tight=False)
        pieces.append(_shadow(face, path, normal))
        path, normal = np.concatenate([path, last[1:]]), np.concatenate([normal, out[1:]])
        pieces += [face.hold(tube(path, RADIUS, normal, tint, tile=CLEAR, gloss=GLOSS))]
        inside = 0.5 * (marks[wing] + base) + np.array([0.0, 1.5, -1.0])
        bend = np.array([side * 6.0, centre[1] + 2.5, centre[2] + 1.0])
        prong = through([[side * 6.0, centre[1], centre[2] + 0.5], bend, inside], 1.5)
        facing = np.broadcast_to(np.array([0.0, 0.2, 1.0]), prong.shape)
        pieces.append(face.hold(tube(prong, PRONG, facing, tint, tile=CLEAR, gloss=GLOSS), (33,)))
    middle: list[Vector] = [
        wings[0],
        [9.0, centre[1], centre[2]],
        [0.0, *centre[1:]],
        [-9.0, centre[1], centre[2]],
        wings[1],
    ]
    bar, normal = face.lay(through(middle, 2.0), BAR[1] + 0.3)
    pieces += [_shadow(face, bar, normal), face.hold(tube(bar, BAR, normal, tint, tile=CLEAR, gloss=GLOSS), (33, 51))]
    down = through([[0.0, -140.0, 46.0], [6.0, -170.0, 44.0], [14.0, -205.0, 58.0]], STEP)
    down, normal = face.lay(down, RADIUS + 1.0, tight=False)
    pieces.append(face.hold(tube(down, RADIUS * 1.3, normal, tint, tile=CLEAR, gloss=GLOSS)))
    slide = through([[0.0, -126.0, 47.0], [0.0, -140.0, 46.0]], 2.0)
    slide, normal = face.lay(slide, RADIUS + 1.0, tight=False)
    pieces.append(face.hold(tube(slide, (4.0, 2.5), normal, (0.45, 0.62, 0.50), gloss=1.5)))
    return joined(pieces)


def _shadow(face: Face, path: Floats, normal: Floats) -> Piece:
    """What a tube takes from the skin right below it: a soft dark band."""
    tangent = np.gradient(path, axis=0)
    side = 3.2 * unit(np.cross(tangent, normal))
    laid, out = face.lay(path - 1.6 * normal + np.array([0.0, -0.9, 0.0]), 0.5)
    return face.hold(ribbon(laid, side, out, (0.0, 0.0, 0.0), tile=SHADE, gloss=0.0))
