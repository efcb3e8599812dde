"""Knows the report of an evaluation: a page with nothing loaded from elsewhere, metrics.json, and a table for LaTeX."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pain3d.console.page import html_page
from pain3d.console.refused import RefusedError
from pain3d.doors.text import read_json
from pain3d.files import make_folders, write_durably
from pain3d.provenance import pain3d_version
from pain3d.training.data.samples import THRESHOLDS
from pain3d.training.evaluation import plots
from pain3d.training.evaluation.bootstrap import difference
from pain3d.training.evaluation.comparison import NOTHING, Metric, bounded, comparison_table, signed, with_interval
from pain3d.training.evaluation.field import published_rows
from pain3d.training.evaluation.overlap import STRANGERS
from pain3d.training.evaluation.predictions import Predictions
from pain3d.training.evaluation.recorder import ERRORS
from pain3d.training.evaluation.thresholds import HEADS, binary_questions

Pictures = Sequence[tuple[bytes, bytes | None]]
Gallery = Callable[[Sequence[int]], Pictures]
PAGE, NUMBERS, TABLE = "index.html", "metrics.json", "table.tex"
ALSO: Final = ("predictions.parquet", "validation.parquet")  # what a caller may have put there first
TEST: Final = ("split", "data", "data_key")  # of what is told about a report: which pictures it is of
WORST: Final = 8  # pictures on each side of the gallery
CAPTION: Final = (
    "On neutral face: mean prediction, where PSPI is 0. AU: mean over five action units, plain and given PSPI."
    " Balanced accuracy and F1 at the thresholds that have the best F1 on validation people."
    " Mean predictor: the means of the training labels for every picture; always yes: every answer is yes."
)


def write_report(
    folder: Path,
    name: str,
    metrics: Mapping[str, Any],
    predictions: Predictions,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    rivals: Mapping[str, Predictions] | None = None,
    gallery: Gallery | None = None,
    about: Mapping[str, Any] | None = None,
    people: str = STRANGERS,
) -> None:
    """Write index.html, table.tex and, last, metrics.json; an older report of the same test is replaced.

    Args:
        folder: Made if it isn't there.
        name: Of the model.
        metrics: What `compute_metrics` made of ``predictions``.
        predictions: For the test people.
        others: Metrics of other models by name, for the rows beside it.
        rivals: Predictions of other models for the same pictures, for differences judged pair by pair.
        gallery: Gives for rows of ``predictions`` the encoded picture (PNG or JPEG) and that of the neutral or None.
        about: How it was made, as ``{"command": ..., "seed": ...}``; shown on the page and kept in metrics.json.
        people: Whether the test people are strangers to the models, a sentence; see `acquaintance`.

    Raises:
        RefusedError: The folder is a file, or holds something else than a report of this test, see
            `refuse_other_report`; or a rival saw other pictures.
    """
    others, about, caption = others or {}, about or {}, f"{people} {CAPTION}"
    refuse_other_report(folder, name, about)
    settings = metrics["settings"]
    differences = {
        rival: difference(predictions, other, seed=settings["seed"], resamples=settings["resamples"])
        for rival, other in (rivals or {}).items()
    }
    table = comparison_table([(name, metrics), *others.items()])
    beside = {"others": others, "differences": differences}
    content = _finite({"name": name, "pain3d_version": pain3d_version(), "about": about, **metrics, **beside})
    page = html_page(
        Path(__file__).parent / "templates" / "evaluation.html.j2",
        name=name,
        people=people,
        strangers=people == STRANGERS,
        metrics=metrics,
        facts=_facts(metrics),
        comparison=table,
        caption=caption,
        differences=[[rival, *_difference_cells(found)] for rival, found in differences.items()],
        published=published_rows(str(about.get("data", ""))),
        most_points=plots.MOST_POINTS,
        plots=_plots(metrics, predictions),
        thresholds=_threshold_rows(metrics),
        units=_unit_rows(metrics),
        slices=_slice_rows(metrics),
        gallery=_gallery(predictions, gallery),
        about=about,
        version=pain3d_version(),
    )
    make_folders(folder)
    write_durably(folder / PAGE, page.encode())
    write_durably(folder / TABLE, table.latex(caption).encode())
    write_durably(folder / NUMBERS, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def worst_rows(predictions: Predictions, most: int = WORST) -> tuple[list[int], list[int]]:
    """Rows of the greatest over- and under-estimates, worst first; one a person, so that no face fills the page."""
    error = predictions.pspi.astype(float) - predictions.pspi_true
    sides = []
    for sign in (1, -1):
        seen: set[str] = set()
        chosen: list[int] = []
        for row in np.argsort(-sign * np.nan_to_num(error), kind="stable").tolist():
            off = sign * error[row]
            if len(chosen) == most or not off > 0:  # NaN isn't above 0 either
                continue
            if predictions.subject[row] not in seen:
                seen.add(predictions.subject[row])
                chosen.append(row)
        sides.append(chosen)
    return sides[0], sides[1]


def refuse_other_report(folder: Path, name: str, about: Mapping[str, Any]) -> None:
    """Refuse a folder where a report would replace anything but an older one of the same test.

    Args:
        folder: May be absent.
        name: Of the model.
        about: As `write_report` takes it; ``split``, ``data`` and ``data_key`` say which test it is.

    Raises:
        RefusedError: It is a file, no report of pain3d, or the report of another test, which is named.
    """
    if folder.exists() and not folder.is_dir():
        raise RefusedError(f"{folder}: not a folder")
    if not folder.is_dir():
        return
    if not (folder / NUMBERS).is_file():
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in (PAGE, TABLE, *ALSO))
        if foreign:
            raise RefusedError(f"{folder}: not a report of pain3d, it holds '{foreign[0]}'")
        return
    try:
        held = read_json(folder / NUMBERS)
        before = [held["name"], *(held["about"].get(part, about.get(part)) for part in TEST)]
    except (KeyError, TypeError, AttributeError):
        raise RefusedError(f"{folder / NUMBERS}: not the figures of a report of pain3d") from None
    if before != [name, *(about.get(part) for part in TEST)]:
        of = f"{before[0]}, split {before[1]} of {before[2]}"
        raise RefusedError(f"{folder}: holds the report of another test ({of}); give another --to")


def _facts(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The metrics at the head of the page: value, words, interval."""
    wanted = (
        Metric("Pearson r of PSPI", "pspi.pearson", 3, 1),
        Metric("mean absolute error, PSPI", "pspi.mae", 2, -1),
        Metric("ICC(3,1)", "pspi.icc", 3, 1),
        Metric("AUROC at PSPI ≥ 1", "thresholds.1.auroc", 3, 1),
        Metric("mean prediction on neutral faces", "pspi.neutral_mean", 2, -1),
        Metric("AUC of closed eyes, AU43", "au.AU43.auc", 3, 1),
    )
    facts = []
    for metric in wanted:
        value, _, bounds = with_interval(metrics, metric.path, metric.digits).partition(" (")
        facts.append((value, metric.heading, bounds.removesuffix(")")))
    return facts


