"""Knows the table that puts models beside each other: in a terminal, on a page, in a paper."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pain3d.training.evaluation.latex import latex_table
from pain3d.training.evaluation.metrics import value_at

Row = tuple[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]
NOTHING: Final = "–"  # a metric that can't be had
WIDEST: Final = 1000  # letters; a table is never folded, whoever reads it may scroll


@dataclass(frozen=True)
class Metric:
    """One metric: its name, its place in the metrics, its digits, and whether more is better (1) or less (-1)."""

    heading: str
    path: str
    digits: int
    better: int


METRICS: Final = (
    Metric("PSPI Pearson r", "pspi.pearson", 3, 1),
    Metric("PSPI ICC(3,1)", "pspi.icc", 3, 1),
    Metric("PSPI MAE", "pspi.mae", 2, -1),
    Metric("PSPI RMSE", "pspi.rmse", 2, -1),
    Metric("PSPI on neutral face", "pspi.neutral_mean", 2, -1),
    Metric("AUROC ≥1", "thresholds.1.auroc", 3, 1),
    Metric("AUROC ≥2", "thresholds.2.auroc", 3, 1),
    Metric("AUROC ≥3", "thresholds.3.auroc", 3, 1),
    Metric("Balanced accuracy ≥1", "thresholds.1.balanced_accuracy", 3, 1),
    Metric("Balanced accuracy ≥2", "thresholds.2.balanced_accuracy", 3, 1),
    Metric("Balanced accuracy ≥3", "thresholds.3.balanced_accuracy", 3, 1),
    Metric("F1 ≥1", "thresholds.1.f1", 3, 1),
    Metric("F1 ≥2", "thresholds.2.f1", 3, 1),
    Metric("F1 ≥3", "thresholds.3.f1", 3, 1),
    Metric("AU Pearson r", "au_mean.pearson", 3, 1),
    Metric("AU r given PSPI", "au_mean.partial", 3, 1),
    Metric("AU43 AUC", "au.AU43.auc", 3, 1),
)


@dataclass(frozen=True)
class Comparison:
    """A table of text: a line a metric, a column a model.

    Args:
        headings: [C]; the first is empty, the others are the models' names.
        rows: [R, C] cells; the first is the name of the metric.
        bold: [R, C] whether a cell is the best of its line.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: tuple[tuple[bool, ...], ...]

    def latex(self, caption: str) -> str:
        """For a paper, with booktabs."""
        return latex_table(self.headings, self.rows, self.bold, caption)

    def terminal(self) -> str:
        """For a terminal, as wide as the cells need."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for place, heading in enumerate(self.headings):
            table.add_column(Text(heading), justify="right" if place else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*map(Text, row))
        page = io.StringIO()
        Console(file=page, width=WIDEST, color_system=None).print(table)
        return "\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n"


def comparison_table(rows: Sequence[Row], intervals: bool = True) -> Comparison:
    """Models beside each other; metrics that no model has are left out.

    Args:
        rows: A name, and the metrics of one model, or of the same model from several seeds: then a cell is their mean
            ± standard deviation, over the seeds that have the metric.
        intervals: Put the 95 % interval behind a metric of one run.
    """
    lines, bold = [], []
    for metric in METRICS:
        seeds = [[value_at(one, metric.path) for one in _several(found)] for _, found in rows]
        means = [_mean(values) for values in seeds]
        if any(mean is not None for mean in means):
            cells = [_cell(found, values, metric, intervals) for (_, found), values in zip(rows, seeds, strict=True)]
            lines.append((metric.heading, *cells))
            bold.append((False, *(_best(means, place, metric) for place in range(len(rows)))))
    return Comparison(("", *(name for name, _ in rows)), tuple(lines), tuple(bold))


def with_interval(metrics: Mapping[str, Any], path: str, digits: int) -> str:
    """A metric with its interval, as ``0.93 (0.91 to 0.95)``; without one where there is none."""
    value = value_at(metrics, path)
    if value is None:
        return NOTHING
    above, _, name = path.rpartition(".")
    bounds: Any = metrics
    for key in (*above.split("."), "ci", name):
        bounds = bounds.get(key) if isinstance(bounds, Mapping) else None
    return bounded(value, bounds, digits)


def bounded(value: float, bounds: Sequence[float] | None, digits: int) -> str:
    """A number with its interval, if there is one."""
    text = signed(value, digits)
    return text if bounds is None else f"{text} ({signed(bounds[0], digits)} to {signed(bounds[1], digits)})"


def signed(value: float, digits: int) -> str:
    """A number as it is printed: with a true minus, and without one where it rounds to 0."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.removeprefix("-")


def _several(found: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return [found] if isinstance(found, Mapping) else found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _cell(
    found: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    values: Sequence[float | None],
    metric: Metric,
    intervals: bool,
) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    if len(known) > 1:
        return f"{signed(float(np.mean(known)), metric.digits)} ± {np.std(known, ddof=1):.{metric.digits}f}"
    one = _several(found)[[value is not None for value in values].index(True)]
    return with_interval(one, metric.path, metric.digits) if intervals else signed(known[0], metric.digits)


def _best(values: Sequence[float | None], place: int, metric: Metric) -> bool:
    """Whether a model is the best as it is printed; nobody is best alone, or where all are equal."""
    printed = [None if value is None else round(value, metric.digits) * metric.better for value in values]
    known = [value for value in printed if value is not None]
    return len(known) > 1 and printed[place] == max(known) and min(known) < max(known)
