"""Knows a training run from its data to its folder: what is there, whether it may go on, what it leaves.

A run's folder: ``config.resolved.yaml`` says what it is, ``people.json`` whom it learned from, ``log.jsonl`` and
``tensorboard/`` how it went, ``checkpoint.safetensors`` where it stands, ``model/`` what came of it, ``evaluation/``
how good that is on people whom it never saw. Longer than others, because whether a run may go on is told beside what it
leaves.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.console.refused import RefusedError, one_line, quoted
from pain3d.doors.text import read_json, read_yaml
from pain3d.files import flush_folder, make_inside, rename, write_durably
from pain3d.provenance import code_version, pain3d_version
from pain3d.random import keyed_generator
from pain3d.ranks import Ranks, launched_ranks
from pain3d.run_folder import RESOLVED, RunFolder, RunKind
from pain3d.training.config import HOW, TASKS, TrainConfig, config_hash, style_families, validated
from pain3d.training.data import open_data
from pain3d.training.data.augmentation import Augmentation, augment
from pain3d.training.data.batch import Batch, RawBatch, share_of
from pain3d.training.data.batches import Batches, crop_side
from pain3d.training.data.folds import fold_split
from pain3d.training.data.samples import Samples
from pain3d.training.data.store import CropStore
from pain3d.training.data.style import NO_STYLES, Styles
from pain3d.training.evaluation.consistency import heads_apart
from pain3d.training.evaluation.predictions import Predictions, write_predictions
from pain3d.training.evaluation.spread import spread_scale
from pain3d.training.loop import ALONE, Learned, TrainingJob, learn, precision_of
from pain3d.training.model.pretrained import save_pretrained
from pain3d.training.prediction import predict, split_rows, validation_metrics
from pain3d.training.score.appearance import STATISTICS
from pain3d.training.score.out_of_distribution import fit_ood, save_ood
from pain3d.training.task import SIAMESE, Task, make_task

PEOPLE, MODEL = "people.json", "model"
VALIDATION, EVALUATION = "validation.parquet", "evaluation"
OOD_PICTURES = 4000  # about, to fit the out-of-distribution score: enough for a covariance of 1,024 numbers
FORMAT = 2  # of the folder; raised when a reader of an older run would be wrong. 2: lr, num_references, vitpain, …
BEFORE: Final[dict[str, Any]] = {
    "fusion": "attention",
    "pair_weight": 0.0,
}  # what a run did before there was a setting for it


@dataclass(frozen=True)
class Run:
    """A run's folder as it was resolved."""

    folder: Path
    task: str
    data: str
    data_key: str
    config: TrainConfig
    hash: str


def train(folder: Path, data: Path, task_name: str, config: TrainConfig, quiet: bool) -> Learned | None:
    """Learn, or go on learning, and leave a model; None where this run is finished already.

    Raises:
        RefusedError: Data, settings or folder don't allow it; nothing is written then.
    """
    if (folder / RESOLVED).is_file():
        open_run(folder)  # says of which format it is, if not of this one
    ranks = launched_ranks()
    if ranks.count > 1 and task_name == SIAMESE:
        raise RefusedError(f"--task {SIAMESE}: a small net, it learns in one process, not in {ranks.count}")
    device = pick_device(config.device, ranks)
    samples = split_samples(open_for(data, config), config)
    task = make_task(task_name, config, "whole" if np.isnan(samples.square).all() else "square")
    _check_heatmaps(samples, task, config)
    rows = training_rows(samples, config)
    identifier = config_hash(task_name, config, samples.key)
    run = Run(folder, task_name, str(data.resolve()), samples.key, config, identifier)
    with (
        _batches(samples, rows, task, config, device, ranks) as batches,
        ranks.together(),
        _folder_of(run, ranks) as finished,
    ):
        return None if finished else _learn_in(run, samples, task, rows, batches, device, quiet, ranks)


@contextmanager
def _folder_of(run: Run, ranks: Ranks) -> Iterator[bool]:
    """The run's folder, this run's alone, and whether it is finished; rank 0 opens it. Raises RefusedError."""
    with ExitStack() as stack:
        finished = False
        if ranks.rank == 0:
            finished = stack.enter_context(RunFolder(run.folder, TRAINING, _resolved(run))).finished
        yield bool(ranks.from_first(finished))


