"""Knows the plots of a report: prediction by level, agreement, ROC, calibration, action units, slices.

Every function takes numbers and returns SVG text; empty input gives axes without data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.training.evaluation.axes import BOTTOM, Axes
from pain3d.training.evaluation.comparison import bounded, signed

Floats = npt.NDArray[np.float64]
NO_DATA: Final = "no picture with a known PSPI"
MOST_POINTS: Final = 1500  # of the agreement plot; more only makes a blot
BINS: Final = 10  # of the calibration plot
LEAST_IN_BIN: Final = 10  # pictures; the share of fewer is mostly noise
CURVES: Final = ("curve1", "curve2", "curve3")  # classes of the three thresholds, told apart by dashes too
LETTER: Final = 6.6  # px, mean width of a letter of 12 px
LINE: Final = 20.0  # px per word of the slices


def levels_plot(truth: npt.ArrayLike, guess: npt.ArrayLike) -> str:
    """Predicted PSPI for each true level: quartiles as a box, 5 to 95 % as a whisker, the mean as a dot.

    Args:
        truth: [N] PSPI, without NaN; rounded to whole levels.
        guess: [N] predicted.
    """
    levels, values = np.round(np.asarray(truth, float)), np.asarray(guess, float)
    axes = Axes((-0.7, 16.7), (-0.7, 16.7), 400)
    axes.frame(range(0, 17, 2), range(0, 17, 2), "true PSPI", "predicted PSPI")
    axes.line([(0, 0), (16, 16)], "even", "prediction = truth")
    if not len(levels):
        axes.words((axes.left + axes.right) / 2, axes.y(8), NO_DATA, "value middle halo")
    for level in np.unique(levels):
        here = values[levels == level]
        low, first, middle, third, high = np.quantile(here, [0.05, 0.25, 0.5, 0.75, 0.95])
        said = f"PSPI {level:g}: {len(here)} pictures, mean {here.mean():.2f}, median {middle:.2f}"
        axes.line([(level, low), (level, high)], "whisker")
        axes.box((level - 0.32, level + 0.32), (first, third), "box", said)
        axes.line([(level - 0.32, middle), (level + 0.32, middle)], "median")
        axes.dot(level, here.mean(), "mean", 3, said)
    return axes.svg("predicted PSPI for each true level")


def agreement_plot(truth: npt.ArrayLike, guess: npt.ArrayLike, limits: Sequence[float] | None) -> str:
    """Bland and Altman: the error over the mean of prediction and truth, with bias and limits of agreement."""
    x, y = np.asarray(truth, float), np.asarray(guess, float)
    mean, error = (x + y) / 2, y - x
    most = max(2.0, 2 * math.ceil(np.abs(error).max(initial=0) / 2))
    step = 2 if most <= 8 else 4
    axes = Axes((-0.5, 16.5), (-most, most), 400, right=50)
    ticks = np.arange(-step * (most // step), most + 0.1, step)
    axes.frame(range(0, 17, 2), [float(t) for t in ticks], "mean of prediction and truth", "prediction − truth")
    every = max(1, -(-len(mean) // MOST_POINTS))
    for place, off in zip(mean[::every], error[::every], strict=True):
        axes.dot(place, off, "dot")
    if not len(mean):
        axes.words((axes.left + axes.right) / 2, axes.y(0) - 6, NO_DATA, "value middle halo")
    if limits is not None:
        low, high = limits
        for value, kind in ((low, "limit"), ((low + high) / 2, "bias"), (high, "limit")):
            axes.line([(-0.5, value), (16.5, value)], kind)
            axes.words(axes.right + 6, axes.y(value) + 4, signed(value, 2), "value")
    return axes.svg("error over the mean of prediction and truth")


def roc_plot(curves: Sequence[tuple[str, npt.ArrayLike, npt.ArrayLike]]) -> str:
    """ROC curves of up to three questions.

    Args:
        curves: Name, truth [N] without NaN and score [N] of each; a curve without both kinds isn't drawn.
    """
    axes = Axes((0, 1), (0, 1), 400)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.frame(ticks, ticks, "false alarms, share of pictures without", "found, share of pictures with")
    axes.line([(0, 0), (1, 1)], "even", "chance")
    for place, (name, truth, score) in enumerate(curves):
        positive = np.asarray(truth, float) > 0.5
        if positive.any() and not positive.all():
            false, true = _roc(positive, np.asarray(score, float))
            axes.line(list(zip(false.tolist(), true.tolist(), strict=True)), CURVES[place], name)
    _key(axes, [name for name, _, _ in curves])
    return axes.svg("ROC curves")


def calibration_plot(curves: Sequence[tuple[str, npt.ArrayLike, npt.ArrayLike]]) -> str:
    """How often it is true what was said with a probability, in ten bins; a dot's area is its share of the pictures.

    Args:
        curves: Name, truth [N] without NaN and probability [N] of each.
    """
    axes = Axes((0, 1), (0, 1), 400)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.frame(ticks, ticks, "predicted probability", "share that is true")
    axes.line([(0, 0), (1, 1)], "even", "calibrated")
    for place, (name, truth, score) in enumerate(curves):
        positive, chance = np.asarray(truth, float) > 0.5, np.asarray(score, float)
        bins = np.minimum((chance * BINS).astype(int), BINS - 1)
        points = []
        for number in range(BINS):
            here = bins == number
            if here.sum() >= LEAST_IN_BIN:
                points.append((float(chance[here].mean()), float(positive[here].mean()), int(here.sum())))
        axes.line([(x, y) for x, y, _ in points], CURVES[place], name)
        for x, y, count in points:
            radius = max(2.5, 11 * math.sqrt(count / len(chance)))
            axes.dot(x, y, f"{CURVES[place]} spot", radius, f"{name}: {y:.0%} of {count} pictures at {x:.0%}")
    _key(axes, [name for name, _, _ in curves])
    return axes.svg("calibration of the probabilities")


def units_plot(units: Mapping[str, Mapping[str, Any]]) -> str:
    """Correlation of each action unit, plain and given PSPI, with intervals; AU43's area under the ROC curve.

    Args:
        units: ``metrics["au"]``.
    """
    axes = Axes((-0.5, len(units) - 0.5), (min(0.0, _lowest(units)), 1), 300)
    axes.frame((), [t / 4 for t in range(math.floor(4 * min(0.0, _lowest(units))), 5)], "", "r; AUC for AU43")
    for place, (unit, figures) in enumerate(units.items()):
        pairs = [("pearson", -0.19, "bar"), ("partial", 0.19, "bar pale")]
        if "auc" in figures:
            pairs = [("auc", 0.0, "bar")]
        for name, off, kind in pairs:
            value = figures[name]
            if value is None:
                axes.words(axes.x(place + off), axes.y(0) - 4, "n/a", "label middle")
                continue
            bounds = figures["ci"][name]
            said = f"{unit} {name}: {bounded(value, bounds, 3)}"
            axes.box((place + off - 0.17, place + off + 0.17), (0, value), kind, said)
            top = value if bounds is None else bounds[1]
            if bounds is not None:
                axes.line([(place + off, bounds[0]), (place + off, bounds[1])], "whisker")
            axes.words(axes.x(place + off), max(axes.y(top) - 4, 10), signed(value, 2), "value middle halo")
        words = f"{unit} (AUC)" if "auc" in figures else unit
        axes.words(axes.x(place), axes.height - BOTTOM + 16, words, "label middle")
    return axes.svg("agreement of each action unit")


def slices_plot(slices: Mapping[str, Mapping[str, Any]], figure: str, title: str, overall: float | None) -> str:
    """One figure for every word of every slice, with its interval; the line is the figure over all pictures.

    Args:
        slices: ``metrics["slices"]``.
        figure: ``"mae"`` or ``"mean_error"``.
        title: What the axis says.
        overall: The same figure over all pictures.
    """
    rows: list[tuple[str, str, Any]] = []
    for name, words in slices.items():
        rows += [(name, "", None), *((name, word, figures) for word, figures in words.items())]
    values = [f[figure] for _, _, f in rows if f is not None and f[figure] is not None]
    ends = [end for _, _, f in rows if f is not None and f["ci"][figure] is not None for end in f["ci"][figure]]
    low, high = min([0.0, *values, *ends]), max([0.0, *values, *ends])
    step = _nice_step((high - low) or 1.0)
    span = (step * math.floor(low / step), step * math.ceil(max(high, low + step) / step))
    axes = Axes(span, (-len(rows) + 0.5, 0.5), LINE * len(rows) + BOTTOM + 14, left=150, right=76)
    ticks = [round(span[0] + step * k, 6) for k in range(round((span[1] - span[0]) / step) + 1)]
    axes.frame(ticks, (), title, "")
    axes.line([(0.0, -len(rows) + 0.5), (0.0, 0.5)], "zero")
    if overall is not None:
        axes.line([(overall, -len(rows) + 0.5), (overall, 0.5)], "overall", f"all pictures: {signed(overall, 2)}")
    for place, (name, word, figures) in enumerate(rows):
        height = axes.y(-place) + 4
        if figures is None:
            axes.words(0, height, name, "title")
            continue
        axes.words(axes.left - 10, height, word, "label end")
        axes.words(axes.right + 8, height, f"{figures['pictures']:,}", "label")
        if figures[figure] is None:
            axes.words(axes.x(span[0]) + 6, height, "n/a", "label")
            continue
        if figures["ci"][figure] is not None:
            axes.line([(end, -place) for end in figures["ci"][figure]], "whisker")
        axes.dot(figures[figure], -place, "mean", 4, f"{name} {word}: {signed(figures[figure], 2)}")
    axes.words(axes.right + 8, axes.y(0) + 4, "pictures", "label")
    return axes.svg(f"{title} by slice")


def _roc(positive: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates from strict to lax; steps that no eye can tell apart are left out."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    true, false = np.cumsum(positive[order])[ends], np.cumsum(~positive[order])[ends]
    rates = np.stack([np.r_[0, false] / (~positive).sum(), np.r_[0, true] / positive.sum()], 1)
    places = np.round(rates * 400)  # px
    kept = np.r_[True, (np.diff(places, axis=0) != 0).any(1)]
    kept[-1] = True
    return rates[kept, 0], rates[kept, 1]


def _key(axes: Axes, names: Sequence[str]) -> None:
    """Which line is which, in the lower right corner, where neither plot has data of a good model."""
    for place, name in enumerate(names):
        x, y = (
            axes.right - 44 - LETTER * max(map(len, names)),
            axes.height - BOTTOM - 14 - 18 * (len(names) - 1 - place),
        )
        axes.mark(x, y - 4, 26, CURVES[place])
        axes.words(x + 34, y, name, "value halo")


def _lowest(units: Mapping[str, Mapping[str, Any]]) -> float:
    """The lowest end of what is drawn, down to the next quarter."""
    found = [0.0]
    for figures in units.values():
        for name in ("pearson", "partial", "auc"):
            found += [v for v in [figures.get(name), *(figures["ci"].get(name) or [])] if v is not None]
    return math.floor(4 * min(found)) / 4


def _nice_step(span: float) -> float:
    """The least of 1, 2 or 5 times a power of ten that cuts a span into eight or fewer."""
    power = 10.0 ** math.floor(math.log10(span))
    return next(f * power for f in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (f * power) <= 8)
