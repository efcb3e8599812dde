"""Knows whether a model is as far off as it says: the share of errors within its spread, and what makes that right."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pain3d.training.evaluation.predictions import Predictions
from pain3d.training.evaluation.recorder import Recorder

ONE, TWO = 0.683, 0.954  # share of a normal distribution within one and two standard deviations
LEAST: Final = 1e-6  # PSPI: a spread of nothing is divided by as that
UNKNOWN: Final = "no picture with a known PSPI"


def spread_scale(found: Predictions) -> float:
    """What the spreads of predictions must be multiplied by for ONE of the errors to lie within.

    1 where no PSPI is known or the model says no spread.
    """
    known = np.isfinite(found.pspi_true) & np.isfinite(found.pspi_std)
    if not known.any():
        return 1.0
    error = np.abs(found.pspi - found.pspi_true)[known]
    return float(np.quantile(error / np.maximum(found.pspi_std[known], LEAST), ONE))


def spread_metrics(recorder: Recorder) -> dict[str, Any]:
    """How far off a model says it is, beside how far off it was.

    Returns:
        ``mean`` of the spreads in PSPI; the share of errors ``within_1`` and ``within_2`` of them, where ONE and TWO
        are right; ``pearson`` of spread and |error|: 0 is a spread that tells nothing of the single picture.
    """
    test = recorder.test
    known = np.isfinite(test.pspi_true) & np.isfinite(test.pspi_std)
    reason = None if known.any() else UNKNOWN
    error, spread = np.abs(test.pspi - test.pspi_true)[known].astype(float), test.pspi_std[known].astype(float)
    varies = len(error) > 2 and error.std() > 0 and spread.std() > 0
    values = {
        "mean": float(spread.mean()) if len(spread) else np.nan,
        "within_1": float((error <= spread).mean()) if len(spread) else np.nan,
        "within_2": float((error <= 2 * spread).mean()) if len(spread) else np.nan,
        "pearson": float(np.corrcoef(error, spread)[0, 1]) if varies else np.nan,
    }
    fixed = reason or "errors or spreads don't vary"
    return {
        name: recorder.number(f"pspi.spread.{name}", value, fixed if not np.isfinite(value) else None)
        for name, value in values.items()
    }
