"""Knows where wrinkles run on a face, which of the two detail layers holds each, and which action unit brings it.

All in frontal millimetres of the template, (|x|, y), mirrored. A region is brought as a whole, so two regions of one
layer whose action units differ lie at least 8 mm apart (`creases` fades over that distance): what overlaps in space
lies in different layers. What each action unit does to skin follows the appearance changes of the FACS manual (Ekman,
Friesen & Hager 2002).

| layer 0 | brought by | layer 1 | brought by |
|---|---|---|---|
| glabella | AU4 | nasal root, bunny lines | AU9 |
| crow's feet, infraorbital furrow, cheek | AU6 | lids | AU7 |
| nasolabial curve | AU12, 6, 10, 9 | squared nasolabial, triangle, ala | AU10, AU9 |
| lips | AU24, 23, 18 | forehead | AU1, AU2 |
| | | mouth corners, chin | AU14, 15, 20, AU17 |
"""

from __future__ import annotations

from dataclasses import dataclass

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Kind:
    """A profile across a stroke: Gaussians of `width` mm (standard deviation) that reach `height` mm on a straight one.

    `shoulder` mm stand beside a groove on a Gaussian 2.4 times as wide. Shade and blood, on the scale of
    `kernels.render`, go with the square of a groove's profile: they belong to its depth, while walls and shallow ends
    see most of the sky. `coarse`: texels of the texture per texel that the stroke is drawn with.
    """

    width: float
    height: float
    shoulder: float
    shade: float
    blood: float
    coarse: int


# Widths: a crease of one to two millimetres, a furrow that is still two pixels wide on a face of 112 pixels, the
# rounder folds beside the nose, swellings of a muscle's belly. Heights were set by eye on renders at intensity 3 and 5.
KINDS = {
    "fine": Kind(0.5, -0.26, 0.12, 0.18, 0.08, 1),
    "furrow": Kind(1.20, -1.10, 0.62, 0.22, 0.20, 2),
    "fold": Kind(1.55, -1.20, 0.85, 0.17, 0.18, 2),
    "roll": Kind(1.50, 0.70, 0.0, 0.0, -0.04, 2),
    "bulge": Kind(3.6, 1.50, 0.0, 0.0, -0.04, 4),
    "swelling": Kind(6.0, 1.9, 0.0, 0.0, 0.0, 4),
    "hollow": Kind(3.4, -1.10, 0.0, 0.05, 0.02, 4),
}


@dataclass(frozen=True)
class Stroke:
    """One line of a pattern.

    Attributes:
        kind: Name in `KINDS`.
        points: (|x|, y) mm through which it runs; one that starts at x = 0 goes on across the midline.
        strength: Of the kind's profile.
        missing: Chance that a person lacks it on a side.
        thick: mm that a bulge or hollow is flat across, before its profile.
    """

    kind: str
    points: Points
    strength: float = 1.0
    missing: float = 0.0
    thick: float = 0.0


@dataclass(frozen=True)
class Region:
    """Strokes that come and go together.

    Attributes:
        layer: 0 or 1.
        strokes: What is drawn.
        brought: Action unit → weight at full intensity.
        rest: Weight at rest in everybody.
        aged: Added to it at `Skin.age_marks` 1.
        across: |x| mm between which the region fades in (low, high) or, falling, out; None: everywhere.
        varied: Its lines stand otherwise in each person: share by which they lie closer or farther apart, mm by which
            all of them lie higher or lower, and mm by which their ends, 40 mm from the midline, rise or fall.
    """

    layer: int
    strokes: tuple[Stroke, ...]
    brought: dict[int, float]
    rest: float = 0.0
    aged: float = 0.0
    across: tuple[float, float] | None = None
    varied: tuple[float, float, float] = (0.0, 0.0, 0.0)


FOREHEAD = (
    Stroke("furrow", ((0, 59.5), (14, 60.5), (28, 61), (43, 58)), 0.9, 0.2),
    Stroke("furrow", ((0, 68.5), (14, 70), (29, 70), (45, 66)), 1.0),
    Stroke("furrow", ((0, 78), (13, 79.5), (27, 79), (40, 75)), 0.8, 0.25),
    Stroke("fine", ((6, 64.5), (18, 65.5), (30, 65)), 0.7, 0.4),
    Stroke("fine", ((3, 74), (16, 75), (32, 73.5)), 0.7, 0.4),
    Stroke("bulge", ((0, 64), (15, 65), (30, 65), (42, 62)), 0.40),
    Stroke("bulge", ((0, 73.5), (14, 75), (28, 74), (42, 70)), 0.40),
)

