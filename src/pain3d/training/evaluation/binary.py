"""Knows the metrics of a binary question: how well scores rank, and F1 at a threshold chosen elsewhere."""

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
    """Ranking and, at the threshold, F1, precision and recall of one question.

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
    chosen = np.zeros(len(values), bool) if threshold.values is None else values >= threshold.values[known]
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
        "f1": recorder.interval(
            f"{path}.ci.f1", lambda: _resampled_f1(positive, chosen, subject, recorder.drawn), reason
        ),
    }
    return result


def _resampled_f1(
    positive: npt.NDArray[np.bool_],
    chosen: npt.NDArray[np.bool_],
    subject: npt.NDArray[np.int64],
    drawn: npt.NDArray[np.int64],
) -> Floats:
    """F1 in every resample, at the same threshold; NaN where one has no positives."""
    hits, wanted, predicted = (
        drawn @ np.bincount(subject, kind, drawn.shape[1]) for kind in (positive & chosen, positive, chosen)
    )
    return np.asarray(np.divide(2 * hits, wanted + predicted, out=np.full(len(hits), np.nan), where=wanted > 0))
