"""Knows where a person's hair begins: outlines on the unrolled head, for the shell that grows and for the brush."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin

Outline = Sequence[tuple[float, float]]
Floats = npt.NDArray[np.float64]

MM_PER_DEGREE = 80.0 * np.pi / 180  # the unrolled head is a cylinder of about 80 mm
# The hairline on the unrolled head (degrees from the front, mm), and how far full recession moves each point up.
HAIRLINE: tuple[tuple[int, int, int], ...] = (
    (0, 91, 42), (10, 93, 45), (20, 95, 48), (29, 94, 50), (37, 88, 50), (45, 78, 44), (52, 66, 30), (59, 52, 16),
    (66, 37, 5), (70, 18, 0), (72, -2, 0), (80, -5, 0), (82, 12, 0), (86, 38, 0), (104, 38, 0), (112, 22, 0),
    (117, -6, 0), (123, -34, 0), (140, -50, 0), (160, -57, 0), (180, -60, 0), (180, 200, 0), (0, 200, 0),
)  # fmt: skip
SIDEBURN, SIDEBURN_LIFT = (72, 80), 14.0  # degrees of its lower end; mm that a woman's ends higher
# What replaces the hairline behind the temples where hair hangs over the ears: down in front of them, and around.
HANGING: dict[str, tuple[tuple[int, int, int], ...]] = {
    "crop": ((66, 37, 5), (68, 14, 0), (74, -8, 0), (86, -16, 0), (104, -24, 0), (122, -48, 0), (150, -66, 0),
             (180, -68, 0), (180, 200, 0), (0, 200, 0)),
    "bob": ((64, 37, 5), (66, 10, 0), (70, -24, 0), (80, -52, 0), (96, -72, 0), (130, -78, 0), (180, -80, 0),
            (180, 200, 0), (0, 200, 0)),
}  # fmt: skip
HANGING_FROM = 62  # degrees: where the hanging part takes over
COVERING = ("crop", "bob")  # styles that lie over the ears
FRONT_LOWER = {"bob": -12.0, "crop": -15.0, "bun": -3.0}  # mm that a style's front hangs (−) or is drawn back (+)
FRINGE, FRINGE_SHARE = -36.0, 0.4  # mm that a fringe hangs over the forehead, and who of those with a bob wears one
FRINGE_CURL = 0.7  # coiled hair hangs over no forehead
FRONT_END = 45  # degrees: how far the front reaches to the sides
BALD_RECESSION = 0.85  # at least: the crown is never bald behind a full front


def hair_outline(skin: Skin) -> list[tuple[float, float]]:
    """The closed outline of a person's hair: degrees from the front, height in mm."""
    back = (max(skin.recession, BALD_RECESSION) if skin.hair_style == "bald" else skin.recession) ** 1.2
    lowered = FRONT_LOWER.get(skin.hair_style, 0.0)
    if skin.hair_style == "bob" and skin.hair_curl < FRINGE_CURL:
        generator = keyed_generator(skin.seed, "skin/fringe", skin.identity)
        lowered = FRINGE if generator.random() < FRINGE_SHARE else lowered
    points = HAIRLINE
    if skin.hair_style in HANGING:
        front = tuple(point for point in HAIRLINE[: HAIRLINE.index((104, 38, 0))] if point[0] < HANGING_FROM)
        points = (*front, *HANGING[skin.hair_style])
    outline = []
    for degrees, height, lift in points:
        raised = SIDEBURN_LIFT * (1 - skin.sex) if SIDEBURN[0] <= degrees <= SIDEBURN[1] and height < 0 else 0.0
        raised = 0.0 if skin.hair_style in HANGING else raised
        shift = lowered if degrees <= FRONT_END and height < 190 else 0.0
        outline.append((float(degrees), height + lift * back + raised + shift))
    return outline


def outline_distance(points: Floats, outline: Outline) -> Floats:
    """Signed distance [V] in mm, positive inside, of points [V, 3] (mm) from a mirrored outline on the unrolled head.

    The outline's ends on the front and the back midline are no edge: the other half of the head goes on there.
    """
    across = np.degrees(np.arctan2(np.abs(points[:, 0]), points[:, 2])) * MM_PER_DEGREE
    height = points[:, 1]
    corners = np.array(outline) * np.array([MM_PER_DEGREE, 1.0])
    middles = {0.0, 180 * MM_PER_DEGREE}
    squared, inside = np.full(len(points), np.inf), np.zeros(len(points), bool)
    for (x, y), (next_x, next_y) in pairwise([*corners.tolist(), corners[0].tolist()]):
        along, up = next_x - x, next_y - y
        right, above = across - x, height - y
        if x != next_x or x not in middles:
            share = np.clip((right * along + above * up) / max(along**2 + up**2, 1e-9), 0, 1)
            np.minimum(squared, (right - share * along) ** 2 + (above - share * up) ** 2, out=squared)
        if up != 0:
            inside ^= ((y > height) != (y + up > height)) & (x + above / up * along > across)
    distance = np.sqrt(squared)
    return np.asarray(np.where(inside, distance, -distance))
