"""Knows how sure a metric is: 95 % intervals by drawing whole people again, since pictures of a person hang together.

The draws belong to (seed, number of people) and to nothing else: two models that were tested on the same people get
the same resamples, so their difference can be judged pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.random import keyed_generator
from pain3d.training.evaluation import agreement
from pain3d.training.evaluation.predictions import Predictions

Floats = npt.NDArray[np.float64]
LEVEL: Final = 0.95
AT_ONCE: Final = 2**21  # weights held at a time, 16 MB
MOST_UNDEFINED: Final = 0.1  # share of resamples without the metric above which an interval would be of the others only


def resampled_people(people: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each person is drawn, [R, S]; every row sums to S."""
    shares = np.full(max(people, 1), 1 / max(people, 1))
    drawn = keyed_generator(seed, "evaluation/bootstrap", people).multinomial(people, shares, resamples)
    return np.asarray(drawn[:, :people], np.int64)


def interval(metrics: npt.ArrayLike, people: int) -> tuple[list[float] | None, str | None]:
    """The interval of 95 % of a metric: percentiles over resamples, farther out the fewer people there are.

    Plain percentiles are too narrow by sqrt((S - 1) / S) and by what lies between normal and Student's distribution.
    So the tails are not 2.5 % but Phi(-sqrt(S / (S - 1)) t), t the 97.5 % point of Student's with S - 1 degrees of
    freedom (Hesterberg 2015, The American Statistician 69:371, "expanded percentile"): 1.8 % for 25 people.

    Args:
        metrics: [R]; NaN where a resample doesn't have it.
        people: S, how many people were drawn again.

    Returns:
        ``[low, high]`` and None, or None and the reason.
    """
    from scipy.stats import norm, t

    if people < 2:
        return None, "one subject: nobody to draw again"
    values = np.asarray(metrics, float)
    known = values[np.isfinite(values)]
    if not len(values):
        return None, "no resamples were asked for"
    if len(known) < (1 - MOST_UNDEFINED) * len(values):
        return None, f"{len(values) - len(known)} of {len(values)} resamples don't have it"
    tail = float(norm.cdf(-np.sqrt(people / (people - 1)) * t.ppf((1 + LEVEL) / 2, people - 1)))
    low, high = np.quantile(known, [tail, 1 - tail])
    return [float(low), float(high)], None


def resampled_ranking(
    truth: npt.ArrayLike, score: npt.ArrayLike, subject: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64]
) -> Floats:
    """Area under the ROC curve in every resample, [R]; NaN where one has no positives or no negatives.

    The chance that a positive outranks a negative, ties half, each pair weighted by how often both people were drawn.

    Args:
        truth: [N] 0 or 1, without NaN.
        score: [N].
        subject: [N] person of each row.
        drawn: [R, S] how often each person was drawn.
    """
    positive = np.asarray(truth, float) > 0.5
    order = np.argsort(np.asarray(score, float), kind="stable")
    sorted_scores = np.asarray(score, float)[order]
    if not len(order):
        return np.full(len(drawn), np.nan)
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_scores) > 0])  # a group of equal scores begins
    positive, people = positive[order], subject[order]
    areas = []
    step = max(1, AT_ONCE // len(order))
    for begin in range(0, len(drawn), step):
        weights = drawn[begin : begin + step][:, people].astype(float)
        above = np.add.reduceat(weights * positive, starts, axis=1)
        below = np.add.reduceat(weights * ~positive, starts, axis=1)
        outranked = np.cumsum(below, axis=1) - below / 2
        pairs = above.sum(1) * below.sum(1)
        areas.append(np.divide((above * outranked).sum(1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))
    return np.concatenate(areas) if areas else np.empty(0)


def difference(first: Predictions, second: Predictions, *, seed: int = 0, resamples: int = 1000) -> dict[str, Any]:
    """Whether one model beats another on the same pictures: first − second for PSPI, with intervals over pairs.

    Args:
        first: Predictions of one model.
        second: Predictions of the other, for the same pictures in any order.
        seed: Of the resamples.
        resamples: Number of them.

    Returns:
        ``{"pearson": {"difference", "ci"}, "icc": ..., "mae": ..., "rmse": ...}``; numbers or None.

    Raises:
        RefusedError: The pictures aren't the same.
    """
    other = {name: row for row, name in enumerate(second.ids)}
    missing = [name for name in first.ids if name not in other]
    if missing or len(other) != len(first):
        culprit = missing[0] if missing else next(name for name in second.ids if name not in set(first.ids))
        raise RefusedError(f"predictions of two models: '{culprit}' isn't in both")
    second = second.only([other[name] for name in first.ids])
    people = first.subject_index
    drawn = resampled_people(len(first.people), resamples, seed)
    sums = [agreement.sums_by_subject(model.pspi_true, model.pspi, people, drawn.shape[1]) for model in (first, second)]
    metrics: dict[str, Callable[[Floats], Floats]] = {
        "pearson": agreement.pearson,
        "icc": agreement.icc,
        "mae": agreement.mae,
        "rmse": agreement.rmse,
    }
    result: dict[str, Any] = {}
    for name, metric in metrics.items():
        point = float(metric(sums[0].sum(0)) - metric(sums[1].sum(0)))
        over = metric(drawn @ sums[0]) - metric(drawn @ sums[1])
        result[name] = {"difference": point if np.isfinite(point) else None, "ci": interval(over, drawn.shape[1])[0]}
    return result
