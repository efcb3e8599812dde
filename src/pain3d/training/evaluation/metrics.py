"""Knows the figures of an evaluation: one nested dict of numbers, null where one can't be had, with the reason.

``metrics["pspi"]["pearson"]`` is a number or None, and where it is None ``metrics["undefined"]["pspi.pearson"]`` says
why. Intervals are of 95 %, by drawing people again (`bootstrap`). Pictures without a label count nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from pain3d.console.refused import RefusedError
from pain3d.training.data.samples import THRESHOLDS, UNITS
from pain3d.training.evaluation import agreement
from pain3d.training.evaluation.bootstrap import resampled_people
from pain3d.training.evaluation.cuts import EYES, HEADS, SCORES, Cut, choose_cuts, join_cuts, scored
from pain3d.training.evaluation.ledger import Figure, Floats, Ledger, why_not
from pain3d.training.evaluation.predictions import Predictions, together
from pain3d.training.evaluation.slices import bias_table
from pain3d.training.evaluation.yes_or_no import yes_or_no

INTENSITIES: Final = tuple(unit for unit in UNITS if unit != EYES)  # 0-5; AU43 is yes or no
INTERVAL: Final = "95 %, expanded percentiles over resampled subjects"
LIMITS_SD: Final = 1.96  # 95 % of a normal distribution (Bland & Altman 1986)
PSPI_FIGURES: Final[Mapping[str, Figure]] = {
    "pearson": agreement.pearson,
    "icc": agreement.icc,
    "mae": agreement.mae,
    "mse": agreement.mse,
    "rmse": agreement.rmse,
    "bias": agreement.bias,
}
UNIT_FIGURES: Final[Mapping[str, Figure]] = {
    "pearson": agreement.pearson,
    "partial": agreement.partial,
    "icc": agreement.icc,
    "mae": agreement.mae,
}


def metrics(
    test: Predictions,
    validation: Predictions | None,
    *,
    seed: int = 0,
    resamples: int = 1000,
    trained_mean: float | None = None,
) -> dict[str, Any]:
    """All figures of one model on test people.

    Args:
        test: Predictions for the test people.
        validation: Predictions for other people, to choose thresholds on; without them every F1 is None.
        seed: Of the resamples.
        resamples: Number of resamples of people; 0 for no intervals.
        trained_mean: Mean PSPI of the training labels, for the mean predictor; without it the validation labels' mean.

    Returns:
        Keys pictures, subjects, pspi, thresholds, au, au_mean, slices, settings, undefined.

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
    said = _all_figures(test, choose_cuts(validation, len(test)), mean, seed, resamples)
    said["settings"]["validation_pictures"] = 0 if validation is None else len(validation)
    return said


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
    each = [metrics(test, validation, seed=seed, resamples=0) for test, validation in folds]
    cuts = join_cuts([choose_cuts(validation, len(test)) for test, validation in folds])
    pooled = _all_figures(together([test for test, _ in folds]), cuts, None, seed, resamples)
    paths = ["pspi.pearson", "pspi.icc", "pspi.mae", "pspi.mse", "pspi.rmse", "au_mean.pearson", "au_mean.partial"]
    paths += [f"thresholds.{least}.{name}" for least in THRESHOLDS for name in ("f1", "auroc")]
    pooled["settings"]["validation_pictures"] = sum(len(part) for _, part in folds if part is not None)
    pooled["folds"] = {path: _over_folds([value_at(one, path) for one in each]) for path in paths}
    return pooled


