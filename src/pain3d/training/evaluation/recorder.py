"""Knows how a metric is recorded: its value, its interval, or None and the reason why it can't be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.training.evaluation import agreement
from pain3d.training.evaluation.bootstrap import interval
from pain3d.training.evaluation.predictions import Predictions

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
ERRORS: Final = ("mae", "mse", "rmse", "bias")  # need one picture; the others need labels that vary
RELATIONS: Final = ("pearson", "partial", "slope")  # need predictions that vary, too


@dataclass
class Recorder:
    """The test pictures by person, the resamples of people, and every reason that was noted."""

    test: Predictions
    drawn: npt.NDArray[np.int64]
    undefined: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.subject = self.test.subject_index
        self.people = len(self.test.people)

    def number(self, path: str, value: float, reason: str | None) -> float | None:
        """A metric, or None with a note why."""
        if reason is None and np.isfinite(value):
            return float(value)
        self.undefined[path] = reason or "it is not a finite number"
        return None

    def interval(self, path: str, over: Callable[[], Floats], reason: str | None = None) -> list[float] | None:
        """An interval, or None with a note why.

        Args:
            path: As ``pspi.ci.pearson``.
            over: Gives the metric in every resample; asked only where there can be an interval.
            reason: Why the metric itself can't be had.
        """
        bounds = None
        if reason is None:
            bounds, reason = interval(over(), self.people)
        if reason is not None:
            self.undefined[path] = reason
        return bounds

    def sums(self, truth: npt.ArrayLike, guess: npt.ArrayLike, given: npt.ArrayLike = 0.0) -> Floats:
        """Sums per person [S, 13] of a pair of columns."""
        return agreement.sums_by_subject(truth, guess, self.subject, self.people, given)

    def agreement(
        self, path: str, sums: Floats, metrics: Mapping[str, Statistic], what: str, given: str | None = None
    ) -> dict[str, Any]:
        """Figures of a pair of columns, with their intervals under ``ci``."""
        total, drawn = sums.sum(0), self.drawn @ sums
        result: dict[str, Any] = {}
        bounds: dict[str, Any] = {}
        for name, metric in metrics.items():
            reason = why_not(name, total, what, given)
            result[name] = self.number(f"{path}.{name}", float(metric(total)), reason)
            bounds[name] = self.interval(f"{path}.ci.{name}", partial(metric, drawn), reason)
        return {**result, "ci": bounds}


def why_not(name: str, total: Floats, what: str, given: str | None) -> str | None:
    """Why a metric can't be had; errors and ICC ask less than a correlation does."""
    if name in ERRORS:
        return None if total[0] > 0 else f"no picture with a known {what}"
    reason = agreement.undefined(total, what, given if name == "partial" else None)
    if name not in RELATIONS and reason == "the predictions are constant":
        return None  # the ICC of a constant prediction is 0, and says so
    return reason