REGIONS: dict[str, Region] = {
    "glabella": Region(
        0,
        (
            Stroke("furrow", ((4.2, 32), (5.2, 38), (5.4, 45), (4.4, 53)), 0.85),
            Stroke("furrow", ((9.5, 36), (10.5, 42), (10, 48)), 0.6, 0.35),
            Stroke("fine", ((0.8, 35), (0.4, 41), (0.8, 47)), 0.8, 0.5),
            Stroke("fine", ((13, 48), (16.5, 53)), 0.7, 0.4),
            Stroke("bulge", ((9, 38.5), (15, 42), (22, 45)), 1.15, thick=4),
            Stroke("bulge", ((0, 36), (0, 46)), 0.35, thick=3),
            Stroke("hollow", ((15, 53), (22, 55), (30, 57)), 0.8, thick=3),
        ),
        {4: 1.5},
        aged=0.55,
    ),
    "crow": Region(
        0,
        (
            Stroke("furrow", ((47, 26.5), (52, 30.5), (58, 36.5)), 0.95, 0.25),
            Stroke("furrow", ((47.5, 24.5), (53, 26.5), (60, 28.5)), 0.95),
            Stroke("furrow", ((47.5, 22), (53, 20.5), (61, 20)), 0.95),
            Stroke("furrow", ((47, 19.5), (52, 15.5), (58, 11)), 0.95, 0.2),
            Stroke("fine", ((45.5, 17), (49, 12), (53, 6)), 0.9, 0.4),
            Stroke("fine", ((50, 28), (56, 32)), 0.7, 0.4),
            Stroke("fine", ((50, 22.8), (58, 24)), 0.7, 0.4),
            Stroke("fine", ((50, 17.8), (57, 15.5)), 0.7, 0.4),
        ),
        {6: 1.35, 12: 0.22},
        aged=0.75,
    ),
    "infraorbital": Region(
        0,
        (
            Stroke("furrow", ((17.5, 14), (22, 8.5), (29, 5.0), (38, 5.0), (46, 8.5)), 0.85),
            Stroke("fine", ((22, 12), (29, 8.6), (37, 8.8), (43, 11.5)), 0.8, 0.2),
            Stroke("hollow", ((19, 10), (27, 6), (38, 5.5), (45, 8)), 0.7),
            Stroke("bulge", ((24, 0), (32, -2), (41, -1.5), (49, 2)), 1.0, thick=3),
        ),
        {6: 1.25, 12: 0.25},
        rest=0.06,
        aged=0.85,
    ),
    "cheek": Region(
        0,
        (
            Stroke("swelling", ((28, -9), (38, -10), (48, -6)), 1.0, thick=9),
        ),
        {6: 1.5, 12: 0.5},
    ),
    "nasolabial": Region(
        0,
        (
            Stroke("fold", ((15.5, -19), (20.5, -25.5), (26.5, -33), (31.5, -41), (34, -49)), 1.2),
            Stroke("hollow", ((18, -24), (24, -32), (30, -42)), 0.5),
            Stroke("bulge", ((22, -19.5), (29, -27), (36, -35), (40, -44)), 0.8, thick=3),
        ),
        {6: 0.40, 9: 0.10, 10: 0.40, 12: 0.9, 20: 0.25, 27: 0.1},
        rest=0.10,
        aged=0.85,
    ),
    "lips": Region(
        0,
        tuple(Stroke("fine", ((x, low), (x + 0.7, high)), strength, 0.15)
              for x, low, high, strength in (
                  (2.8, -34.5, -29.5, 0.9), (5.6, -34.4, -31, 0.6), (8.8, -34.8, -28.5, 1.0), (12.0, -35.4, -31.5, 0.6),
                  (15.4, -36.6, -30.5, 0.9), (18.6, -38.5, -33.5, 0.6),
                  (3.4, -56.5, -60.5, 0.6), (7.6, -56, -62, 0.7), (12.4, -55.4, -59, 0.5),
              )),
        {18: 1.0, 22: 0.4, 23: 0.9, 24: 1.0, 28: 0.5},
        aged=0.4,
    ),
    "root": Region(
        1,
        (
            Stroke("furrow", ((0, 25.5), (4, 25.6), (7.8, 26.8)), 0.8),
            Stroke("furrow", ((0, 20.5), (4, 20.2), (8, 21.3)), 0.75, 0.2),
            Stroke("bulge", ((0, 31.5), (4.5, 32.5)), 0.9, thick=3),
        ),
        {4: 0.35, 9: 1.5},
        aged=0.4,
    ),
    "bunny": Region(
        1,
        (
            Stroke("furrow", ((2.5, 14.5), (6.5, 13), (11.5, 12.5)), 0.8),
            Stroke("furrow", ((2.5, 8.5), (7, 6.8), (12.5, 6)), 0.8),
            Stroke("furrow", ((3.5, 2.5), (8, 0.8), (13, 0.5)), 0.8, 0.15),
            Stroke("fine", ((1.5, 11.5), (6, 10), (10, 9.5)), 0.9, 0.3),
            Stroke("fine", ((11.5, 17.5), (13, 12), (14, 5)), 1.0, 0.1),
            Stroke("bulge", ((9.5, 13), (11.5, 7), (12.5, 1)), 0.7),
            Stroke("roll", ((5, 10.8), (10, 9.6)), 0.6),
            Stroke("roll", ((5.5, 4.4), (11, 3.4)), 0.6),
        ),
        {9: 1.5},
        aged=0.15,
    ),
    "ala": Region(
        1,
        (
            Stroke("fold", ((11.5, -12), (15.5, -14.5), (17.5, -19)), 0.75),
            Stroke("roll", ((14, -9.5), (19, -12.5), (21, -18)), 0.8),
        ),
        {9: 1.2, 10: 0.5},
        rest=0.12,
        aged=0.3,
    ),
    "squared": Region(
        1,
        (
            Stroke("fold", ((16.5, -13.5), (21.5, -19), (25, -26.5), (28.5, -35)), 0.65),
            Stroke("bulge", ((20, -5), (27, -10), (32.5, -18), (34.5, -27)), 1.5, thick=5),
            Stroke("hollow", ((19, -20), (23, -27), (25, -34)), 0.6),
            Stroke("bulge", ((8, -27), (16, -31)), 0.5, thick=2),
        ),
        {9: 0.3, 10: 1.45},
        aged=0.15,
    ),
    "lids": Region(
        1,
        (
            Stroke("furrow", ((22.5, 15.6), (27, 12.6), (33, 11.8), (40, 14), (45, 18)), 0.7),
            Stroke("bulge", ((24.5, 17.5), (31, 15.8), (38, 17)), 0.7),
            Stroke("hollow", ((24.5, 9.5), (29, 8), (34, 7.6), (43, 11)), 0.35),
            Stroke("roll", ((24, 17.0), (31, 15.9), (38, 17)), 0.9),
            Stroke("furrow", ((44.5, 22.3), (52, 20.2)), 0.85, 0.1),
            Stroke("furrow", ((45, 25), (52, 27)), 0.8, 0.2),
            Stroke("furrow", ((44, 19.8), (49.5, 15.8)), 0.5, 0.2),
            Stroke("fine", ((24, 29.2), (32, 30.6), (41, 28.8)), 1.0, 0.1),
            Stroke("furrow", ((21.5, 28.6), (25, 31.4), (32, 33.4), (40, 31.4), (46.5, 26)), 0.45),
            Stroke("roll", ((24, 33.5), (32, 35.2), (40, 33.5)), 0.9),
            Stroke("roll", ((24, 37.2), (32, 38.8), (40, 37.2)), 0.9),
            Stroke("fine", ((23, 35.4), (32, 37), (41, 35.4)), 0.6),
            Stroke("fine", ((24, 39), (32, 40.4), (40, 39)), 0.6, 0.2),
            Stroke("bulge", ((23.5, 34.5), (32, 36.4), (41.5, 34)), 0.35),
        ),
        {7: 2.5, 43: -0.07},
        rest=0.11,
        aged=0.42,
    ),
    "forehead_middle": Region(1, FOREHEAD, {1: 1.0}, aged=0.75, across=(30, 16), varied=(0.16, 2.0, 2.5)),
    "forehead_side": Region(1, FOREHEAD, {2: 1.0}, aged=0.7, across=(16, 30)),
    "corner": Region(
        1,
        (
            Stroke("furrow", ((32.5, -38.5), (35.5, -43), (35, -48.5)), 0.9),
            Stroke("bulge", ((39, -38), (41, -46)), 0.5),
        ),
        {12: 0.35, 14: 1.0, 20: 0.7},
    ),
    "marionette": Region(
        1,
        (
            Stroke("furrow", ((29.5, -48.5), (32, -54.5), (32.5, -62)), 0.9),
            Stroke("bulge", ((36.5, -52), (37, -60)), 0.4),
        ),
        {14: 0.3, 15: 1.0, 20: 0.3},
        aged=0.85,
    ),
    "chin": Region(
        1,
        (
            Stroke("furrow", ((0, -64), (8, -64.3), (15, -67)), 1.0),
            Stroke("bulge", ((0, -74), (8, -74)), 0.7, thick=6),
            *(Stroke("furrow", ((x, y), (x + 1.5, y - 1)), 0.8, 0.3)
              for x, y in ((1, -69), (5, -70), (9.5, -70.5), (13, -73), (3, -74), (7, -75), (11, -77.5), (1.5, -79),
                           (5.5, -80.5))),
        ),
        {15: 0.3, 16: 0.2, 17: 1.0, 24: 0.25},
        aged=0.10,
    ),
}  # fmt: skip