def value_at(figures: Mapping[str, Any], path: str) -> float | None:
    """The figure at a path such as ``pspi.pearson``; None where it can't be had or isn't there."""
    found: Any = figures
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def _all_figures(
    test: Predictions, cuts: dict[str, Cut], trained_mean: float | None, seed: int, resamples: int
) -> dict[str, Any]:
    if not len(test):
        raise RefusedError("there are no test pictures to evaluate")
    people = len(test.people)
    ledger = Ledger(test, resampled_people(people, resamples, seed))
    units, average = _units(ledger, cuts)
    said = {
        "pictures": len(test),
        "subjects": people,
        "pspi": _pspi(ledger, trained_mean),
        "thresholds": _thresholds(ledger, cuts),
        "au": units,
        "au_mean": average,
    }
    tables, reasons = bias_table(test, seed=seed, resamples=resamples)
    said["slices"] = tables
    said["settings"] = {
        "seed": seed,
        "resamples": resamples,
        "interval": "95 %, expanded percentiles over resampled subjects",
    }
    said["undefined"] = dict(sorted({**ledger.undefined, **reasons}.items()))
    return said


def _pspi(ledger: Ledger, trained_mean: float | None) -> dict[str, Any]:
    test = ledger.test
    sums = ledger.sums(test.pspi_true, test.pspi)
    said = ledger.agreement("pspi", sums, PSPI_FIGURES, "PSPI")
    bounds = said.pop("ci")
    total = sums.sum(0)
    neutral = test.pspi[test.neutral]
    known = np.isfinite(test.pspi_true)
    said["pictures"] = int(known.sum())
    said["neutral_mean"] = ledger.number(
        "pspi.neutral_mean",
        float(neutral.mean()) if len(neutral) else np.nan,
        None if len(neutral) else "no picture is neutral",
    )
    said["neutral_pictures"] = len(neutral)
    bounds["neutral_mean"] = ledger.interval("pspi.ci.neutral_mean", lambda: _resampled_mean(ledger))
    said["calibration_slope"] = ledger.number(
        "pspi.calibration_slope", float(agreement.slope(total)), why_not("slope", total, "PSPI", None)
    )
    spread = LIMITS_SD * np.sqrt(max(float(agreement.mse(total) - agreement.bias(total) ** 2), 0.0))
    said["limits_of_agreement"] = None if said["bias"] is None else [said["bias"] - spread, said["bias"] + spread]
    levels = np.round(test.pspi_true[known])
    said["by_level"] = {
        f"{level:g}": {
            "pictures": int((levels == level).sum()),
            "mean": float(test.pspi[known][levels == level].mean()),
            "mae": float(np.abs(test.pspi - test.pspi_true)[known][levels == level].mean()),
        }
        for level in np.unique(levels)
    }
    said["balanced_mae"] = _mean_or_none([level["mae"] for level in said["by_level"].values()])
    for name in ("limits_of_agreement", "balanced_mae"):
        if said[name] is None:
            ledger.undefined[f"pspi.{name}"] = "no picture with a known PSPI"
    said["per_subject"] = _per_subject(ledger, sums)
    said["mean_predictor"] = _mean_predictor(ledger, trained_mean)
    return {**said, "ci": bounds}


def _per_subject(ledger: Ledger, sums: Floats) -> dict[str, Any]:
    """Means over people, each counting the same; a correlation exists for people whose pictures differ in PSPI."""
    said: dict[str, Any] = {}
    for name, figure in (("pearson", agreement.pearson), ("icc", agreement.icc), ("mae", agreement.mae)):
        values = figure(sums)
        values = values[np.isfinite(values)]
        said[name] = ledger.number(
            f"pspi.per_subject.{name}",
            float(values.mean()) if len(values) else np.nan,
            None if len(values) else "no subject has 3 pictures whose labels and predictions vary",
        )
        said[f"{name}_sd"] = float(values.std(ddof=1)) if len(values) > 1 else None
        if len(values) < 2:
            ledger.undefined[f"pspi.per_subject.{name}_sd"] = "fewer than 2 subjects have it"
        said[f"{name}_subjects"] = len(values)
    return said


