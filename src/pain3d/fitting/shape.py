"""Knows which faces there may be: coordinates of identity in which every direction is as likely as any other.

`sample_identity` draws local shapes with a standard deviation each, left and right nearly alike. Turned so that the
first coordinates move the front of the face most, a few dozen of them hold what a picture can tell.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.head.identity import MAX_AGE, MIN_AGE, SIDE_CORRELATION, Identity
from pain3d.head.model import Head

Doubles = npt.NDArray[np.float64]

# Of the packaged head 80 of 157 coordinates hold 98.5 % of the variance of the face's front; the rest is 0.24 mm rms.
COORDINATES: Final = 80
# Age, sex, share of the first two ancestries, muscle, weight: mean and deviation of what `sample_identity` draws when
# all ages, sexes and ancestries are as likely, and the limits of `Identity`.
AXES_MEAN: Final = (54.0, 0.5, 1 / 3, 1 / 3, 0.5, 0.5)
AXES_DEVIATION: Final = (22.0, 0.42, 0.36, 0.36, 0.115, 0.18)
AXES_LOW: Final = (MIN_AGE, 0.0, 0.0, 0.0, 0.0, 0.0)
AXES_HIGH: Final = (MAX_AGE, 1.0, 1.0, 1.0, 1.0, 1.0)
FRONT: Final = (0.0, -0.10)  # metres: z and y from which a vertex of the skin belongs to the face

_cache: weakref.WeakKeyDictionary[Head, ShapePrior] = weakref.WeakKeyDictionary()


class ShapePrior(NamedTuple):
    """Coordinates of a head's local shapes, each of mean 0 and deviation 1.

    Attributes:
        local: [L, K] standard deviations of each local shape per coordinate.
        front: [V] bool, the vertices of the face that decided which directions come first.
    """

    local: Doubles
    front: npt.NDArray[np.bool_]

    def person(self, axes: Doubles, coordinates: Doubles) -> Identity:
        """Whom axes [6] and coordinates [K] mean; axes lie within their limits."""
        age, sex, first, second, muscle, weight = axes.tolist()
        whole = max(1.0, first + second)
        first, second = first / whole, second / whole
        local = (self.local @ coordinates).tolist()
        return Identity(age, sex, (first, second, max(0.0, 1 - first - second)), muscle, weight, tuple(local))


def shape_prior(head: Head) -> ShapePrior:
    """The coordinates of a head, made once."""
    if head not in _cache:
        template, skin = head.template.double().cpu().numpy(), head.part_names.index("skin")
        front = (template[:, 2] > FRONT[0]) & (template[:, 1] > FRONT[1])
        front &= head.vertex_parts.cpu().numpy() == skin
        shapes = head.identity_basis[head.macro_count :].double().cpu().numpy()[:, front]
        moved = shapes.reshape(len(shapes), -1) * head.local_sigma[:, None]
        independent = independent_sides(head.local_names)
        _, directions = np.linalg.eigh(independent.T @ (moved @ moved.T) @ independent)
        _cache[head] = ShapePrior(independent @ directions[:, ::-1][:, :COORDINATES], front)
    return _cache[head]


def independent_sides(names: Sequence[str]) -> Doubles:
    """[L, L] from independent standard normal draws to local coefficients whose sides correlate, as `sample_local`."""
    place = {name: row for row, name in enumerate(names)}
    mixed = np.eye(len(names))
    for name, row in place.items():
        twin = place.get("l-" + name[2:]) if name.startswith("r-") else None
        if twin is not None:
            mixed[row, twin], mixed[row, row] = SIDE_CORRELATION, math.sqrt(1 - SIDE_CORRELATION**2)
    return mixed
