"""Knows the order of a head's landmarks: the 68 points of iBUG's 300-W, then four eye corners and two pupils.

Left and right are the person's own: point 0 is at the person's right temple, on the left of a picture from the front.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class LandmarkGroup(NamedTuple):
    """Landmarks that follow each other.

    Attributes:
        name: What they lie on.
        first: Number of the first.
        points: How many.
        course: From where to where they run.
        line: How they are joined when they are drawn: ``open``, ``closed``, or empty where they are points only.
    """

    name: str
    first: int
    points: int
    course: str
    line: str = "open"


GROUPS: Final = (
    LandmarkGroup("jaw", 0, 17, "from the right temple over the chin (8) to the left temple"),
    LandmarkGroup("right brow", 17, 5, "from its outer end inwards"),
    LandmarkGroup("left brow", 22, 5, "from its inner end outwards"),
    LandmarkGroup("ridge of the nose", 27, 4, "from the root down to the tip"),
    LandmarkGroup("base of the nose", 31, 5, "from the right wing over the middle (33) to the left wing"),
    LandmarkGroup(
        "right eye", 36, 6, "outer corner, upper lid inwards, inner corner (39), lower lid outwards", "closed"
    ),
    LandmarkGroup(
        "left eye", 42, 6, "inner corner, upper lid outwards, outer corner (45), lower lid inwards", "closed"
    ),
    LandmarkGroup(
        "outer line of the lips", 48, 12, "right corner, upper lip, left corner (54), lower lip back", "closed"
    ),
    LandmarkGroup(
        "inner line of the lips", 60, 8, "right corner, upper lip, left corner (64), lower lip back", "closed"
    ),
    LandmarkGroup(
        "eye corners", 68, 4, "right outer, right inner, left inner, left outer: points 36, 39, 42, 45 again", ""
    ),
    LandmarkGroup("pupils", 72, 2, "right, left: the foremost points of the eyeballs", ""),
)
LANDMARKS: Final = sum(group.points for group in GROUPS)
FACE_LANDMARKS: Final = 68  # the first of them, those of 300-W
