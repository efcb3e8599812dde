"""Knows what the plots of an evaluation show: prediction by level, agreement, ROC, calibration, action units, slices.

Every function takes numbers and returns SVG text, drawn by `pain3d.figures`; empty input gives axes without data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d import figures
from pain3d.training.evaluation.comparison import signed

Floats = npt.NDArray[np.float64]
Curves = Sequence[tuple[str, npt.ArrayLike, npt.ArrayLike]]
MOST_POINTS: Final = 1500  # of the agreement plot; more only makes a blot
BINS: Final = 10  # of the calibration plot
LEAST_IN_BIN: Final = 10  # pictures; the share of fewer is mostly noise
STEPS: Final = 400  # of an axis that an eye can tell apart
SPAN: Final = (-0.7, 16.7)  # of PSPI


def levels_plot(truth: npt.ArrayLike, guess: npt.ArrayLike) -> str:
    """Predicted PSPI for each true level, as boxes.

    Args:
        truth: [N] PSPI, without NaN; rounded to whole levels.
        guess: [N] predicted.
    """
    levels, values = np.round(np.asarray(truth, float)), np.asarray(guess, float)
    found = np.unique(levels).tolist()
    return figures.box_plot(found, [values[levels == level] for level in found], ("true PSPI", "predicted PSPI"), SPAN)


def agreement_plot(truth: npt.ArrayLike, guess: npt.ArrayLike, limits: Sequence[float] | None) -> str:
    """Bland and Altman: the error over the mean of prediction and truth, with bias and limits of agreement."""
    x, y = np.asarray(truth, float), np.asarray(guess, float)
    error = y - x
    most = max(2.0, 2 * math.ceil(np.abs(error).max(initial=0) / 2))
    step = 2 if most <= 8 else 4
    every = max(1, -(-len(x) // MOST_POINTS))
    levels = [] if limits is None else [limits[0], (limits[0] + limits[1]) / 2, limits[1]]
    return figures.scatter(
        ((x + y) / 2)[::every],
        error[::every],
        ("mean of prediction and truth, PSPI", "prediction − truth, PSPI"),
        (SPAN, (-most, most)),
        ticks=(range(0, 17, 2), np.arange(-step * (most // step), most + 0.1, step).tolist()),
        opacity=0.3,
        levels=[(signed(level, 2), level) for level in levels],
        empty="no picture with a known PSPI",
    )


def roc_plot(curves: Curves) -> str:
    """ROC curves of up to three questions.

    Args:
        curves: Name, truth [N] without NaN and score [N] of each; a curve without both kinds isn't drawn.
    """
    lines: dict[str, tuple[npt.ArrayLike, npt.ArrayLike]] = {}
    for name, truth, score in curves:
        positive = np.asarray(truth, float) > 0.5
        both = positive.any() and not positive.all()
        lines[name] = _roc(positive, np.asarray(score, float)) if both else ((), ())
    return figures.curves(lines, ("false positive rate", "true positive rate"), "chance")


def calibration_plot(curves: Curves) -> str:
    """How often it is true what was given a probability, in ten bins; a dot's area is its share of the pictures.

    Args:
        curves: Name, truth [N] without NaN and probability [N] of each.
    """
    lines: dict[str, tuple[npt.ArrayLike, npt.ArrayLike]] = {}
    sizes: dict[str, npt.ArrayLike] = {}
    for name, truth, score in curves:
        positive, chance = np.asarray(truth, float) > 0.5, np.asarray(score, float)
        bins = np.minimum((chance * BINS).astype(int), BINS - 1)
        rows = [bins == number for number in range(BINS) if (bins == number).sum() >= LEAST_IN_BIN]
        lines[name] = [chance[here].mean() for here in rows], [positive[here].mean() for here in rows]
        sizes[name] = [here.mean() for here in rows]
    return figures.curves(lines, ("predicted probability", "share that is true"), "calibrated", sizes)


def units_plot(units: Mapping[str, Mapping[str, Any]]) -> str:
    """Correlation of each action unit, plain and given PSPI, with intervals; AU43's area under the ROC curve.

    Args:
        units: ``metrics["au"]``.
    """
    groups = {}
    for unit, found in units.items():
        names = {"auc": "AUC"} if "auc" in found else {"pearson": "r", "partial": "r given PSPI"}
        word = f"{unit} (AUC)" if "auc" in found else unit
        groups[word] = [(words, found[name], found["ci"][name]) for name, words in names.items()]
    return figures.grouped_bars(groups, "r; AUC for AU43")


def slices_plot(slices: Mapping[str, Mapping[str, Any]], metric: str, title: str, overall: float | None) -> str:
    """One metric for every word of every slice, with its interval; the line is the metric over all pictures.

    Args:
        slices: ``metrics["slices"]``.
        metric: ``"mae"`` or ``"mean_error"``.
        title: What the axis says.
        overall: The same metric over all pictures.
    """
    sections = {
        name: [(word, f"{found['pictures']:,}", found[metric], found["ci"][metric]) for word, found in words.items()]
        for name, words in slices.items()
    }
    return figures.dot_plot(sections, title, "pictures", overall)


def _roc(positive: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates from strict to lax; steps that no eye can tell apart are left out."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    true, false = np.cumsum(positive[order])[ends], np.cumsum(~positive[order])[ends]
    rates = np.stack([np.r_[0, false] / (~positive).sum(), np.r_[0, true] / positive.sum()], 1)
    kept = np.r_[True, (np.diff(np.round(rates * STEPS), axis=0) != 0).any(1)]
    kept[-1] = True
    return rates[kept, 0], rates[kept, 1]
