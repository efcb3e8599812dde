"""Knows how the shapes of one head become the units of another: regularised least squares on displacement fields.

c = argmin Σ_v w_v |Σ_e c_e b_e(v) − d(v)|² + λ |c|²,   λ = RIDGE · trace(BᵀWB) / E

(Tikhonov). b_e are the shapes at hand, d is what a unit of ours does to the same points. What the shapes can't do stays
as the residual: nothing is said to be what it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RIDGE = 1e-3  # keeps coefficients of shapes that look alike small; costs under 1 % of a field that the shapes can make


@dataclass(frozen=True)
class UnitFit:
    """A table of units in terms of shapes, with what is left over.

    Attributes:
        units: [K] names of ours.
        shapes: [E] names of the shapes at hand.
        coefficients: [K, E] of the shapes, at weight 1 of the unit.
        residual_mm: [K] root mean square over the points that the unit moves, millimetres.
        share: [K] of the unit's movement that the shapes leave over: 0 is all there, 1 is nothing.
    """

    units: tuple[str, ...]
    shapes: tuple[str, ...]
    coefficients: Floats
    residual_mm: Floats
    share: Floats


def fit_units(
    units: Sequence[str],
    fields: Floats,
    shapes: Sequence[str],
    basis: Floats,
    weight: Floats,
    *,
    ridge: float = RIDGE,
    least: float = 0.0,
) -> UnitFit:
    """Fit units by shapes.

    Args:
        units: [K] names.
        fields: [K, V, 3] metres, what each does to the points of the shapes' head.
        shapes: [E] names.
        basis: [E, V, 3] metres per unit of coefficient.
        weight: [V] 0–1, how much a point counts.
        ridge: λ's share.
        least: Coefficients smaller than this share of a unit's largest are left out, and the rest fitted again.
    """
    scale = np.sqrt(weight)[:, None]
    columns = (basis * scale).reshape(len(basis), -1).T
    goals = (fields * scale).reshape(len(fields), -1).T
    normal = columns.T @ columns
    penalty = ridge * np.trace(normal) / max(len(basis), 1)
    right = columns.T @ goals
    found = np.linalg.solve(normal + penalty * np.eye(len(basis)), right).T
    if least:
        for row in range(len(found)):
            kept = np.flatnonzero(np.abs(found[row]) >= least * np.abs(found[row]).max())
            again = np.linalg.solve(normal[np.ix_(kept, kept)] + penalty * np.eye(len(kept)), right[kept, row])
            found[row] = 0
            found[row, kept] = again
    over = np.linalg.norm((columns @ found.T - goals).T.reshape(len(fields), -1, 3), axis=2)
    moved = np.linalg.norm(goals.T.reshape(len(fields), -1, 3), axis=2)
    touched = np.maximum((moved > 2e-4).sum(1), 1)  # points that move by a fifth of a millimetre
    whole = np.maximum((moved**2).sum(1), 1e-18)
    return UnitFit(
        units=tuple(units),
        shapes=tuple(shapes),
        coefficients=found,
        residual_mm=1000 * np.sqrt((over**2).sum(1) / touched),
        share=np.sqrt((over**2).sum(1) / whole),
    )
