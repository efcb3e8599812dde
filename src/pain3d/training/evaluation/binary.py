"""Knows the metrics of a binary question: how well scores rank, and the answers at a threshold chosen elsewhere.

What ranks and what balances stands first: on data with much pain the F1 of whoever says yes to everybody is high.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pain3d.training.evaluation.bootstrap import resampled_ranking
from pain3d.training.evaluation.recorder import Recorder
from pain3d.training.evaluation.thresholds import DecisionThreshold

Floats = npt.NDArray[np.float64]


def binary_metrics(
    recorder: Recorder, path: str, truth: Floats, score: Floats, threshold: DecisionThreshold
) -> dict[str, Any]:
    """Ranking and, at the threshold, balanced accuracy, MCC, precision, recall and F1 of one question.

    Args:
        recorder: Notes what can't be had, below ``path``.
        path: As ``thresholds.1``.
        truth: [N] 0, 1 or NaN.
        score: [N].
        threshold: From validation people.
    """
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

    known = np.isfinite(truth)
    positive, values, subject = truth[known] > 0.5, score[known], recorder.subject[known]
    lone = None if positive.any() else "the labels have no positives"
    lone = lone if lone or not positive.all() else "the labels have no negatives"
    result: dict[str, Any] = {"positives": int(positive.sum()), "negatives": int((~positive).sum())}
    ranked = {"auroc": roc_auc_score, "average_precision": average_precision_score}
    for name, ranking in ranked.items():
        result[name] = recorder.number(f"{path}.{name}", np.nan if lone else float(ranking(positive, values)), lone)
    result["threshold"] = threshold.mean
    if threshold.values is None:
        recorder.undefined[f"{path}.threshold"] = threshold.reason or ""
    reason = threshold.reason or (None if positive.any() else lone)
    unbalanced = threshold.reason or lone
    chosen = np.zeros(len(values), bool) if threshold.values is None else values >= threshold.values[known]
    by_person = _counts(positive, chosen, subject, recorder.people)
    for name, metric in (("balanced_accuracy", _balanced_accuracy), ("mcc", _mcc)):
        value = np.nan if unbalanced else float(metric(by_person.sum(0)))
        result[name] = recorder.number(f"{path}.{name}", value, unbalanced)
    scores = (np.nan,) * 3
    if reason is None:
        scores = precision_recall_fscore_support(positive, chosen, average="binary", zero_division=0.0)[:3]
    for name, value in zip(("precision", "recall", "f1"), scores, strict=True):
        result[name] = recorder.number(f"{path}.{name}", float(value), reason)
    # F1 of whoever says yes to everybody, recall 1 and precision p: what an F1 must beat.
    share = float(positive.mean()) if len(positive) else np.nan
    none = None if len(positive) else "no picture with a known label"
    result["f1_always_yes"] = recorder.number(f"{path}.f1_always_yes", 2 * share / (1 + share), none)
    result["ci"] = {
        "auroc": recorder.interval(
            f"{path}.ci.auroc", lambda: resampled_ranking(positive, values, subject, recorder.drawn), lone
        ),
        "balanced_accuracy": recorder.interval(
            f"{path}.ci.balanced_accuracy", lambda: _balanced_accuracy(recorder.drawn @ by_person), unbalanced
        ),
        "f1": recorder.interval(f"{path}.ci.f1", lambda: _f1(recorder.drawn @ by_person), reason),
    }
    return result


def _counts(
    positive: npt.NDArray[np.bool_], chosen: npt.NDArray[np.bool_], subject: npt.NDArray[np.int64], people: int
) -> Floats:
    """How many answers of each person are rightly yes, wrongly yes, wrongly no and rightly no, [S, 4]."""
    kinds = (positive & chosen, ~positive & chosen, positive & ~chosen, ~positive & ~chosen)
    return np.stack([np.bincount(subject, kind, people) for kind in kinds], 1)


def _balanced_accuracy(counts: Floats) -> Floats:
    """Mean of the shares of positives and of negatives that are told right; counts [..., 4]; NaN without one kind."""
    right_yes, wrong_yes, wrong_no, right_no = np.moveaxis(counts, -1, 0)
    return (_share(right_yes, right_yes + wrong_no) + _share(right_no, right_no + wrong_yes)) / 2


def _f1(counts: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN); counts [..., 4]; NaN where there are no positives."""
    right_yes, wrong_yes, wrong_no, _ = np.moveaxis(counts, -1, 0)
    positives = right_yes + wrong_no
    return np.where(positives > 0, _share(2 * right_yes, 2 * right_yes + wrong_yes + wrong_no), np.nan)


def _mcc(counts: Floats) -> Floats:
    """Matthews' correlation of answer and truth; counts [..., 4]. 0 where all answers are the same.

    (TP TN − FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)) (Matthews 1975, Biochim Biophys Acta 405:442).
    """
    right_yes, wrong_yes, wrong_no, right_no = np.moveaxis(counts, -1, 0)
    below = np.sqrt((right_yes + wrong_yes) * (right_yes + wrong_no) * (right_no + wrong_yes) * (right_no + wrong_no))
    return np.asarray(np.nan_to_num(_share(right_yes * right_no - wrong_yes * wrong_no, below)))


def _share(above: Floats, below: Floats) -> Floats:
    """A quotient, NaN where nothing is below the line."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below > 0)))