def _learn_in(
    run: Run,
    samples: Samples,
    task: Task,
    rows: npt.NDArray[np.int64],
    batches: Callable[[int], RawBatch],
    device: torch.device,
    quiet: bool,
    ranks: Ranks,
) -> Learned:
    """Learn in a folder that is this run's alone."""
    folder, config = run.folder, run.config
    validation_rows = split_rows(samples, "validation")
    validation_store = _store(samples, config, task.heatmaps) if len(validation_rows) else None
    precision = precision_of(config, device)
    predict_rows = partial(predict, num_references=config.num_references, device=device, precision=precision)

    def validate(model: Any) -> dict[str, float]:
        assert validation_store is not None
        return validation_metrics(predict_rows(model, validation_store, validation_rows)[0])

    if ranks.rank == 0:
        people = {"train": names(samples, rows), "validation": names(samples, validation_rows)}
        _write_json(folder / PEOPLE, {"data": samples.name, **people})
    strength = scaled(Augmentation(), config.augment)
    styles = NO_STYLES  # of pictures; a heat map has none
    if not task.heatmaps:
        styles = Styles(style_families(config.styles), config.style_strength, config.style_shared)
    task.to(device)
    job = TrainingJob(
        task.model,
        partial(_balanced_loss, task, ranks),
        load=batches if device.type == "cpu" or config.online else lambda step: batches(step).pinned(),
        augment=lambda raw, step: augment(raw, config.image_size, config.seed, step, device, strength, styles),
        config=config,
        validate=validate if validation_store is not None else None,
        folder=folder,
        run_hash=run.hash,
        quiet=quiet,
        ranks=ranks,
    )
    learned = learn(job)
    if ranks.rank == 0:
        _leave_model(run, learned, samples, task, rows, validation_store, validation_rows, predict_rows)
    return learned


def _balanced_loss(task: Task, ranks: Ranks, model: Any, batch: Batch, average: Any) -> dict[str, Tensor]:
    """The task's loss, such that its mean over the ranks is the loss of the whole batch.

    A loss is a mean weighted by the pictures' weights. Over ranks, Σ w l / Σ w is the mean of their losses, each times
    its part of the weights.
    """
    parts = task.loss(model, batch, average)
    if ranks.count == 1 or task.config.pain_weight == 1:  # equal weights: as much on each rank
        return parts
    import torch.distributed as dist

    own = batch.labels.weight.sum().cpu()
    total = own.clone()
    dist.all_reduce(total)
    share = float(own * ranks.count / total.clamp_min(1e-12))
    return {name: part * share for name, part in parts.items()}


def open_run(folder: Path) -> Run:
    """A run by its folder. Raises RefusedError if it is none."""
    path = folder / RESOLVED
    if not folder.is_dir():
        raise RefusedError(f"{folder}: no such folder")
    if not path.is_file():
        raise RefusedError(f"{folder}: not a training run of pain3d, it has no {RESOLVED}")
    try:
        held = read_yaml(path)
        if not isinstance(held, dict) or "task" not in held:
            ours = isinstance(held, dict) and "pain3d_format" in held
            other = "a data set, which --data takes" if ours else "something else"
            raise RefusedError(f"{folder}: not a training run of pain3d, its {RESOLVED} is of {other}")
        if held["format"] != FORMAT:
            raise RefusedError(f"{path}: format {quoted(held['format'])}, of another pain3d; this one reads {FORMAT}")
        config = TrainConfig(**{**BEFORE, **held["config"]})
        run = Run(folder, held["task"], held["data"], held["data_key"], config, held["hash"])
    except (KeyError, TypeError) as error:
        raise RefusedError(f"{path}: can't be read ({type(error).__name__}: {one_line(error)})") from error
    for name, word in (("task", run.task), ("data", run.data), ("data_key", run.data_key), ("hash", run.hash)):
        if not isinstance(word, str) or (name == "task" and word not in TASKS):
            raise RefusedError(f"{path}: {name} is {quoted(word)}")
    try:
        validated(run.config)
    except RefusedError as error:
        raise RefusedError(f"{path}: {error}") from error
    return run


