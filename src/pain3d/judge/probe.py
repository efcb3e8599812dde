"""Knows the AU probe: half of a data set's people teach a small network, the others test it; what wrinkle maps add.

Network, loop and augmentation are those of ``pain3d train --task siamese``; the loss is that of action units alone.

The data should be drawn by the independent law, with a camera, light and background of its own for every picture: where
action units come together, a network that knows only how bad it is looks as if it knew each of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.face.landmarker import INSTALL
from pain3d.judge.drawing import new_plot, saved
from pain3d.judge.measures import correlation, partial_correlation, ranking
from pain3d.judge.verdict import Cell, Figure, Measure, Table, Verdict
from pain3d.pipeline.data_set import DataSet
from pain3d.training.config import TrainConfig, preset
from pain3d.training.data import open_data
from pain3d.training.data.augmentation import Augmentation, augment
from pain3d.training.data.batches import Batches, crop_side
from pain3d.training.data.samples import UNITS, Samples, pspi_of, require_neutrals
from pain3d.training.data.store import CropStore
from pain3d.training.evaluation.predictions import Predictions
from pain3d.training.loop import TrainingJob, learn, precision_of
from pain3d.training.prediction import predict
from pain3d.training.task import SIAMESE, make_task

LEAST_R, LEAST_AUC = 0.80, 0.99
GRID = 24  # identities that hold each demographic cell once: halves are taken in such blocks where there are enough
LEAST_PEOPLE = 4
CPU = torch.device("cpu")


class Tested(NamedTuple):
    """What a probe predicted for the pain pictures of people whom it never saw, and of those who taught it."""

    unseen: Predictions
    taught: Predictions


def scores(found: Predictions) -> list[float]:
    """Pearson's r for each intensity, the area under the curve for AU43."""
    pairs = list(zip(found.au.T, found.au_true.T, strict=True))
    return [*(correlation(*pair) for pair in pairs[:5]), ranking(*pairs[5])]


def judge_probe(data: DataSet, ablation: DataSet | None, *, steps: int, neutral: bool, quiet: bool) -> Verdict:
    """Train and test; with `ablation`, the same again on a data set without wrinkle maps."""
    tested = run_probe(data, steps, neutral, quiet)
    without = run_probe(ablation, steps, neutral, quiet) if ablation is not None else None
    return summarise(data, tested, without, steps, neutral)


def run_probe(data: DataSet, steps: int, neutral: bool, quiet: bool) -> Tested:
    """Teach a probe with half of the people and test it on both halves.

    Raises:
        RefusedError: Too few people, one without a neutral picture, half of them without pain, or no timm.
    """
    settings = preset("tiny", SIAMESE)
    config = replace(settings, steps=steps, neutral=neutral, pspi_weight=0.0, binary_weight=0.0, validations=0)
    return teach_and_test(open_data(data.out), config, quiet)


def teach_and_test(samples: Samples, config: TrainConfig, quiet: bool) -> Tested:
    """See `run_probe`."""
    if len(samples.subjects) < LEAST_PEOPLE:
        people = len(samples.subjects)
        raise RefusedError(f"{samples.name}: the probe needs {LEAST_PEOPLE} identities, there are {people}")
    teaches = taught_half(samples.subject)
    taught, others = np.flatnonzero(teaches), np.flatnonzero(~teaches)
    for half in (taught, others):
        require_neutrals(samples, half)
        if samples.neutral[half].all():
            raise RefusedError(f"{samples.name}: the probe needs pictures of pain in both halves of the people")
    try:
        task = make_task(SIAMESE, config)
    except ImportError as error:
        raise RefusedError(f"the probe's net needs {error.name}: {INSTALL}") from None
    task.to(CPU)
    store = CropStore(samples, crop_side(config.image_size), cache_mb=config.cache_mb)
    batches = Batches(store, taught, size=config.batch, group=config.group, neutral=config.neutral, seed=config.seed)
    strength = Augmentation()
    job = TrainingJob(
        task.model,
        task.loss,
        load=batches,
        augment=lambda raw, step: augment(raw, config.image_size, config.seed, step, CPU, strength),
        config=config,
        quiet=quiet,
    )
    model = learn(job).model
    with Progress(len(samples), quiet=quiet) as progress:
        found, _ = predict(
            model,
            store,
            np.concatenate([others, taught]),
            num_references=1,
            device=CPU,
            precision=precision_of(config, CPU),
            done=progress.add,
        )
    unseen = np.arange(len(found)) < len(others)
    return Tested(found.only(unseen & ~found.neutral), found.only(~unseen & ~found.neutral))


