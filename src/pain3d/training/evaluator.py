"""Knows an evaluation from runs to report: on whom runs are tested, whom they may not be, and what stands beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.files import make_folders, refuse_link
from pain3d.records import SPLITS
from pain3d.training.data.batches import crop_side, ordered_batches
from pain3d.training.data.samples import Samples
from pain3d.training.data.store import CropStore
from pain3d.training.evaluation.comparison import comparison_table
from pain3d.training.evaluation.metrics import always_yes, compute_metrics, pooled_metrics
from pain3d.training.evaluation.overlap import STRANGERS, acquaintance, refuse_overlap
from pain3d.training.evaluation.predictions import (
    Predictions,
    concatenate,
    constant_like,
    mean_predictor,
    read_predictions,
    write_predictions,
)
from pain3d.training.evaluation.report import refuse_other_report, write_report
from pain3d.training.loop import precision_of
from pain3d.training.model.pretrained import load_pretrained
from pain3d.training.prediction import predict, split_rows
from pain3d.training.run import (
    EVALUATION,
    VALIDATION,
    Run,
    names,
    open_for,
    open_run,
    people_of,
    pick_device,
    split_samples,
)

EVERYBODY: Final = "all"
MEAN, ALWAYS_YES = "mean predictor", "always yes"  # beside every model: what any model must beat
Rows = npt.NDArray[np.int64]
Gallery = Callable[[Sequence[int]], list[tuple[bytes, bytes | None]]]


@dataclass(frozen=True)
class TestedRun:
    """A run, whom it knows, the pictures that it was tested on and its predictions."""

    run: Run
    seen: dict[str, list[str]]
    samples: Samples
    rows: Rows
    predictions: Predictions
    validation: Predictions | None


def evaluate(
    folders: Sequence[Path],
    *,
    data: Path | None,
    split: str,
    beside: Sequence[Path],
    to: Path | None,
    resamples: int,
    quiet: bool,
) -> dict[str, Any]:
    """Test runs on people, by default those whom they never saw, write the report, print one table.

    Args:
        folders: One run, or the runs of several folds, whose predictions are pooled.
        data: The data set; None is the one that each run learned from.
        split: Which people: ``test``, ``validation``, ``train`` or ``all``.
        beside: Other runs, tested on the same pictures.
        to: Folder of the report; None is one of the split and the data set in the first run's, see `_folder_name`.
        resamples: Of people, for the intervals.
        quiet: Print nothing.

    Returns:
        The metrics, without the tables beside them, and under ``people`` whether these are strangers to the runs.

    Raises:
        RefusedError: A run or data set can't be read, nobody is in the split, somebody in ``test`` or ``all`` was
            learned from, or the folder holds the report of another test.
    """
    if split not in (*SPLITS, EVERYBODY):
        raise RefusedError(f"--split must be one of {', '.join((*SPLITS, EVERYBODY))}, got {split!r}")
    if not 0 <= resamples <= 1_000_000:
        raise RefusedError(f"--resamples must be a whole number from 0 to 1000000, got {resamples}")
    runs, others = [open_run(folder) for folder in folders], [open_run(folder) for folder in beside]
    if len(runs) > 1 and others:
        raise RefusedError("--beside goes with one --model: folds are pooled")
    opened = [open_for(data or Path(run.data), run.config) for run in runs]
    folder = to or runs[0].folder / _folder_name(runs, opened[0], split)
    if to is None:
        refuse_link(folder)
    name, about = runs[0].folder.resolve().name, _about(runs, opened[0], split)
    refuse_other_report(folder, name, about)  # before the minutes that follow
    parts = [_test_run(run, samples, split, None, quiet) for run, samples in zip(runs, opened, strict=True)]
    first = parts[0]
    if len(parts) == 1:
        trained = first.samples.pspi[split_rows(first.samples, "train")]
        mean = float(np.nanmean(trained)) if np.isfinite(trained).any() else None
        found = compute_metrics(first.predictions, first.validation, resamples=resamples, trained_mean=mean)
        rivals = {other.folder.name: _test_run(other, first.samples, split, first.rows, quiet) for other in others}
        rows = {
            name: compute_metrics(other.predictions, other.validation, resamples=resamples, trained_mean=mean)
            for name, other in rivals.items()
        }
        if (constant := _mean_predictor(first)) is not None:
            rows[MEAN] = compute_metrics(*constant, resamples=resamples, trained_mean=mean)
    else:
        found = pooled_metrics([(one.predictions, one.validation) for one in parts], resamples=resamples)
        rivals, rows = {}, {}
        constants = [constant for constant in map(_mean_predictor, parts) if constant is not None]
        if len(constants) == len(parts):
            rows[MEAN] = pooled_metrics(constants, resamples=resamples)
    found["people"] = people = _acquaintance([*parts, *rivals.values()])
    predictions = concatenate([one.predictions for one in parts])
    rows[ALWAYS_YES] = always_yes(predictions, resamples=resamples)
    make_folders(folder)
    write_report(
        folder,
        name,
        found,
        predictions,
        others=rows,
        rivals={rival: other.predictions for rival, other in rivals.items()},
        gallery=_gallery(parts),
        about=about,
        people=people,
    )
    write_predictions(folder / "predictions.parquet", predictions)
    if not quiet:
        if people != STRANGERS:
            print(people)
        print(comparison_table([(name, found), *rows.items()]).terminal(), end="")
        print(f"report  {folder / 'index.html'}")
    return found


def _test_run(run: Run, data: Samples, split: str, rows: Rows | None, quiet: bool) -> TestedRun:
    """Predictions of a run for a split, or for given rows. Raises RefusedError where it knows one of the people."""
    samples = data if rows is not None or split == EVERYBODY else split_samples(data, run.config)
    if rows is None:
        rows = np.arange(len(samples)) if split == EVERYBODY else split_rows(samples, split)
    if not len(rows):
        raise RefusedError(f"{samples.name}: nobody in its split {split}")
    seen = people_of(run.folder)
    if split in ("test", EVERYBODY):  # the others are asked for by name; the report says that they are known
        refuse_overlap([*seen["train"], *seen["validation"]], names(samples, rows))
    device = pick_device(run.config.device)
    model = load_pretrained(run.folder, device)
    store = CropStore(
        samples, crop_side(run.config.image_size), cache_mb=run.config.cache_mb, heatmaps=run.task == "teacher"
    )
    with Progress(len(rows), quiet=quiet) as progress:
        predictions, _ = predict(
            model,
            store,
            rows,
            num_references=run.config.num_references,
            device=device,
            precision=precision_of(run.config, device),
            done=progress.add,
        )
    path = run.folder / VALIDATION
    validation = read_predictions(path) if path.is_file() and split != "validation" else None
    return TestedRun(run, seen, samples, rows, predictions, validation)


def _mean_predictor(one: TestedRun) -> tuple[Predictions, Predictions | None] | None:
    """The training labels' means, said of a test's pictures and of those that choose thresholds; None: no labels."""
    learned = split_rows(one.samples, "train")
    if not len(learned):
        return None
    constant = mean_predictor(one.samples, learned, one.rows)
    return constant, None if one.validation is None else constant_like(constant, one.validation)


def _folder_name(runs: Sequence[Run], samples: Samples, split: str) -> str:
    """``evaluation`` for one run on the test people of its own data; what differs is in the name: each has its own."""
    words = [] if split == "test" else [split]
    words += [] if samples.key == runs[0].data_key else [samples.name.replace(" ", "_")]
    return "_".join([EVALUATION, *words, *([f"{len(runs)}_folds"] if len(runs) > 1 else [])])


def _acquaintance(parts: Sequence[TestedRun]) -> str:
    """Whether the people of a test are strangers to the runs that were tested on them, a sentence."""
    tested, trained, chosen_by = set(), set(), set()
    for one in parts:
        people = set(names(one.samples, one.rows))
        tested |= people
        trained |= people & set(one.seen["train"])
        chosen_by |= people & set(one.seen["validation"])
    return acquaintance(tested, trained, chosen_by, all(one.samples.key == one.run.data_key for one in parts))


def _gallery(parts: Sequence[TestedRun]) -> Gallery:
    """Pictures and neutral pictures of rows of the joined predictions, as the net saw them."""
    places = [(one, int(row)) for one in parts for row in one.rows]

    def drawn(chosen: Sequence[int]) -> list[tuple[bytes, bytes | None]]:
        pictures = []
        for number in chosen:
            one, row = places[number]
            config = one.run.config
            store = CropStore(one.samples, crop_side(config.image_size), cache_mb=0)
            raw = next(iter(ordered_batches(store, [row], 1, 1, config.neutral)))
            known = None if raw.neutral is None else _png(raw.neutral[0].numpy())
            pictures.append((_png(raw.image[0].numpy()), known))
        return pictures

    return drawn


def _png(picture: npt.NDArray[np.uint8]) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())


def _about(runs: Sequence[Run], samples: Samples, split: str) -> dict[str, Any]:
    """What the report says of how it came about."""
    first = runs[0]
    folds = f"{len(runs)} folds" if len(runs) > 1 else ""
    return {
        "task": first.task,
        "data": samples.name,
        "data_key": samples.key[:12],
        "split": " of ".join(word for word in (split, folds) if word),
        "seed": first.config.seed,
        "steps": first.config.steps,
        "batch": first.config.batch,
        "backbone": first.config.backbone,
        "neutral": first.config.neutral,
        "online": first.config.online,
    }
