"""Knows where those landmarks of the packaged head lie that stand between its vertices: brows, corners of the mouth.

The mesh is coarse at the brows, up to 17 mm from vertex to vertex. iBUG's five points run along the middle of a brow;
in the mean shape that dlib learned from 300-W, scaled to the template's 87 mm between outer eye corners, they stand
57.8, 49.0, 36.5, 23.5 and 11.4 mm from the midline. Here the first and the last are where half as many hairs are left
as in the middle, and all are as high as the middle of what is drawn: hairs rise from their roots (`skin.brows`), so it
lies .2 to 1.6 mm above that of the roots.

iBUG's corner of a mouth is where the lips meet. The head's vertex for it bounds the painted lips, 3 mm further out, and
that of the inner contour lies 5 mm behind the lips' edge. Seen from the front the upper lip stands 4 mm before what is
below it 23.5 mm from the midline, and nothing is left of the step at 25 mm; with AU25, 26 or 27 the mouth opens as far.
Corners in the templates of 142 photographs of neutral faces (the Face Research Lab's London Set and Canadian faces)
stand 24.7 mm from the midline at 87 mm of the eyes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Millimetres on the template, from the outer end inwards: away from the midline, up.
BROW: Final = ((56.5, 40.6), (49.0, 44.0), (36.5, 46.5), (23.5, 44.7), (13.5, 40.2))
MOUTH_CORNER: Final = ((24.4, -44.6), (23.5, -44.4))  # outer contour, inner contour
PLACES: Final = (*BROW, *MOUTH_CORNER)
LIDS: Final = ((40, 41, 46, 47), (38, 37, 44, 43))  # iBUG's numbers: of lower lids, and above each of an upper one
NOSE: Final = (33, 27)  # its base and its bridge: between them is up
RIGHT, LEFT = (*range(17, 22), 48, 60), (*range(26, 21, -1), 54, 64)  # iBUG's numbers of them


def landmark_corners(
    template: Doubles, faces: Indices, landmarks: Indices, names: tuple[str, ...]
) -> tuple[Indices, Doubles]:
    """Corners [L, 3] (vertices) of the triangle that holds each landmark, and the weights [L, 3] of them.

    A landmark that is a vertex has it three times, with weights 1, 0, 0.

    Args:
        template: [V, 3] metres.
        faces: [F, 3] of the skin, counter-clockwise from outside.
        landmarks: [L] vertices.
        names: [L]; none where all are vertices.
    """
    corners = np.repeat(landmarks[:, None], 3, 1)
    weights = np.tile(np.array([1.0, 0.0, 0.0]), (len(landmarks), 1))
    for numbers, side in ((RIGHT, -1.0), (LEFT, 1.0)) if names else ():
        for number, (across, up) in zip(numbers, PLACES, strict=True):
            place = names.index(f"ibug_{number}")
            corners[place], weights[place] = _foremost(template * 1000, faces, np.array([side * across, up]))
    return corners, weights


def _foremost(points: Doubles, faces: Indices, at: Doubles) -> tuple[Indices, Doubles]:
    """Of the faces [F, 3] that a look from the front meets at [2], the foremost: its corners, and weights of them."""
    a, b, c = (points[faces[:, corner], :2] for corner in range(3))
    doubled = _cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = (
            np.stack([_cross(b - at, c - at), _cross(c - at, a - at), _cross(a - at, b - at)], 1) / doubled[:, None]
        )
    met = np.flatnonzero((doubled > 0) & (weights >= 0).all(1))
    depths = (points[faces[met], 2] * weights[met]).sum(1)
    chosen = met[np.argmax(depths)]
    return faces[chosen], weights[chosen]


def _cross(one: Doubles, other: Doubles) -> Doubles:
    return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
