"""Knows how adult faces differ by age and by sex beyond the source's own shapes, and adds it to these when it is read.

The source's `old` shapes bend the bone, but leave lids, temples, lips, ears and neck young; its women have men's jaws.
What is added is linear in what an identity already holds, its shares of sex, age and build: so a vector keeps its
meaning, whatever its local coefficients. `AGED` and `OF_SEX` add local shapes of
the source, in their standard deviations; the fields add soft displacements where the source has no shape.

- Ears: 0.178 mm a year longer in men, 0.162 in women, 0.073 wider, and more so the lobe. Meijerman, van der Lugt & Maat
  2007 (1,353 people).
- Nose: longer and larger to old age, the angle of its tip falls. Sforza et al. 2011 (859 people, 4 to 73 years).
- Upper lip: from 20–30 to 65–80 years 19 % longer in women, 18 % in men, and up to 41 and 33 % thinner. Ramaut et al.
  2019 (MRI, 200 people). Its red gives way to skin. Iblher et al. 2008 (182 photographs).
- Bone: the orbit opens within above and without below, the maxilla draws back, the jaw is lost before the jowl
  (Mendelson & Wong 2012); the jaw is shorter and lower and its angle opens (Shaw et al. 2011, CT of 120 people).
- Sex: standardised differences of adults are 1.21 of the jaw's width, 1.58 of the face's height and 2.10 of its depth
  below. Kesterke et al. 2016, table 3.
- Neck and shoulders: girths of 330 and 398 mm that grow by 0.6 and 0.9 mm a year, breadths of 365 and 416 mm between
  the acromia. Our means of the public file of ANSUR II (Gordon et al. 2014: 1,986 women, 4,082 men).

Bags, hoods, jowls, hollow temples and bands of the neck are told in these papers, but not in millimetres: their
sizes were set by eye on renders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels.deformation import vertex_normals

SIDES = ("l-", "r-")


class Amount(NamedTuple):
    """How much of something women and men have."""

    women: float
    men: float


# Local shapes of the source at `OLD_AGE`, in standard deviations from what they are at `YOUNG_AGE`; the name of a pair
# without its side. The source's own old shapes hold a part of each change: ears of women, a nose that stands out.
AGED: dict[str, Amount] = {
    "ear-scale-vert-decr|incr": Amount(0.6, 1.5),
    "ear-lobe-decr|incr": Amount(0.9, 1.6),
    "nose-scale-vert-decr|incr": Amount(1.6, 1.8),
    "nose-point-down|up": Amount(-1.3, -1.5),
    "nose-volume-decr|incr": Amount(0.9, 1.2),
    "nose-width3-decr|incr": Amount(0.8, 0.9),
    "mouth-trans-down|up": Amount(-11.0, -10.0),
    "mouth-upperlip-height-decr|incr": Amount(-1.3, -1.2),
    "mouth-upperlip-volume-decr|incr": Amount(-1.8, -1.5),
    "mouth-lowerlip-height-decr|incr": Amount(-1.0, -1.0),
    "mouth-lowerlip-volume-decr|incr": Amount(-1.5, -1.2),
    "mouth-cupidsbow-decr|incr": Amount(-1.2, -1.0),
    "mouth-philtrum-volume-decr|incr": Amount(-0.8, -0.8),
    "mouth-angles-down|up": Amount(-1.6, -1.4),
    "eye-eyefold-down|up": Amount(-1.3, -1.3),
    "eye-eyefold-angle-down|up": Amount(-1.2, -1.2),
    "eye-corner2-down|up": Amount(-1.2, -1.2),
    "eye-bag-decr|incr": Amount(1.6, 1.9),
    "eye-bag-in|out": Amount(0.8, 1.0),
    "eye-push1-in|out": Amount(-1.0, -1.0),
    "eyebrows-trans-down|up": Amount(-1.6, -1.2),
    "forehead-temple-decr|incr": Amount(-1.8, -1.8),
    "cheek-volume-decr|incr": Amount(-0.9, -0.9),
    "cheek-trans-down|up": Amount(-1.4, -1.3),
    "chin-jaw-drop-decr|incr": Amount(1.4, 1.4),
    "chin-bones-decr|incr": Amount(-0.6, -0.6),
}
# The same at every age.
OF_SEX: dict[str, Amount] = {
    "chin-width-decr|incr": Amount(-1.3, 0.4),
    "chin-height-decr|incr": Amount(-0.6, 0.5),
    "chin-bones-decr|incr": Amount(-0.8, 0.3),
    "chin-prominent-decr|incr": Amount(-0.4, 0.4),
    "head-square": Amount(-1.2, 0.0),
    "head-oval": Amount(1.2, 0.0),
    "nose-volume-decr|incr": Amount(-0.6, 0.4),
    "nose-scale-horiz-decr|incr": Amount(-0.4, 0.5),
    "mouth-upperlip-volume-decr|incr": Amount(0.8, -0.4),
    "mouth-lowerlip-volume-decr|incr": Amount(0.8, -0.4),
    "eye-scale-decr|incr": Amount(0.9, 0.0),
    "eyebrows-trans-down|up": Amount(0.9, -0.4),
    "cheek-volume-decr|incr": Amount(0.5, -0.2),
}


class Field(NamedTuple):
    """A soft field over both sides, millimetres on the template.

    Attributes:
        place: Its centre (|x|, y).
        wide: Half widths of its Gaussian, across and up.
        moves: At the centre: away from the midline, up, and out along the normal.
        amount: Of women and men.
    """

    place: tuple[float, float]
    wide: tuple[float, float]
    moves: tuple[float, float, float]
    amount: Amount = Amount(1.0, 1.0)


AGED_FIELDS = (
    Field((31, -69), (8, 7), (0.0, -3.4, 2.0)),  # jowl
    Field((19, -77), (5, 7), (0.0, 0.8, -1.6)),  # the jaw before it, where bone is lost
    Field((31, -52), (5, 8), (0.0, 0.0, -1.6)),  # from the corner of the mouth down
    Field((35, -22), (8, 12), (0.0, -2.4, 2.6)),  # cheek that overhangs the nasolabial fold
    Field((23, -27), (4, 9), (0.0, 0.0, -1.6)),  # the fold
    Field((33, 4), (11, 4.5), (0.0, -0.6, 2.2), Amount(0.9, 1.1)),  # bag of the lower lid
    Field((25, -4), (9, 4), (0.0, 0.0, -2.0)),  # tear trough
    Field((44, 0), (10, 7), (0.0, -1.4, -1.2)),  # apple of the cheek
    Field((45, 32), (9, 5), (0.5, -2.6, 1.4), Amount(1.0, 0.9)),  # hood over the outer lid
    Field((52, 42), (10, 6), (0.0, -2.2, 0.4), Amount(1.0, 0.7)),  # tail of the brow
    Field((66, 42), (9, 17), (0.0, 0.0, -4.0)),  # temple
    Field((52, -28), (9, 13), (0.0, 0.0, -2.4)),  # cheek between its bone and the jaw
    Field((0, -96), (20, 11), (0.0, -4.0, 2.6), Amount(1.0, 0.9)),  # under the chin
    Field((12, -122), (4.5, 30), (0.0, 0.0, 2.8)),  # bands of the neck
    Field((0, -122), (5.5, 26), (0.0, 0.0, -2.4)),  # between them
    Field((26, -122), (6, 26), (0.0, 0.0, -1.8)),
)
# By build at old age: what the lean lose more, and the stout carry.
LEAN_FIELDS = (
    Field((66, 42), (9, 17), (0.0, 0.0, -3.0)),
    Field((50, -26), (10, 14), (0.0, 0.0, -4.5)),
    Field((12, -122), (4.5, 30), (0.0, 0.0, 1.6)),
)
STOUT_FIELDS = (
    Field((33, -70), (10, 9), (0.3, -3.0, 2.4)),
    Field((0, -98), (26, 12), (0.0, -4.0, 3.0)),
)
OF_SEX_FIELDS = (
    Field((60, -42), (15, 20), (-5.0, 0.0, 0.0), Amount(1.0, 0.55)),  # angle of the jaw
    Field((46, -64), (12, 12), (-3.2, 0.8, 0.0), Amount(1.0, 0.2)),  # its body
    Field((22, 45), (17, 6.5), (0.0, 0.0, -1.7), Amount(1.0, -0.6)),  # ridge of the brow
    Field((0, 43), (10, 8), (0.0, 0.0, -1.1), Amount(1.0, -0.6)),  # between the brows
)
SHOULDERS = Amount(0.075, 0.0)  # share by which they are narrower than the source's
SHOULDER_HEIGHT = (-150.0, -185.0)  # mm of height over which that begins
MIDLINE_BLEND = 6.0  # mm: half width of a field's end at the midline
LID_REACH, LIP_REACH = 7.0, 6.0  # mm around the lids' and the lips' edges that fields leave alone
FRONT = (5.0, 25.0)  # mm of z over which fields of the face begin
NECK_FRONT = -15.0  # the same below the chin, where the neck stands back
CHIN = (-85.0, -100.0)  # mm of height between the two


def macro_changes(
    template: Tensor, faces: Tensor, skin: Tensor, edges: tuple[Tensor, Tensor], names: Sequence[str]
) -> dict[str, Tensor]:
    """What fields add to the macro shapes: name of a shape → [V, 3] metres.

    Args:
        template: [V, 3] metres.
        faces: [F, 3].
        skin: [V] bool, the vertices that may move: face, neck and shoulders.
        edges: Vertices of the lids' edges, and of the lips.
        names: The macro shapes; ancestry, sex and age, or sex, age, muscle and weight.
    """
    points = template.double() * 1000
    normals = vertex_normals(template[None], faces)[0].double()
    free = skin.double()
    for edge, reach in zip(edges, (LID_REACH, LIP_REACH), strict=True):
        away = (points[:, None] - points[edge]).norm(dim=2).amin(1)
        free = free * (1 - torch.exp(-((away / reach) ** 2)))
    below = ramp(points[:, 1], *CHIN)
    start = (1 - below) * FRONT[0] + below * NECK_FRONT
    free = free * ((points[:, 2] - start) / (FRONT[1] - FRONT[0])).clamp(0, 1)

    def summed(fields: Sequence[Field], who: int) -> Tensor:
        total = torch.zeros_like(points)
        for field in fields:
            for sign in (1.0, -1.0):
                across = points[:, 0] * sign
                half = (0.5 + across / (2 * MIDLINE_BLEND)).clamp(0, 1)
                (x, y), (wide, high), (out, up, along) = field.place, field.wide, field.moves
                near = torch.exp(-(((across - x) / wide) ** 2) - ((points[:, 1] - y) / high) ** 2)
                moved = along * normals + torch.tensor([out * sign, up, 0.0], dtype=torch.float64)
                total += field.amount[who] * (near * half * free)[:, None] * moved
        return total

    low = ramp(points[:, 1], *SHOULDER_HEIGHT) * skin
    changes: dict[str, Tensor] = {}
    for who, sex in enumerate(("female", "male")):
        always = summed(OF_SEX_FIELDS, who)
        always[:, 0] -= SHOULDERS[who] * low * points[:, 0]
        aged, lean, stout = (summed(fields, who) for fields in (AGED_FIELDS, LEAN_FIELDS, STOUT_FIELDS))
        for name in names:
            words = name.split("-")
            if sex not in words:
                continue
            added = torch.zeros_like(points)
            if len(words) == 3:
                added = always + aged if "old" in words else always
            elif "old" in words and words[-1] in ("minweight", "maxweight"):
                added = lean if words[-1] == "minweight" else stout
            changes[name] = (added / 1000).float()
    return changes


def local_amounts(names: Sequence[str], macros: Sequence[str]) -> Tensor:
    """[M, L] how much of each local shape a macro shape of ancestry, sex and age gains, in standard deviations."""
    amounts = torch.zeros(len(macros), len(names))
    for row, macro in enumerate(macros):
        words = macro.split("-")
        if len(words) != 3:
            continue
        who = int("male" in words)
        tables: list[Mapping[str, Amount]] = [OF_SEX, AGED] if "old" in words else [OF_SEX]
        for column, name in enumerate(names):
            pair = pair_name(name)
            amounts[row, column] = sum(table[pair][who] for table in tables if pair in table)
    return amounts


def pair_name(name: str) -> str:
    """A local shape's name without its side."""
    return name[2:] if name.startswith(SIDES) else name


def ramp(values: Tensor, start: float, end: float) -> Tensor:
    """0 up to start, 1 from end on, straight between."""
    return ((values - start) / (end - start)).clamp(0, 1)
