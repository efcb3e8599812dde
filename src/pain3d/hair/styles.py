"""Knows the ways in which hair is worn, as rows of numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin
from pain3d.skin.strands import COILED

Way = tuple[float, float, float]  # across (away from the parting), up, forward


class Style(NamedTuple):
    """One way of wearing hair. Lengths in mm; top and side are told apart by the height of a root.

    Attributes:
        ribbons: How many.
        width: Of a ribbon at its widest.
        length: Of strands on top, at the sides, in front; each differs.
        volume: How far the uppermost hair lies from the opaque hair below it: on top, at the sides.
        comb_top: Which way hair on top is combed.
        comb_side: Which way at the sides and the back.
        whorl: How much it runs away from the whorl.
        tie: How much it runs to the place where it is tied.
        weight: How much it falls.
        stiff: How much it keeps its way from step to step.
        lift: How steeply it leaves the skin, 0 flat to 1 upright.
        hug: How much it lies down on what is below.
        clump: How much strands gather in locks.
        locks: Number of locks.
        curl: mm of waves or coils.
        pitch: mm of one of them.
        frizz: mm by which a strand strays.
        parting: mm from the middle, of the line where hair parts; where it parts at all.
        cut: Height at which long hair is cut; None only by length.
        coiled: Whether ribbons show coils.
        edge: mm from the hairline over which hair begins: low, high.
        segments: Of a ribbon.
        core: How far the opaque hair below the ribbons stands off the skin, at the sides and on top, mm.
        tied: mm from there at which strands end.
        brow: Height at which hair before the face ends.
        painted: As what the scalp below is painted, one of `HAIR_STYLES`.
        tail: Of what is tied: ribbons, length (negative: radius of a bun), width.
        covers: Whether it lies over the ears.
    """

    ribbons: int = 1200
    width: float = 6.0
    length: Way = (45.0, 25.0, 40.0)
    volume: tuple[float, float] = (16.0, 6.0)
    comb_top: Way = (0.8, 0.0, 0.5)
    comb_side: Way = (0.0, -1.0, -0.15)
    whorl: float = 0.5
    tie: float = 0.0
    weight: float = 0.2
    stiff: float = 0.7
    lift: float = 0.35
    hug: float = 0.5
    clump: float = 0.5
    locks: int = 160
    curl: float = 0.0
    pitch: float = 30.0
    frizz: float = 1.0
    parting: float = 30.0
    cut: float | None = None
    coiled: bool = False
    edge: tuple[float, float] = (-2.0, 9.0)
    segments: int = 6
    core: tuple[float, float] = (2.0, 9.0)
    tied: float = 14.0
    brow: float = 85.0
    painted: str = "short"
    tail: tuple[int, float, float] = (0, 0.0, 0.0)
    covers: bool = False


# What falls to both sides of a parting.
HANGS = Style(
    comb_top=(1.0, 0.0, -0.25), comb_side=(0.1, -1.0, -0.2), whorl=0.0, weight=0.35, stiff=0.8, covers=True
)  # fmt: skip
STYLES: dict[str, Style] = {
    "buzz": Style(
        ribbons=1200, width=4.0, length=(6, 4, 6), volume=(1, 0.5), comb_top=(0.0, 0, 1.0), lift=0.75, hug=0.1,
        clump=0.0, frizz=0.4, segments=1, painted="buzz", core=(0.6, 1.0), edge=(-2, 14),
    ),
    "ring": Style(
        ribbons=700, width=4.5, length=(14, 13, 10), volume=(1, 1.5), lift=0.35, hug=0.4, clump=0.3, frizz=1.0,
        segments=2, core=(0.6, 0.6), edge=(-3, 16), painted="bald",
    ),
    "fade": Style(
        ribbons=1200, width=4.5, length=(30, 3.5, 30), volume=(8, 1), comb_top=(0.2, 0, 0.8), lift=0.6, hug=0.3,
        clump=0.6, locks=260, frizz=1.5, segments=3, brow=60.0, painted="buzz", core=(0.6, 8.0), edge=(-2, 16),
    ),
    "side": Style(
        ribbons=1000, width=5.0, length=(52, 22, 46), volume=(8, 3), comb_top=(0.9, 0, 0.25), segments=5, brow=52.0,
        core=(2.0, 10.0),
    ),
    "swept": Style(
        ribbons=900, width=5.5, length=(70, 26, 70), volume=(9, 4), comb_top=(0.25, 0.0, -1.0),
        comb_side=(0.0, -0.6, -0.8), lift=0.5, weight=0.1, stiff=0.75, segments=5, brow=52.0, core=(2.5, 12.0),
    ),
    "tousled": Style(
        ribbons=900, width=5.5, length=(45, 26, 50), volume=(10, 5), comb_top=(0.35, 0.0, 0.5), lift=0.6,
        weight=0.15, hug=0.25, clump=0.85, locks=200, curl=2.5, pitch=30.0, frizz=4.0, segments=5, brow=50.0,
        core=(3.0, 11.0),
    ),
    "pixie": Style(
        ribbons=600, width=6.2, length=(75, 40, 66), volume=(8, 5), comb_top=(0.9, 0.0, 0.5),
        comb_side=(0.0, -1, -0.35), weight=0.25, hug=0.6, clump=0.6, segments=5, brow=46.0, core=(3.5, 9.0),
    ),
    "bob": HANGS._replace(
        ribbons=280, width=9.6, length=(210, 150, 190), volume=(8, 14), clump=0.2, locks=120, frizz=1.5,
        parting=16.0, lift=0.3, hug=0.4, cut=-62.0, segments=8, core=(6.0, 8.0),
    ),
    "fringed": Style(
        ribbons=300, width=8.3, length=(190, 150, 120), volume=(8, 13), clump=0.3, locks=140, frizz=1.2,
        parting=0.0, lift=0.25,
        hug=0.5, cut=-58.0, segments=8, core=(6.0, 8.0), covers=True, comb_top=(0.18, 0.0, 1.0), brow=43.0,
        comb_side=(0.0, -1.0, -0.15), whorl=0.5, weight=0.35, stiff=0.75,
    ),
    "long": HANGS._replace(
        ribbons=205, width=10.5, length=(330, 290, 330), volume=(8, 12), lift=0.25, hug=0.35, clump=0.15,
        locks=100, frizz=1.5, parting=10.0, cut=-150.0, segments=12, core=(4.0, 6.0),
    ),
    "wavy": HANGS._replace(
        ribbons=200, width=11.0, length=(310, 270, 310), volume=(10, 15), lift=0.35, hug=0.25, clump=0.35,
        locks=120, curl=7.0, pitch=92.0, frizz=2.5, parting=22.0, cut=-120.0, segments=16, core=(6.0, 9.0),
    ),
    "tail": Style(
        ribbons=420, width=6.0, length=(150, 110, 170), volume=(4, 3), comb_top=(0.0, 0, -0.3),
        comb_side=(0.0, 0.0, -0.3),
        whorl=0.0, tie=1.6, weight=0.0, stiff=0.6, lift=0.08, hug=0.8, clump=0.2, frizz=0.5, segments=8,
        painted="buzz", core=(2.0, 4.0), tail=(60, 190.0, 9.0),
    ),
    "bun": Style(
        ribbons=420, width=6.0, length=(150, 110, 170), volume=(4, 3), comb_top=(0.0, 0, -0.3),
        comb_side=(0.0, 0.0, -0.3),
        whorl=0.0, tie=1.6, weight=0.0, stiff=0.6, lift=0.08, hug=0.8, clump=0.2, frizz=0.6, segments=8,
        painted="buzz", core=(2.0, 4.0), tail=(90, -30.0, 10.0),
    ),
    "curly": Style(
        ribbons=340, width=8.6, length=(85, 70, 70), volume=(14, 12), comb_top=(0.5, 0.2, 0.3),
        comb_side=(0.3, -0.8, -0.1),
        whorl=0.4, weight=0.25, stiff=0.75, lift=0.7, hug=0.2, clump=0.8, locks=260, curl=6.0, pitch=36.0, frizz=2.0,
        segments=11, painted="curly", core=(8.0, 15.0), covers=True,
    ),
    "afro": Style(
        ribbons=850, width=7.5, length=(24, 20, 20), volume=(0, 0), comb_top=(0.0, 0.0, 0.0),
        comb_side=(0.0, 0.0, 0.0),
        whorl=0.0, weight=0.03, stiff=0.9, lift=1.0, hug=0.0, clump=0.25, locks=500, curl=3.5, pitch=14.0, frizz=3.0,
        coiled=True, segments=3, painted="curly", core=(15.0, 24.0), edge=(-1.0, 8.0),
    ),
    "coils": Style(
        ribbons=1500, width=4.8, length=(10, 7, 10), volume=(0, 0), comb_top=(0.0, 0.0, 0.0), comb_side=(0.0,
        0.0, 0.0),
        whorl=0.0, weight=0.03, stiff=0.9, lift=1.0, hug=0.0, clump=0.4, locks=500, curl=1.5, pitch=9.0, frizz=1.5,
        coiled=True, segments=2, painted="curly", core=(3.0, 7.0), edge=(-1.0, 10.0),
    ),
}  # fmt: skip

# What a person of one of the drawn `HAIR_STYLES` wears, and how often; women and men differ in what is drawn, not
# here.
CHOICES: dict[str, tuple[tuple[str, float], ...]] = {
    "bald": (("ring", 1.0),),
    "buzz": (("buzz", 1.0),),
    "short": (("side", 0.34), ("swept", 0.22), ("tousled", 0.22), ("fade", 0.22)),
    "curly": (("coils", 0.45), ("afro", 0.35), ("curly", 0.20)),
    "crop": (("pixie", 0.6), ("bob", 0.2), ("curly", 0.2)),
    "bun": (("bun", 0.55), ("tail", 0.45)),
    "bob": (("bob", 0.24), ("fringed", 0.24), ("long", 0.26), ("wavy", 0.26)),
}


def worn_style(skin: Skin) -> str:
    """Which of `STYLES` a person wears, by a key of its own."""
    names, shares = zip(*CHOICES[skin.hair_style], strict=True)
    draw = keyed_generator(skin.seed, "hair/style", skin.identity).random()
    name = names[min(int(np.searchsorted(np.cumsum(shares), draw, side="right")), len(names) - 1)]
    return "curly" if skin.hair_curl > COILED and not STYLES[name].coiled and STYLES[name].covers else name
