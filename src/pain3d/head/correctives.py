"""Knows what the default head's source does not move enough, and mends it when the head is read.

The lower lid (AU7) and the upper lip (AU10) rise further than the source lifts them, the upper lid comes to meet the
lower one, and shut lids are squeezed. Soft bulges, so many millimetres of skin at full weight, are added to the shapes
of action units whose flesh the source leaves flat: the apple of the cheek (AU6), the pouch of the lower lid (AU7), the
wings and the root of the nose (AU9), the corrugator between the brows (AU4), the cheek beside the nose (AU10). They
follow the FACS manual's appearance changes (Ekman, Friesen & Hager 2002).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels.deformation import vertex_normals

# Of each unit: how many times the source's shape it is. AU7 at 5 lifts the lower lid by 4.1 mm of an opening of 8.9.
FURTHER = {"eyeSquintLid": 1.4, "mouthUpperUp": 1.2}
# Of a blink, what AU7 adds: its muscle lies in both lids. At 5 the upper one comes down by 1.6 mm.
NARROWED = 0.15
# Of each unit: centre (|x|, y), half widths of a Gaussian (across, up), and what it moves: outwards from the midline,
# up, and out along the normal. All millimetres, on the template.
Bulge = tuple[tuple[float, float], tuple[float, float], tuple[float, float, float]]
BULGES: dict[str, tuple[Bulge, ...]] = {
    "cheekSquint": (  # AU6: the apple rises towards the eye and stands out; the bag under the lid is pushed up
        ((38.0, -3.0), (14.0, 10.0), (0.6, 2.4, 3.0)),
        ((33.0, 6.0), (14.0, 5.0), (0.0, 1.6, 1.2)),
        ((56.0, 12.0), (8.0, 8.0), (-0.6, 0.8, 0.8)),
    ),
    "noseSneer": (  # AU9: wings wide and high, a shorter tip, skin bunched at the root, the fold beside the wing
        ((16.0, -22.0), (6.0, 7.0), (1.1, 2.6, 0.8)),
        ((4.0, -17.0), (7.0, 8.0), (0.0, 1.2, 0.0)),
        ((7.0, 18.0), (5.0, 7.0), (0.2, 0.8, 1.5)),
        ((23.0, -6.0), (7.0, 9.0), (0.4, 2.0, 1.4)),
        ((10.0, 36.0), (7.0, 8.0), (-0.6, -1.2, 0.8)),
    ),
    "browDown": (  # AU4: the medial ends come down further, and the muscle bunches between them
        ((15.0, 41.0), (8.0, 7.0), (-0.5, -1.6, 1.0)),
        ((6.0, 34.0), (5.0, 9.0), (-0.4, -0.6, 1.3)),
    ),
    "eyeSquint": (  # AU7: the pouch of the lower lid is drawn up and in, and stands out; also where lids are shut
        ((32.0, 7.0), (13.0, 5.0), (-0.5, 1.2, 1.4)),
    ),
    "mouthUpperUp": (  # AU10: the cheek beside the wing is pushed up over the fold
        ((24.0, -13.0), (7.0, 8.0), (0.6, 1.8, 1.6)),
    ),
}
MIDLINE_BLEND = 6.0  # mm: half width of a bulge's end at the midline
LID_REACH = 8.0  # mm around the lids' edge that bulges leave alone
LIPS_FROM, LIPS_TO = -27.0, -33.0  # mm of height over which they end above the lips
# The tongue of the source fills the mouth and stands between the teeth: it is laid flatter on its floor, and back.
TONGUE_FLOOR, TONGUE_KEPT, TONGUE_BACK = -66.0, 0.5, 6.0  # mm; share of the height above it; mm at the tip
TONGUE_ROOT = (15.0, 40.0)  # mm of z over which it begins to lie
# The source shuts the upper lid all the way down to the lower one; lids meet a little higher. Everything near the
# closed line, seen where a blink puts it, is lifted by one smooth field, so that closed lids stay closed.
MEETING, MEETING_WIDTH, MEETING_HEIGHT, MEETING_LIFT = (34.0, 16.5), 11.0, 6.5, 2.6  # mm

# Lids that are shut and tightened (AU7 with AU43) meet higher still, and their skin bunches on both sides of the line.
SQUEEZED_LIFT, SQUEEZED_BUNCH, SQUEEZED_FRONT = 5.0, 2.5, 1.5  # mm
SQUEEZED_LIFTED, SQUEEZED_BUNCHED, SQUEEZED_EDGES = 8.5, 7.0, 3.5  # mm above and below the line


def bulges(template: Tensor, faces: Tensor, skin: Tensor, lids: Tensor, units: tuple[str, ...]) -> dict[int, Tensor]:
    """What is added to the expression shapes: row of the unit → [V, 3] metres.

    Args:
        template: [V, 3] metres.
        faces: [F, 3].
        skin: [V] bool, the vertices that may move.
        lids: [L] vertices of the lids' edge.
        units: Names of the head's expression units.
    """
    points = template.double() * 1000
    normals = vertex_normals(template[None], faces)[0].double()
    to_lid = (points[:, None] - points[lids]).norm(dim=2).amin(1)
    free = skin.double() * (1 - torch.exp(-((to_lid / LID_REACH) ** 2)))
    free = free * ((points[:, 1] - LIPS_TO) / (LIPS_FROM - LIPS_TO)).clamp(0, 1) * (points[:, 2] > 20)
    found: dict[int, Tensor] = {}
    for row, unit in enumerate(units):
        for side, sign in (("Left", 1.0), ("Right", -1.0)):
            if unit.endswith(side) and unit.removesuffix(side) in BULGES:
                total = torch.zeros_like(points)
                across = points[:, 0] * sign
                half = (0.5 + across / (2 * MIDLINE_BLEND)).clamp(0, 1)
                for (x, y), (wide, high), (out, up, along) in BULGES[unit.removesuffix(side)]:
                    near = torch.exp(-(((across - x) / wide) ** 2) - ((points[:, 1] - y) / high) ** 2)
                    moved = along * normals + torch.tensor([out * sign, up, 0.0], dtype=torch.float64)
                    total += (near * half * free)[:, None] * moved
                found[row] = (total / 1000).float()
    return found


def higher_meeting(template: Tensor, blink: Tensor, movable: Tensor, sign: float) -> Tensor:
    """What is added to a blink [V, 3] (metres; sign 1 is the left eye's) so that the lids meet higher.

    Args:
        template: [V, 3] metres.
        blink: [V, 3] metres, the blink's shape.
        movable: [V] bool: skin and lashes.
        sign: 1 left, −1 right.
    """
    lift = torch.zeros(template.shape, dtype=torch.float64)
    lift[:, 1] = MEETING_LIFT * _near_line((template + blink).double() * 1000, movable, sign, MEETING_HEIGHT)
    return (lift / 1000).float()


def squeezed(template: Tensor, faces: Tensor, blink: Tensor, movable: Tensor, sign: float) -> Tensor:
    """What AU7 at its full adds to lids that are shut [V, 3] metres; arguments as of `higher_meeting`, faces [F, 3].

    The edges, whose normals face each other, don't bunch: they rise, the upper one in front of the lower.
    """
    shut = template + blink
    points = shut.double() * 1000
    normals = vertex_normals(shut[None], faces)[0].double()
    wide, edges = (_near_line(points, movable, sign, height) for height in (SQUEEZED_BUNCHED, SQUEEZED_EDGES))
    moved = SQUEEZED_BUNCH * (wide - edges)[:, None] * normals
    moved[:, 2] += SQUEEZED_FRONT * edges * (-normals[:, 1]).clamp(min=0)
    moved[:, 1] += SQUEEZED_LIFT * _near_line(points, movable, sign, SQUEEZED_LIFTED)
    return (moved / 1000).float()


def _near_line(points: Tensor, movable: Tensor, sign: float, height: float) -> Tensor:
    """[V] 0–1: how near the line where lids meet a vertex is; points [V, 3] of a shut face and the height, mm."""
    across = (points[:, 0] * sign - MEETING[0]) / MEETING_WIDTH
    return torch.exp(-(across**4) - ((points[:, 1] - MEETING[1]) / height) ** 2) * (points[:, 2] > 60) * movable


def lowered_tongue(template: Tensor, tongue: Tensor) -> Tensor:
    """The template [V, 3] with the tongue's vertices (indices) laid flatter and back."""
    points = template.clone()
    lain = points[tongue].double() * 1000
    forward = ((lain[:, 2] - 30.0) / 50.0).clamp(0, 1)  # 0 at the root, 1 at the tip
    above = (lain[:, 1] - TONGUE_FLOOR).clamp(min=0)
    lying = ((lain[:, 2] - TONGUE_ROOT[0]) / (TONGUE_ROOT[1] - TONGUE_ROOT[0])).clamp(0, 1)
    lain[:, 1] -= above * (1 - TONGUE_KEPT) * lying
    lain[:, 2] -= TONGUE_BACK * forward
    points[tongue] = (lain / 1000).float()
    return points
