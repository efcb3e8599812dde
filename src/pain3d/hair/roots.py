"""Knows where hairs grow: places on a head's scalp, evenly spread, of which each person's hairline leaves some."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pain3d.hair.hull import Floats
from pain3d.head.model import Head
from pain3d.random import keyed_generator
from pain3d.skin.hairline import HAIRLINE, outline_distance

MOST = 3600  # roots that anybody has
CANDIDATES = 9000
BEYOND = 10.0  # mm before the lowest hairline that hair may grow


@dataclass(frozen=True)
class Roots:
    """Places on a head that may grow hair, in an order of which every beginning is evenly spread.

    Attributes:
        corners: [N, 3] vertices of the face of each.
        shares: [N, 3] barycentric.
        places: [N, 3] mm on the template.
    """

    corners: npt.NDArray[np.int64]
    shares: Floats
    places: Floats


@lru_cache(maxsize=4)
def scalp_roots(head: Head) -> Roots:
    """The places of a head."""
    points = head.template.detach().cpu().double().numpy() * 1000
    faces = head.faces.cpu().numpy()[head.face_parts.cpu().numpy() == head.part_names.index("skin")].astype(np.int64)
    corners = points[faces]
    outline = [(float(degrees), float(height)) for degrees, height, _ in HAIRLINE]
    middle = corners.mean(1)
    kept = outline_distance(middle, outline) > -BEYOND - 6
    ears = np.zeros(len(points), bool)
    ears[head.laid_ears()[0].cpu().numpy()] = True
    kept &= ~(ears[faces].all(1))
    faces, corners = faces[kept], corners[kept]
    area = np.sqrt((np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) ** 2).sum(1))
    generator = keyed_generator(0, "hair/roots")
    chosen = np.searchsorted(np.cumsum(area) / area.sum(), generator.random(CANDIDATES)).clip(0, len(faces) - 1)
    a, b = np.sqrt(generator.random(CANDIDATES)), generator.random(CANDIDATES)
    shares = np.stack([1 - a, a * (1 - b), a * b], 1)
    places = np.einsum("nkc,nk->nc", corners[chosen], shares)
    inside = outline_distance(places, outline) > -BEYOND
    chosen, shares, places = chosen[inside], shares[inside], places[inside]
    order = _spread(places.astype(np.float32), min(MOST, len(places)))
    return Roots(faces[chosen[order]], shares[order], places[order])


def _spread(places: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """An order [count] in which each place is the farthest from all before it."""
    order = np.zeros(count, np.int64)
    nearest = ((places - places[0]) ** 2).sum(1)
    x, y, z = (np.ascontiguousarray(c) for c in places.T)
    for k in range(1, count):
        one = int(nearest.argmax())
        order[k] = one
        px, py, pz = places[one]
        np.minimum(nearest, (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2, out=nearest)
    return order
