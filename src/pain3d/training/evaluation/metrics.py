"""Knows the metrics of an evaluation: one nested dict of numbers, null where one can't be had, with the reason.

``metrics["pspi"]["pearson"]`` is a number or None, and where it is None ``metrics["undefined"]["pspi.pearson"]`` says
why. Intervals are of 95 %, by drawing people again (`bootstrap`). Pictures without a label count nowhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from pain3d.console.refused import RefusedError
from pain3d.facs.pain_score import MAX_PSPI
from pain3d.training.data.samples import THRESHOLDS, UNITS
from pain3d.training.evaluation import agreement
from pain3d.training.evaluation.binary import binary_metrics
from pain3d.training.evaluation.bootstrap import resampled_people
from pain3d.training.evaluation.consistency import heads_apart
from pain3d.training.evaluation.predictions import Predictions, concatenate
from pain3d.training.evaluation.recorder import Floats, Recorder, Statistic, why_not
from pain3d.training.evaluation.slices import bias_table
from pain3d.training.evaluation.spread import spread_metrics
from pain3d.training.evaluation.thresholds import (
    EYES,
    HEADS,
    SCORES,
    DecisionThreshold,
    binary_questions,
    choose_thresholds,
    join_thresholds,
)

INTENSITIES: Final = tuple(unit for unit in UNITS if unit != EYES)  # 0-5; AU43 is yes or no
INTERVAL: Final = "95 %, expanded percentiles over resampled subjects"
LIMITS_SD: Final = 1.96  # 95 % of a normal distribution (Bland & Altman 1986)
PSPI_METRICS: Final[Mapping[str, Statistic]] = {
    "pearson": agreement.pearson,
    "icc": agreement.icc,
    "mae": agreement.mae,
    "mse": agreement.mse,
    "rmse": agreement.rmse,
    "bias": agreement.bias,
}
UNIT_METRICS: Final[Mapping[str, Statistic]] = {
    "pearson": agreement.pearson,
    "partial": agreement.partial,
    "icc": agreement.icc,
    "mae": agreement.mae,
}


def compute_metrics(
    test: Predictions,
    validation: Predictions | None,
    *,
    seed: int = 0,
    resamples: int = 1000,
    trained_mean: float | None = None,
) -> dict[str, Any]:
    """All metrics of one model on test people.

    Args:
        test: Predictions for the test people.
        validation: Predictions for other people, to choose thresholds on; without them every F1 is None.
        seed: Of the resamples.
        resamples: Number of resamples of people; 0 for no intervals.
        trained_mean: Mean PSPI of the training labels, for the mean predictor; without it the validation labels' mean.

    Returns:
        Keys pictures, subjects, pspi, thresholds, au, au_mean, heads_apart, slices, settings, undefined.

    Raises:
        RefusedError: There are no test pictures, or a person is in both parts.
    """
    if validation is not None:
        shared = sorted(set(test.subject) & set(validation.subject))
        if shared:
            raise RefusedError(f"subject '{shared[0]}' is in test and validation: thresholds would know the test")
    mean = trained_mean
    if mean is None and validation is not None and np.isfinite(validation.pspi_true).any():
        mean = float(np.nanmean(validation.pspi_true))
    result = _all_metrics(test, choose_thresholds(validation, len(test)), mean, seed, resamples)
    result["settings"]["validation_pictures"] = 0 if validation is None else len(validation)
    return result


def pooled_metrics(
    folds: Sequence[tuple[Predictions, Predictions | None]], *, seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Figures over the test people of all folds at once, and fold by fold.

    Each fold's threshold comes from its own validation people. In leave-one-subject-out a fold is one person, whose
    correlation may not exist: ``folds`` says of how many folds a mean is.

    Args:
        folds: Test and validation predictions of each fold; nobody is tested twice.
        seed: Of the resamples.
        resamples: Number of them.

    Returns:
        As `metrics`, and ``folds``: ``{"pspi.pearson": {"mean", "sd", "folds", "each"}, ...}``.

    Raises:
        RefusedError: Somebody is tested in two folds.
    """
    seen: dict[str, int] = {}
    for place, (test, _) in enumerate(folds):
        for name in test.people:
            if seen.setdefault(name, place) != place:
                raise RefusedError(f"subject '{name}' is tested in folds {seen[name]} and {place}")
    each = [compute_metrics(test, validation, seed=seed, resamples=0) for test, validation in folds]
    thresholds = join_thresholds([choose_thresholds(validation, len(test)) for test, validation in folds])
    pooled = _all_metrics(concatenate([test for test, _ in folds]), thresholds, None, seed, resamples)
    paths = ["pspi.pearson", "pspi.icc", "pspi.mae", "pspi.mse", "pspi.rmse", "au_mean.pearson", "au_mean.partial"]
    paths += [f"thresholds.{least}.{name}" for least in THRESHOLDS for name in ("auroc", "balanced_accuracy", "f1")]
    pooled["settings"]["validation_pictures"] = sum(len(part) for _, part in folds if part is not None)
    pooled["folds"] = {path: _over_folds([value_at(one, path) for one in each]) for path in paths}
    return pooled


