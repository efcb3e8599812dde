"""Knows where a score becomes a yes: decision thresholds are chosen on validation people only, never on the test's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.training.data.samples import THRESHOLDS, UNITS
from pain3d.training.evaluation.predictions import Predictions

Floats = npt.NDArray[np.float64]
HEADS: Final = tuple(f"binary {least}" for least in THRESHOLDS)  # the binary heads' probabilities
SCORES: Final = tuple(f"PSPI {least}" for least in THRESHOLDS)  # the regressed PSPI, read as a score
EYES: Final = "AU43"
NO_VALIDATION: Final = "there are no validation pictures to choose a threshold on"


@dataclass(frozen=True)
class DecisionThreshold:
    """A threshold: at it and above it the answer is yes.

    Args:
        values: [N] threshold of each test picture (folds have their own), or None.
        reason: Why there is none.
    """

    values: Floats | None
    reason: str | None = None

    @property
    def mean(self) -> float | None:
        """The threshold; the mean over pictures where folds differ."""
        return None if self.values is None or not len(self.values) else float(self.values.mean())


def binary_questions(predictions: Predictions) -> dict[str, tuple[Floats, Floats]]:
    """Truth and score [N] of every yes-or-no question, by name; a truth may be NaN."""
    questions: dict[str, tuple[Floats, Floats]] = {}
    for place in range(len(THRESHOLDS)):
        truth = predictions.binary_true[:, place].astype(float)
        questions[HEADS[place]] = (truth, predictions.binary[:, place].astype(float))
        questions[SCORES[place]] = (truth, predictions.pspi.astype(float))
    eyes = UNITS.index(EYES)
    closed = predictions.au_true[:, eyes].astype(float)
    questions[EYES] = (np.where(np.isnan(closed), np.nan, closed >= 0.5), predictions.au[:, eyes].astype(float))
    return questions


def choose_thresholds(validation: Predictions | None, pictures: int) -> dict[str, DecisionThreshold]:
    """The threshold of every question, for so many test pictures."""
    if validation is None or not len(validation):
        return dict.fromkeys((*HEADS, *SCORES, EYES), DecisionThreshold(None, NO_VALIDATION))
    thresholds = {}
    for name, (truth, score) in binary_questions(validation).items():
        at, reason = best_threshold(truth, score)
        thresholds[name] = DecisionThreshold(None, reason) if at is None else DecisionThreshold(np.full(pictures, at))
    return thresholds


def join_thresholds(folds: Sequence[dict[str, DecisionThreshold]]) -> dict[str, DecisionThreshold]:
    """Thresholds of pooled folds: each picture keeps its own fold's."""
    joined = {}
    for name in folds[0]:
        parts: list[Floats] = []
        reason = None
        for place, fold in enumerate(folds):
            values = fold[name].values
            if values is None:
                reason = reason or f"fold {place}: {fold[name].reason}"
            else:
                parts.append(values)
        joined[name] = DecisionThreshold(np.concatenate(parts)) if reason is None else DecisionThreshold(None, reason)
    return joined


def best_threshold(truth: Floats, score: Floats) -> tuple[float | None, str | None]:
    """The threshold with the best F1, half-way between two scores; of equal ones the middle one.

    A constant score can only say yes to all, and so it does.

    Args:
        truth: [N] 0, 1 or NaN.
        score: [N].

    Returns:
        The threshold and None, or None and the reason.
    """
    known = np.isfinite(truth)
    positive, values = truth[known] > 0.5, score[known]
    if not positive.any():
        return None, "the validation pictures have no positives"
    if positive.all():
        return None, "the validation pictures have no negatives"
    levels, place = np.unique(values, return_inverse=True)
    hits, faults = (np.bincount(place, kind, len(levels)) for kind in (positive, ~positive))
    true, false = (np.cumsum(found[::-1])[::-1] for found in (hits, faults))  # at or above each level
    f1 = 2 * true / (true + false + positive.sum())  # 2 TP / (2 TP + FP + FN)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)  # equal but for the rounding of a division
    chosen = int(best[(len(best) - 1) // 2])
    below = levels[chosen - 1] if chosen else levels[chosen]
    return float((below + levels[chosen]) / 2), None