def people_of(folder: Path) -> dict[str, list[str]]:
    """Whom a run learned from and was chosen by: names under ``train`` and ``validation``. Raises RefusedError."""
    path = folder / PEOPLE
    try:
        held = read_json(path)
    except RefusedError as error:
        raise RefusedError(f"{error}, so nobody knows whom this model has seen") from error
    seen: dict[str, Any] = {
        split: held.get(split) if isinstance(held, dict) else None for split in ("train", "validation")
    }
    for split, people in seen.items():
        if not isinstance(people, list) or not all(isinstance(person, str) for person in people):
            raise RefusedError(f"{path}: names no people under {split}, so nobody knows whom this model has seen")
    return seen


def pick_device(asked: str, ranks: Ranks = ALONE) -> torch.device:
    """The device that was asked for, on a machine of several GPUs that of the rank. Raises RefusedError."""
    found = torch.cuda.device_count() if asked != "cpu" and torch.cuda.is_available() else 0
    if asked == "cuda" and not found:
        raise RefusedError("--device cuda: torch sees no CUDA device")
    if not found:
        return torch.device("cpu")
    if ranks.local_count > found:
        raise RefusedError(f"{ranks.local_count} ranks on this machine, torch sees {found} CUDA devices")
    if ranks.count > 1:
        torch.cuda.set_device(ranks.local_rank)
    return torch.device("cuda")


def open_for(data: Path, config: TrainConfig) -> Samples:
    """A data set, split by its published folds if the run asks for none of its own. Raises RefusedError."""
    return open_data(data, 0 if config.folds else config.fold)


def split_samples(samples: Samples, config: TrainConfig) -> Samples:
    """Samples with the split that the run asks for. Raises RefusedError where there is none."""
    if config.folds:
        return fold_split(samples, config.folds, config.fold, config.seed)
    if samples.split is None:
        raise RefusedError(f"{samples.name}: it has no split of its own, give --folds K --fold N")
    return samples


def training_rows(samples: Samples, config: TrainConfig) -> npt.NDArray[np.int64]:
    """Rows to learn from: the training split, or that of so many of its people, drawn by key. Raises RefusedError."""
    rows = split_rows(samples, "train")
    if not len(rows):
        raise RefusedError(f"{samples.name}: nobody to learn from in its split train")
    people = np.unique(samples.subject[rows])
    if config.people and config.people > len(people):
        raise RefusedError(f"people: {config.people} asked for, {samples.name} has {len(people)} to learn from")
    if config.people:
        chosen = keyed_generator(config.seed, "people").permutation(people)[: config.people]
        rows = rows[np.isin(samples.subject[rows], chosen)]
    return rows


def names(samples: Samples, rows: npt.NDArray[np.int64]) -> list[str]:
    """Names of the people in rows."""
    return [samples.subjects[person] for person in np.unique(samples.subject[rows])]


def scaled(strength: Augmentation, factor: float) -> Augmentation:
    """Augmentation so many times as strong; chances stop at 1."""
    parts = {field.name: getattr(strength, field.name) * factor for field in dataclasses.fields(strength)}
    return Augmentation(**{name: min(value, 1.0) if name != "roll_degrees" else value for name, value in parts.items()})


def _check_heatmaps(samples: Samples, task: Task, config: TrainConfig) -> None:
    """Refuse to compare patches of a picture with those of a map that doesn't lie on it."""
    whole = bool(np.isnan(samples.square).all())
    if whole and task.needs_heatmaps and not task.heatmaps and config.patch_weight:
        raise RefusedError(f"{samples.name}: its heat maps are frontal, its pictures are not: give --patch-weight 0")


def _store(samples: Samples, config: TrainConfig, heatmaps: bool) -> CropStore:
    return CropStore(samples, crop_side(config.image_size), cache_mb=config.cache_mb, heatmaps=heatmaps)