def always_yes(test: Predictions, *, seed: int = 0, resamples: int = 1000) -> dict[str, Any]:
    """The figures of whoever answers yes to every yes-or-no question and nothing to others: what others must beat.

    Args:
        test: Whose truth is asked.
        seed: Of the resamples.
        resamples: Number of them.

    Returns:
        As `compute_metrics`, with what such answers have: thresholds, au with AU43 alone, undefined.
    """
    certain = dataclasses.replace(
        test, pspi=np.full_like(test.pspi, MAX_PSPI), au=np.ones_like(test.au), binary=np.ones_like(test.binary)
    )
    yes = dict.fromkeys((*HEADS, *SCORES, EYES), DecisionThreshold(np.full(len(test), 1.0)))
    found = _all_metrics(certain, yes, None, seed, resamples)
    reasons = {path: why for path, why in found["undefined"].items() if path.startswith(("thresholds.", f"au.{EYES}."))}
    return {"thresholds": found["thresholds"], "au": {EYES: found["au"][EYES]}, "undefined": reasons}


def value_at(metrics: Mapping[str, Any], path: str) -> float | None:
    """The metric at a path such as ``pspi.pearson``; None where it can't be had or isn't there."""
    found: Any = metrics
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def _all_metrics(
    test: Predictions, thresholds: dict[str, DecisionThreshold], trained_mean: float | None, seed: int, resamples: int
) -> dict[str, Any]:
    if not len(test):
        raise RefusedError("there are no test pictures to evaluate")
    people = len(test.people)
    recorder = Recorder(test, resampled_people(people, resamples, seed))
    units, average = _units(recorder, thresholds)
    result: dict[str, Any] = {
        "pictures": len(test),
        "subjects": people,
        "pspi": _pspi(recorder, trained_mean),
        "thresholds": _thresholds(recorder, thresholds),
        "au": units,
        "au_mean": average,
        "heads_apart": heads_apart(test),
    }
    if result["heads_apart"]["mae_of_units"] is None:
        recorder.undefined["heads_apart.mae_of_units"] = "no picture with a known PSPI"
    tables, reasons = bias_table(test, seed=seed, resamples=resamples)
    result["slices"] = tables
    result["settings"] = {
        "seed": seed,
        "resamples": resamples,
        "interval": "95 %, expanded percentiles over resampled subjects",
    }
    result["undefined"] = dict(sorted({**recorder.undefined, **reasons}.items()))
    return result


def _pspi(recorder: Recorder, trained_mean: float | None) -> dict[str, Any]:
    test = recorder.test
    sums = recorder.sums(test.pspi_true, test.pspi)
    result = recorder.agreement("pspi", sums, PSPI_METRICS, "PSPI")
    bounds = result.pop("ci")
    total = sums.sum(0)
    neutral = test.pspi[test.neutral]
    known = np.isfinite(test.pspi_true)
    result["pictures"] = int(known.sum())
    result["neutral_mean"] = recorder.number(
        "pspi.neutral_mean",
        float(neutral.mean()) if len(neutral) else np.nan,
        None if len(neutral) else "no picture is neutral",
    )
    result["neutral_pictures"] = len(neutral)
    bounds["neutral_mean"] = recorder.interval("pspi.ci.neutral_mean", lambda: _resampled_mean(recorder))
    result["calibration_slope"] = recorder.number(
        "pspi.calibration_slope", float(agreement.slope(total)), why_not("slope", total, "PSPI", None)
    )
    spread = LIMITS_SD * np.sqrt(max(float(agreement.mse(total) - agreement.bias(total) ** 2), 0.0))
    result["limits_of_agreement"] = (
        None if result["bias"] is None else [result["bias"] - spread, result["bias"] + spread]
    )
    levels = np.round(test.pspi_true[known])
    result["by_level"] = {
        f"{level:g}": {
            "pictures": int((levels == level).sum()),
            "mean": float(test.pspi[known][levels == level].mean()),
            "mae": float(np.abs(test.pspi - test.pspi_true)[known][levels == level].mean()),
        }
        for level in np.unique(levels)
    }
    result["balanced_mae"] = _mean_or_none([level["mae"] for level in result["by_level"].values()])
    for name in ("limits_of_agreement", "balanced_mae"):
        if result[name] is None:
            recorder.undefined[f"pspi.{name}"] = "no picture with a known PSPI"
    if np.isfinite(test.pspi_std).any():
        result["spread"] = spread_metrics(recorder)
    result["per_subject"] = _per_subject(recorder, sums)
    result["mean_predictor"] = _mean_predictor(recorder, trained_mean)
    return {**result, "ci": bounds}


