"""Knows an evaluation from runs to report: who is asked, whom they may not be, and what stands beside the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.records import SPLITS
from pain3d.training.data.batches import crop_side, ordered_batches
from pain3d.training.data.samples import Samples
from pain3d.training.data.store import CropStore
from pain3d.training.evaluation.comparison import comparison_table
from pain3d.training.evaluation.metrics import metrics, pooled_metrics
from pain3d.training.evaluation.overlap import STRANGERS, acquaintance, refuse_overlap
from pain3d.training.evaluation.predictions import (
    Predictions,
    mean_predictor,
    read_predictions,
    together,
    write_predictions,
)
from pain3d.training.evaluation.report import write_report
from pain3d.training.loop import precision_of
from pain3d.training.model.pretrained import load_pretrained
from pain3d.training.predict import ask, split_rows
from pain3d.training.run import EVALUATION, VALIDATION, Run, open_for, names, open_run, people_of, pick_device, split_samples

EVERYBODY: Final = "all"
MEAN: Final = "mean predictor"
Rows = npt.NDArray[np.int64]
Gallery = Callable[[Sequence[int]], list[tuple[bytes, bytes | None]]]


@dataclass(frozen=True)
class Asked:
    """A run, whom it knows, the pictures it was asked about and what it said."""

    run: Run
    seen: dict[str, list[str]]
    samples: Samples
    rows: Rows
    said: Predictions
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
    """Ask runs about people, by default those whom they never saw, write the report, print one table.

    Args:
        folders: One run, or the runs of several folds, whose answers are pooled.
        data: The data set; None is the one that each run learned from.
        split: Which people: ``test``, ``validation``, ``train`` or ``all``.
        beside: Other runs, asked about the same pictures.
        to: Folder of the report; None is ``evaluation`` in the first run's.
        resamples: Of people, for the intervals.
        quiet: Print nothing.

    Returns:
        The metrics, without the tables beside them, and under ``people`` whether these are strangers to the runs.

    Raises:
        RefusedError: A run or data set can't be read, nobody is in the split, or somebody in ``test`` or ``all`` was
            learned from.
    """
    if split not in (*SPLITS, EVERYBODY):
        raise RefusedError(f"--split must be one of {', '.join((*SPLITS, EVERYBODY))}, got {split!r}")
    if not 0 <= resamples <= 1_000_000:
        raise RefusedError(f"--resamples must be a whole number from 0 to 1000000, got {resamples}")
    runs, others = [open_run(folder) for folder in folders], [open_run(folder) for folder in beside]
    if len(runs) > 1 and others:
        raise RefusedError("--beside goes with one --model: folds are pooled")
    asked = [_ask(run, open_for(data or Path(run.data), run.config), split, None, quiet) for run in runs]
    first = asked[0]
    if len(asked) == 1:
        learned = split_rows(first.samples, "train")
        trained = first.samples.pspi[learned]
        mean = float(np.nanmean(trained)) if np.isfinite(trained).any() else None
        figures = metrics(first.said, first.validation, resamples=resamples, trained_mean=mean)
        rivals = {other.folder.name: _ask(other, first.samples, split, first.rows, quiet) for other in others}
        rows = {
            name: metrics(r.said, r.validation, resamples=resamples, trained_mean=mean) for name, r in rivals.items()
        }
        if len(learned):
            constant = mean_predictor(first.samples, learned, first.rows)
            rows[MEAN] = metrics(constant, None, resamples=resamples, trained_mean=mean)
    else:
        figures = pooled_metrics([(one.said, one.validation) for one in asked], resamples=resamples)
        rivals, rows = {}, {}
    figures["people"] = people = _acquaintance([*asked, *rivals.values()])
    folder = to or first.run.folder / EVALUATION
    folder.mkdir(parents=True, exist_ok=True)
    said = together([one.said for one in asked])
    name = first.run.folder.resolve().name
    write_report(
        folder,
        name,
        figures,
        said,
        others=rows,
        rivals={rival: r.said for rival, r in rivals.items()},
        gallery=_gallery(asked),
        about=_about(asked, split),
        people=people,
    )
    write_predictions(folder / "predictions.parquet", said)
    if not quiet:
        print(comparison_table([(name, figures), *rows.items()]).terminal(), end="")
        if people != STRANGERS:
            print(people)
        print(f"report  {folder / 'index.html'}")
    return figures


def _ask(run: Run, data: Samples, split: str, rows: Rows | None, quiet: bool) -> Asked:
    """What a run says of a split, or of given rows. Raises RefusedError where it knows one of the people."""
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
        said, _ = ask(
            model,
            store,
            rows,
            shots=run.config.shots,
            device=device,
            precision=precision_of(run.config, device),
            done=progress.add,
        )
    path = run.folder / VALIDATION
    validation = read_predictions(path) if path.is_file() and split != "validation" else None
    return Asked(run, seen, samples, rows, said, validation)


def _acquaintance(asked: Sequence[Asked]) -> str:
    """Whether those who were tested are strangers to the runs that were asked about them, a sentence."""
    tested, trained, chosen_by = set(), set(), set()
    for one in asked:
        people = set(names(one.samples, one.rows))
        tested |= people
        trained |= people & set(one.seen["train"])
        chosen_by |= people & set(one.seen["validation"])
    return acquaintance(tested, trained, chosen_by)


def _gallery(asked: Sequence[Asked]) -> Gallery:
    """Pictures and neutral pictures of rows of the joined predictions, as the net saw them."""
    places = [(one, int(row)) for one in asked for row in one.rows]

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


def _about(asked: Sequence[Asked], split: str) -> dict[str, Any]:
    """What the report says of how it came about."""
    first = asked[0].run
    folds = f"{len(asked)} folds" if len(asked) > 1 else ""
    told = {
        "task": first.task,
        "data": asked[0].samples.name,
        "split": " of ".join(word for word in (split, folds) if word),
        "seed": first.config.seed,
        "steps": first.config.steps,
        "batch": first.config.batch,
        "backbone": first.config.backbone,
        "neutral": first.config.neutral,
        "online": first.config.online,
    }
    return told