def _plots(metrics: Mapping[str, Any], predictions: Predictions) -> dict[str, str]:
    known = np.isfinite(predictions.pspi_true)
    truth, guess = predictions.pspi_true[known], predictions.pspi[known]
    questions = binary_questions(predictions)
    curves = []
    for place, least in enumerate(THRESHOLDS):
        labels, score = questions[HEADS[place]]
        rows = np.isfinite(labels)
        curves.append((f"PSPI ≥ {least}", labels[rows], score[rows]))
    ranked = [
        (f"{name}: {_auroc(metrics['thresholds'][str(least)])}", labels, score)
        for least, (name, labels, score) in zip(THRESHOLDS, curves, strict=True)
    ]
    slices = metrics["slices"]
    return {
        "levels": plots.levels_plot(truth, guess),
        "agreement": plots.agreement_plot(truth, guess, metrics["pspi"]["limits_of_agreement"]),
        "roc": plots.roc_plot(ranked),
        "calibration": plots.calibration_plot(curves),
        "units": plots.units_plot(metrics["au"]),
        "mae": plots.slices_plot(slices, "mae", "mean absolute error, PSPI", metrics["pspi"]["mae"]) if slices else "",
        "mean_error": plots.slices_plot(slices, "mean_error", "mean error, PSPI", metrics["pspi"]["bias"])
        if slices
        else "",
    }