def _per_subject(recorder: Recorder, sums: Floats) -> dict[str, Any]:
    """Means over people, each counting the same; a correlation exists for people whose pictures differ in PSPI."""
    result: dict[str, Any] = {}
    for name, metric in (("pearson", agreement.pearson), ("icc", agreement.icc), ("mae", agreement.mae)):
        values = metric(sums)
        values = values[np.isfinite(values)]
        result[name] = recorder.number(
            f"pspi.per_subject.{name}",
            float(values.mean()) if len(values) else np.nan,
            None if len(values) else "no subject has 3 pictures whose labels and predictions vary",
        )
        result[f"{name}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else None
        if len(values) < 2:
            recorder.undefined[f"pspi.per_subject.{name}_sd"] = "fewer than 2 subjects have it"
        result[f"{name}_subjects"] = len(values)
    return result


def _mean_predictor(recorder: Recorder, trained_mean: float | None) -> dict[str, Any]:
    """The errors of saying one number, the mean of labels seen before, to every picture."""
    test = recorder.test
    names = ("value", "mae", "mse", "rmse")
    if trained_mean is None:
        for name in names:
            recorder.undefined[f"pspi.mean_predictor.{name}"] = "no mean of training or validation labels was given"
        return dict.fromkeys(names)
    total = recorder.sums(test.pspi_true, np.full(len(test), trained_mean)).sum(0)
    metrics = {name: PSPI_METRICS[name] for name in ("mae", "mse", "rmse")}
    errors = {
        name: recorder.number(f"pspi.mean_predictor.{name}", float(metric(total)), why_not(name, total, "PSPI", None))
        for name, metric in metrics.items()
    }
    return {"value": trained_mean, **errors}


def _thresholds(recorder: Recorder, thresholds: dict[str, DecisionThreshold]) -> dict[str, Any]:
    questions = binary_questions(recorder.test)
    result = {}
    for place, least in enumerate(THRESHOLDS):
        path = f"thresholds.{least}"
        truth, probability = questions[HEADS[place]]
        known = np.isfinite(truth)
        head = binary_metrics(recorder, path, truth, probability, thresholds[HEADS[place]])
        head["brier"] = recorder.number(
            f"{path}.brier",
            float(np.mean((probability - truth)[known] ** 2)) if known.any() else np.nan,
            None if known.any() else "no picture with a known label",
        )
        head["by_score"] = binary_metrics(
            recorder, f"{path}.by_score", *questions[SCORES[place]], thresholds[SCORES[place]]
        )
        result[str(least)] = head
    return result


def _units(recorder: Recorder, thresholds: dict[str, DecisionThreshold]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of each action unit, and the means over the five intensities."""
    test = recorder.test
    result: dict[str, Any] = {}
    resampled: dict[str, list[Floats]] = {name: [] for name in UNIT_METRICS}
    for unit in INTENSITIES:
        place = UNITS.index(unit)
        plain = recorder.sums(test.au_true[:, place], test.au[:, place])
        given = recorder.sums(test.au_true[:, place], test.au[:, place], test.pspi_true)
        whole = {name: metric for name, metric in UNIT_METRICS.items() if name != "partial"}
        metrics = recorder.agreement(f"au.{unit}", plain, whole, unit)
        rest = recorder.agreement(f"au.{unit}", given, {"partial": agreement.partial}, unit, "PSPI")
        bounds = {**metrics.pop("ci"), **rest.pop("ci")}
        result[unit] = {"pictures": int(plain[:, 0].sum()), **metrics, **rest, "ci": bounds}
        for name, metric in UNIT_METRICS.items():
            resampled[name].append(metric(recorder.drawn @ (given if name == "partial" else plain)))
    average: dict[str, Any] = {"ci": {}}
    for name, over in resampled.items():
        values = [result[unit][name] for unit in INTENSITIES]
        lacking = [unit for unit, value in zip(INTENSITIES, values, strict=True) if value is None]
        reason = f"{lacking[0]} doesn't have it" if lacking else None
        average[name] = recorder.number(f"au_mean.{name}", np.nan if lacking else float(np.mean(values)), reason)
        average["ci"][name] = recorder.interval(f"au_mean.ci.{name}", partial(_mean_over_units, over), reason)
    eyes = binary_metrics(recorder, f"au.{EYES}", *binary_questions(test)[EYES], thresholds[EYES])
    eyes["auc"] = eyes.pop("auroc")
    eyes["ci"]["auc"] = eyes["ci"].pop("auroc")
    for path in (f"au.{EYES}.auroc", f"au.{EYES}.ci.auroc"):
        if path in recorder.undefined:
            recorder.undefined[path.replace("auroc", "auc")] = recorder.undefined.pop(path)
    result[EYES] = eyes
    return result, average


def _mean_over_units(resampled: list[Floats]) -> Floats:
    return np.asarray(np.mean(np.stack(resampled), axis=0))


def _resampled_mean(recorder: Recorder) -> Floats:
    """Mean prediction on neutral pictures in every resample."""
    neutral = recorder.test.neutral
    people = recorder.subject[neutral]
    sums = np.bincount(people, recorder.test.pspi[neutral].astype(float), recorder.people)
    counts = np.bincount(people, minlength=recorder.people).astype(float)
    above, below = recorder.drawn @ sums, recorder.drawn @ counts
    return np.asarray(np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0))


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _over_folds(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(known)) if known else None,
        "sd": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "folds": len(known),
        "each": list(values),
    }