def _mean_predictor(ledger: Ledger, trained_mean: float | None) -> dict[str, Any]:
    """The errors of saying one number, the mean of labels seen before, to every picture."""
    test = ledger.test
    names = ("value", "mae", "mse", "rmse")
    if trained_mean is None:
        for name in names:
            ledger.undefined[f"pspi.mean_predictor.{name}"] = "no mean of training or validation labels was given"
        return dict.fromkeys(names)
    total = ledger.sums(test.pspi_true, np.full(len(test), trained_mean)).sum(0)
    figures = {name: PSPI_FIGURES[name] for name in ("mae", "mse", "rmse")}
    errors = {
        name: ledger.number(f"pspi.mean_predictor.{name}", float(figure(total)), why_not(name, total, "PSPI", None))
        for name, figure in figures.items()
    }
    return {"value": trained_mean, **errors}


def _thresholds(ledger: Ledger, cuts: dict[str, Cut]) -> dict[str, Any]:
    questions = scored(ledger.test)
    said = {}
    for place, least in enumerate(THRESHOLDS):
        path = f"thresholds.{least}"
        truth, probability = questions[HEADS[place]]
        known = np.isfinite(truth)
        head = yes_or_no(ledger, path, truth, probability, cuts[HEADS[place]])
        head["brier"] = ledger.number(
            f"{path}.brier",
            float(np.mean((probability - truth)[known] ** 2)) if known.any() else np.nan,
            None if known.any() else "no picture with a known label",
        )
        head["by_score"] = yes_or_no(ledger, f"{path}.by_score", *questions[SCORES[place]], cuts[SCORES[place]])
        said[str(least)] = head
    return said


def _units(ledger: Ledger, cuts: dict[str, Cut]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of each action unit, and the means over the five intensities."""
    test = ledger.test
    said: dict[str, Any] = {}
    resampled: dict[str, list[Floats]] = {name: [] for name in UNIT_FIGURES}
    for unit in INTENSITIES:
        place = UNITS.index(unit)
        plain = ledger.sums(test.au_true[:, place], test.au[:, place])
        given = ledger.sums(test.au_true[:, place], test.au[:, place], test.pspi_true)
        whole = {name: figure for name, figure in UNIT_FIGURES.items() if name != "partial"}
        figures = ledger.agreement(f"au.{unit}", plain, whole, unit)
        rest = ledger.agreement(f"au.{unit}", given, {"partial": agreement.partial}, unit, "PSPI")
        bounds = {**figures.pop("ci"), **rest.pop("ci")}
        said[unit] = {"pictures": int(plain[:, 0].sum()), **figures, **rest, "ci": bounds}
        for name, figure in UNIT_FIGURES.items():
            resampled[name].append(figure(ledger.drawn @ (given if name == "partial" else plain)))
    average: dict[str, Any] = {"ci": {}}
    for name, over in resampled.items():
        values = [said[unit][name] for unit in INTENSITIES]
        lacking = [unit for unit, value in zip(INTENSITIES, values, strict=True) if value is None]
        reason = f"{lacking[0]} doesn't have it" if lacking else None
        average[name] = ledger.number(f"au_mean.{name}", np.nan if lacking else float(np.mean(values)), reason)
        average["ci"][name] = ledger.interval(f"au_mean.ci.{name}", partial(_mean_over_units, over), reason)
    eyes = yes_or_no(ledger, f"au.{EYES}", *scored(test)[EYES], cuts[EYES])
    eyes["auc"] = eyes.pop("auroc")
    eyes["ci"]["auc"] = eyes["ci"].pop("auroc")
    for path in (f"au.{EYES}.auroc", f"au.{EYES}.ci.auroc"):
        if path in ledger.undefined:
            ledger.undefined[path.replace("auroc", "auc")] = ledger.undefined.pop(path)
    said[EYES] = eyes
    return said, average


def _mean_over_units(resampled: list[Floats]) -> Floats:
    return np.asarray(np.mean(np.stack(resampled), axis=0))


def _resampled_mean(ledger: Ledger) -> Floats:
    """Mean prediction on neutral pictures in every resample."""
    neutral = ledger.test.neutral
    people = ledger.subject[neutral]
    sums = np.bincount(people, ledger.test.pspi[neutral].astype(float), ledger.people)
    counts = np.bincount(people, minlength=ledger.people).astype(float)
    above, below = ledger.drawn @ sums, ledger.drawn @ counts
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