def _auroc(question: Mapping[str, Any]) -> str:
    return "n/a" if question["auroc"] is None else f"AUROC {question['auroc']:.3f}"


def _difference_cells(found: Mapping[str, Any]) -> list[str]:
    return [
        NOTHING if one["difference"] is None else bounded(one["difference"], one["ci"], 2 if name in ERRORS else 3)
        for name, one in found.items()
    ]


def _threshold_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Cells of the table of yes-or-no questions."""
    questions = []
    for least, head in metrics["thresholds"].items():
        questions.append((f"PSPI ≥ {least}, own head", f"thresholds.{least}", "auroc", head))
        questions.append((f"PSPI ≥ {least}, PSPI score", f"thresholds.{least}.by_score", "auroc", head["by_score"]))
    questions.append(("eyes closed, AU43", "au.AU43", "auc", metrics["au"]["AU43"]))
    rows = []
    for words, path, area, found in questions:
        cells = [f"{found['positives']:,} of {found['positives'] + found['negatives']:,}"]
        cells += [with_interval(metrics, f"{path}.{name}", 3) for name in (area, "balanced_accuracy")]
        cells += [_shown(found["mcc"], 3), with_interval(metrics, f"{path}.f1", 3)]
        cells += [_shown(found[name], 3) for name in ("f1_always_yes", "precision", "recall", "threshold")]
        rows.append([words, *cells])
    return rows


def _unit_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    return [
        [unit, *(with_interval(metrics, f"au.{unit}.{name}", 2) for name in ("pearson", "partial", "icc", "mae"))]
        for unit, found in metrics["au"].items()
        if "pearson" in found
    ]


def _slice_rows(metrics: Mapping[str, Any]) -> list[tuple[str, list[list[str]]]]:
    tables = []
    for name, words in metrics["slices"].items():
        rows = []
        for word, found in words.items():
            path = f"slices.{name}.{word}"
            rows.append(
                [
                    word,
                    f"{found['pictures']:,}",
                    f"{found['subjects']:,}",
                    _shown(found["pearson"], 3),
                    *(with_interval({"it": found}, f"it.{name}", 2) for name in ("mae", "mean_error")),
                    _shown(found["auroc"], 3) if found["auroc"] is not None else _reason(metrics, f"{path}.auroc"),
                ]
            )
        tables.append((name, rows))
    return tables


def _reason(metrics: Mapping[str, Any], path: str) -> str:
    return f"{NOTHING} ({metrics['undefined'].get(path, 'unknown')})"


def _shown(value: float | None, digits: int) -> str:
    return NOTHING if value is None else signed(value, digits)


def _gallery(predictions: Predictions, gallery: Gallery | None) -> list[tuple[str, list[dict[str, Any]]]]:
    if gallery is None:
        return []
    over, under = worst_rows(predictions)
    shown = []
    for words, rows in (("Scored too high", over), ("Scored too low", under)):
        cards = []
        for row, (picture, neutral) in zip(rows, gallery(rows) if rows else (), strict=True):
            cards.append(
                {
                    "name": predictions.ids[row],
                    "picture": _data_uri(picture),
                    "neutral": None if neutral is None else _data_uri(neutral),
                    "truth": f"{predictions.pspi_true[row]:g}",
                    "guess": f"{predictions.pspi[row]:.1f}",
                }
            )
        shown.append((words, cards))
    return shown


def _data_uri(encoded: bytes) -> str:
    kind = "png" if encoded.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def _finite(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON doesn't have, and plain numbers for numpy's."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return str(value) if isinstance(value, Path) else value
