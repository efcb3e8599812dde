"""Knows for whom a model is right: the same metrics for every word of every slice, such as sex or skin tone.

In generated data the words are settings of a generator, not claims about people. A gap between words may be chance:
that is what the intervals are for.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pain3d.training.data.samples import SKIN_TONES, YAWS
from pain3d.training.evaluation import agreement
from pain3d.training.evaluation.bootstrap import interval, resampled_people, resampled_ranking
from pain3d.training.evaluation.predictions import Predictions

# Words with an order of their own, in any case; others stand in the order of the alphabet.
ORDER: Final = (*("young", "old"), *(word for _, word in SKIN_TONES), *(word for _, word in YAWS))


def bias_table(test: Predictions, *, seed: int = 0, resamples: int = 1000) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures by slice and word.

    Args:
        test: Predictions for the test people.
        seed: Of the resamples.
        resamples: Number of them.

    Returns:
        ``{"sex": {"female": {"pictures", "subjects", "pearson", "mae", "mean_error", "auroc", "ci": {"mae",
        "mean_error"}}, ...}}``, and the reasons of what is None, by path.
    """
    reasons: dict[str, str] = {}
    table: dict[str, Any] = {}
    for name, column in test.slices.items():
        words = np.array(column, object)
        table[name] = {
            word: _metrics(test.only(words == word), f"slices.{name}.{word}", reasons, seed, resamples)
            for word in sorted(set(column), key=_place)
        }
    return table, reasons


def _place(word: str) -> tuple[int, str]:
    low = word.lower()
    return (ORDER.index(low) if low in ORDER else len(ORDER), word)


def _metrics(part: Predictions, path: str, reasons: dict[str, str], seed: int, resamples: int) -> dict[str, Any]:
    subject, people = part.subject_index, len(part.people)
    sums = agreement.sums_by_subject(part.pspi_true, part.pspi, subject, people)
    total = sums.sum(0)
    drawn = resampled_people(people, resamples, seed)
    result: dict[str, Any] = {"pictures": len(part), "subjects": people}
    why = agreement.undefined(total, "PSPI")
    none = None if total[0] else "no picture with a known PSPI"
    for name, metric, reason in (
        ("pearson", agreement.pearson, why),
        ("mae", agreement.mae, none),
        ("mean_error", agreement.bias, none),
    ):
        result[name] = None if reason else float(metric(total))
        if reason:
            reasons[f"{path}.{name}"] = reason
    known = np.isfinite(part.binary_true[:, 0])
    positive = part.binary_true[known, 0] > 0.5
    if positive.any() and not positive.all():
        once = np.ones((1, people), np.int64)  # everybody once: the metric itself
        result["auroc"] = float(resampled_ranking(positive, part.binary[known, 0], subject[known], once)[0])
    else:
        result["auroc"] = None
        reasons[f"{path}.auroc"] = f"the labels have no {'negatives' if positive.any() else 'positives'}"
    result["ci"] = {}
    for name, metric in (("mae", agreement.mae), ("mean_error", agreement.bias)):
        bounds, reason = interval(metric(drawn @ sums), people)
        result["ci"][name] = bounds
        if bounds is None:
            reasons[f"{path}.ci.{name}"] = none or reason or ""
    return result