@contextmanager
def _batches(
    samples: Samples,
    rows: npt.NDArray[np.int64],
    task: Task,
    config: TrainConfig,
    device: torch.device,
    ranks: Ranks,
) -> Iterator[Callable[[int], RawBatch]]:
    """What is learned from; threads and processes that make it end with the run."""
    if not config.online:
        store = _store(samples, config, task.needs_heatmaps)
        yield Batches(
            store,
            rows,
            size=config.batch,
            group=config.group,
            num_references=config.num_references,
            neutral=config.neutral,
            seed=config.seed,
            pain_weight=config.pain_weight,
            rank=ranks.rank,
            ranks=ranks.count,
        )
        return
    from pain3d.training.data.online import online_batches

    made = online_batches(
        samples, rows, config, heatmaps=task.needs_heatmaps, device=device, rank=ranks.rank, ranks=ranks.count
    )
    with closing(made) as rendered:
        if ranks.count == 1:
            yield rendered
            return
        references = config.num_references
        neutral_of = torch.arange(config.batch)[:, None] // config.group * references + torch.arange(references)
        share = share_of(ranks.rank, ranks.count, config.batch, neutral_of if config.neutral else None)
        yield lambda step: dataclasses.replace(rendered(step), share=share)


def _resolved(run: Run) -> dict[str, Any]:
    """What a run is, as its folder holds it."""
    return {
        "format": FORMAT,
        "task": run.task,
        "data": run.data,
        "data_key": run.data_key,
        "hash": run.hash,
        "pain3d_version": pain3d_version(),
        "code_version": code_version(without="pipeline"),
        "torch_version": str(torch.__version__),
        "config": dataclasses.asdict(run.config),
    }


def _text(resolved: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(resolved, sort_keys=False, width=1000))


def _decides(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What the hash is of, in words."""
    settings = {name: value for name, value in resolved["config"].items() if name not in HOW}
    return {"task": resolved["task"], "data": resolved["data_key"][:12], **settings}


TRAINING: Final = RunKind(
    mark=("format", FORMAT),
    last=MODEL,
    text=_text,
    decides=_decides,
    foreign="not empty, and not a training run of pain3d",
    other="holds another run ({changed})",
)


def _leave_model(
    run: Run,
    learned: Learned,
    samples: Samples,
    task: Task,
    rows: npt.NDArray[np.int64],
    validation_store: CropStore | None,
    validation_rows: npt.NDArray[np.int64],
    predict_rows: Callable[..., tuple[Predictions, Tensor]],
) -> None:
    """Write ``model/``: weights, card, and what it takes to tell a face that is unlike all it learned from."""
    model: Any = learned.model
    staging = run.folder / f".{MODEL}.partial"
    card: dict[str, Any] = {
        "task": run.task,
        "data": samples.name,
        "people": len(names(samples, rows)),
        "pictures": len(rows),
        "steps": learned.steps,
        "seed": run.config.seed,
        "styles": run.config.styles,
        "metrics": {f"validation {name}": value for name, value in learned.best.items()},
    }
    if validation_store is not None:
        found, usual = predict_rows(model, validation_store, validation_rows)
        if model.spread is not None:
            model.spread.scale.mul_(scale := spread_scale(found))
            found = dataclasses.replace(found, pspi_std=found.pspi_std * np.float32(scale))
            card["metrics"]["PSPI may be off by, mean on validation people"] = float(found.pspi_std.mean())
        apart = heads_apart(found)
        card["metrics"] |= {
            f"PSPI and that of its action units, {words}": apart[name]
            for name, words in (("mean", "apart in the mean"), ("most_of_95", "95 % within"), ("largest", "at most"))
        }
        write_predictions(run.folder / VALIDATION, found)
        if not task.heatmaps:
            make_inside(run.folder, staging.name)
            few = CropStore(samples, validation_store.side, cache_mb=0)  # each of its pictures is looked at once
            known = predict_rows(model, few, rows[:: max(1, len(rows) // OOD_PICTURES)])[1]
            save_ood(staging, fit_ood(known, usual, STATISTICS))
    save_pretrained(model, staging, card)
    rename(staging, run.folder / MODEL)
    flush_folder(run.folder)


def _write_json(path: Path, content: object) -> None:
    write_durably(path, (json.dumps(content, indent=1) + "\n").encode())