def taught_half(subject: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which pictures teach: those of every second block of GRID people, or of every second person of a few."""
    numbers = np.unique(subject)
    block = GRID if len(numbers) >= 2 * GRID else 1
    return np.asarray(np.searchsorted(numbers, subject) // block % 2 == 0)


def summarise(data: DataSet, tested: Tested, without: Tested | None, steps: int, neutral: bool) -> Verdict:
    """Scores by action unit and yaw, what the wrinkle maps add, and a figure."""
    unseen = tested.unseen
    of_unseen, of_taught = scores(unseen), scores(tested.taught)
    names = [f"AU{int(unit[2:])}" for unit in UNITS]
    measures = [Measure(f"{n}, r on unseen people", s, "", LEAST_R) for n, s in zip(names[:5], of_unseen, strict=False)]
    measures.append(Measure("AU43, AUC on unseen people", of_unseen[5], "", LEAST_AUC))
    pspi_true = pspi_of(unseen.au_true)
    measures.append(Measure("PSPI of what it says, r", correlation(pspi_of(unseen.au), pspi_true)))
    eyes_open = unseen.only(unseen.au_true[:, 5] == 0)  # a shut lid hides what tightens it
    looking = [*scores(eyes_open)[:5], None]
    rows: list[tuple[Cell, ...]] = []
    for i, name in enumerate(names):
        error = float(np.abs(unseen.au[:, i] - unseen.au_true[:, i]).mean())
        partial = partial_correlation(unseen.au[:, i], unseen.au_true[:, i], pspi_true)
        rows.append((name, of_unseen[i], looking[i], of_taught[i], error, partial))
    tables = [
        Table(
            "By action unit",
            (
                "action unit",
                "unseen people",
                "eyes open",
                "people it learnt from",
                "mean error",
                "partial r given PSPI",
            ),
            tuple(rows),
            "Pearson's r of the intensity; for AU43 the area under the curve, and an error on 0 to 1.",
        ),
        _yaw_table(names, unseen),
    ]
    if without is not None:
        plain = scores(without.unseen)
        lines = [(n, s, p, s - p) for n, s, p in zip(names, of_unseen, plain, strict=True)]
        tables.insert(
            0, Table("What wrinkle maps add", ("action unit", "with", "geometry only", "difference"), tuple(lines))
        )
    law = data.resolved.get("law", "unknown")
    people = "and the person's neutral face " if neutral else ""
    return Verdict(
        "probe",
        "Action unit probe",
        f"The siamese conv net of `pain3d train` sees the face {people}and says six action units; {steps} steps of 64 "
        f"pictures from half of the people, tested on {len(unseen)} pictures of the others. Labels drawn by the "
        f"{law} law.",
        measures,
        tables,
        [Figure("probe", "What it says of unseen people, by what is true: median, half and 90 %.", _plot(unseen))],
        {
            "steps": steps,
            "neutral": neutral,
            "law": law,
            "pictures_tested": len(unseen),
            "scores": dict(zip(names, of_unseen, strict=True)),
            "scores_without_wrinkles": dict(zip(names, scores(without.unseen), strict=True)) if without else None,
        },
    )


def _yaw_table(names: list[str], unseen: Predictions) -> Table:
    yaws = np.array(unseen.slices["yaw"])
    rows: list[tuple[Cell, ...]] = []
    for yaw in sorted(set(yaws.tolist())):
        inside = unseen.only(yaws == yaw)
        rows.append((yaw, len(inside), *scores(inside)))
    return Table("Unseen people, by |yaw|", ("yaw", "pictures", *names), tuple(rows))


def _plot(unseen: Predictions) -> bytes:
    figure, axes = new_plot(6, 1, 2.4, 2.6)
    for place, (axis, unit) in enumerate(zip(axes[0], UNITS, strict=True)):
        true = unseen.au_true[:, place].round()
        levels = np.unique(true)
        groups = [unseen.au[true == level, place] for level in levels]
        axis.boxplot(groups, positions=levels, widths=0.6, showfliers=False, whis=(5, 95),
                     medianprops={"color": "#c2410c", "linewidth": 2}, manage_ticks=False)  # fmt: skip
        axis.set(title=f"AU{int(unit[2:])}", xlabel="true", xticks=levels)
    axes[0, 0].set(ylabel="said")
    return saved(figure)
