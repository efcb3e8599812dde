"""Knows how far the heads of a model contradict each other, and how its answers for a face are made to agree.

A model says PSPI, six action units and three chances with heads of their own, and PSPI is a sum of action units.
Nothing makes the heads agree: each is as right as it can be alone. The chances alone are in order by construction, see
`pain3d.training.model.heads.ordered`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.training.data.samples import THRESHOLDS, pspi_of
from pain3d.training.evaluation.predictions import Predictions

Floats = npt.NDArray[np.float64]
LARGEST: Final = np.array([5.0, 5.0, 5.0, 1.0])  # of AU4, of max(AU6, AU7), of max(AU9, AU10), of AU43
PAIRS: Final = (slice(1, 3), slice(3, 5))  # units of which the larger counts
MOST: Final = 0.95  # quantile that is told
HALVINGS: Final = 60  # of the interval that holds the shift: 2⁻⁶⁰ of it is below a rounding


def heads_apart(found: Predictions) -> dict[str, Any]:
    """How far PSPI, the PSPI of the action units (AU43 by its chance) and the chances are apart, over all pictures.

    Args:
        found: At least one picture.

    Returns:
        ``mean``, ``most_of_95`` (95 % of the pictures are at most so far apart) and ``largest`` of |PSPI − PSPI of the
        units|; ``mae_of_units``, the error of the latter where PSPI is known, else None; and ``sides``: for each
        threshold the share of pictures whose chance and PSPI stand on different sides of it.
    """
    of_units = pspi_of(found.au).astype(float)
    apart = np.abs(found.pspi - of_units)
    known = np.isfinite(found.pspi_true)
    return {
        "mean": float(apart.mean()),
        "most_of_95": float(np.quantile(apart, MOST)),
        "largest": float(apart.max()),
        "mae_of_units": float(np.abs(of_units - found.pspi_true)[known].mean()) if known.any() else None,
        "sides": {
            str(least): float(((found.binary[:, place] >= 0.5) != (found.pspi >= least)).mean())
            for place, least in enumerate(THRESHOLDS)
        },
    }


def consistent_units(au: npt.ArrayLike, pspi: npt.ArrayLike) -> Floats:
    """Action units whose PSPI is the given one, as near as can be to those that were said.

    PSPI = AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43 is a sum of four terms tᵢ on 0 to sᵢ. Of all that sum to the
    given PSPI, tᵢ + λ sᵢ² cut to 0–sᵢ has the least Σ (change / sᵢ)²; the sum rises with λ, which is found by halving.
    Of a pair the larger is raised, or what is above the term is cut to it.

    Args:
        au: [N, 6] five intensities 0–5 and the chance of AU43, in the order of UNITS.
        pspi: [N] 0–16.

    Returns:
        [N, 6].
    """
    said, wanted = np.array(au, float), np.asarray(pspi, float)
    terms = np.stack([said[:, 0], *(said[:, pair].max(1) for pair in PAIRS), said[:, 5]], 1)
    # A shift of ±s / s² moves every term over its whole range: 1 for AU43, 0.2 for the others.
    low, high = np.full(len(said), -1.0), np.full(len(said), 1.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = _shifted(terms, middle).sum(1) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    moved = _shifted(terms, high)
    said[:, 0], said[:, 5] = moved[:, 0], moved[:, 3]
    for place, pair in enumerate(PAIRS, 1):
        term = moved[:, [place]]
        larger = said[:, pair] == said[:, pair].max(1, keepdims=True)
        said[:, pair] = np.where(larger, term, np.minimum(said[:, pair], term))
    return said


def consistent_chances(chances: npt.ArrayLike, pspi: npt.ArrayLike) -> Floats:
    """Chances [N, 3] of PSPI ≥ 1, 2, 3, at least a half where PSPI [N] reaches the threshold, at most a half elsewhere.

    Chances in order stay so.
    """
    said, reached = np.asarray(chances, float), np.asarray(pspi, float)[:, None] >= np.array(THRESHOLDS)
    return np.where(reached, np.maximum(said, 0.5), np.minimum(said, 0.5))


def _shifted(terms: Floats, shift: Floats) -> Floats:
    return np.asarray(np.clip(terms + shift[:, None] * LARGEST**2, 0, LARGEST))
