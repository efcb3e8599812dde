"""Knows a training run from its data to its folder: what is there, whether it may go on, what it leaves.

A run's folder: ``config.resolved.yaml`` says what it is, ``people.json`` whom it learned from, ``log.jsonl`` and
``tensorboard/`` how it went, ``checkpoint.safetensors`` where it stands, ``model/`` what came of it, ``evaluation/``
how good that is on people whom it never saw.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.console.refused import RefusedError
from pain3d.files import write_durably
from pain3d.provenance import code_version, pain3d_version
from pain3d.random import keyed_generator
from pain3d.run_folder import RESOLVED, RunFolder, RunKind
from pain3d.training.checkpoint import NAME as CHECKPOINT
from pain3d.training.checkpoint import read_checkpoint
from pain3d.training.config import HOW, TrainConfig, config_hash
from pain3d.training.data import open_data
from pain3d.training.data.augmentation import Augmentation, augment
from pain3d.training.data.batch import RawBatch
from pain3d.training.data.batches import Batches, crop_side
from pain3d.training.data.folds import fold_split
from pain3d.training.data.samples import Samples
from pain3d.training.data.store import CropStore
from pain3d.training.evaluation.predictions import Predictions, write_predictions
from pain3d.training.loop import Learned, TrainingJob, learn, precision_of
from pain3d.training.model.pretrained import save_pretrained
from pain3d.training.prediction import predict, split_rows, validation_metrics
from pain3d.training.score.out_of_distribution import fit_ood, save_ood
from pain3d.training.task import Task, make_task

PEOPLE, MODEL = "people.json", "model"
VALIDATION, EVALUATION = "validation.parquet", "evaluation"
OOD_PICTURES = 4000  # about, to fit the out-of-distribution score: enough for a covariance of 1,024 numbers
FORMAT = 2  # of the folder; raised when a reader of an older run would be wrong. 2: lr, num_references, vitpain, …


@dataclass(frozen=True)
class Run:
    """A run's folder as it was resolved."""

    folder: Path
    task: str
    data: str
    data_key: str
    config: TrainConfig
    hash: str


def train(folder: Path, data: Path, task_name: str, config: TrainConfig, quiet: bool) -> Learned:
    """Learn, or go on learning, and leave a model.

    Raises:
        RefusedError: Data, settings or folder don't allow it; nothing is written then.
    """
    if (folder / RESOLVED).is_file():
        open_run(folder)  # says of which format it is, if not of this one
    device = pick_device(config.device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RefusedError(f"WORLD_SIZE is {os.environ['WORLD_SIZE']}: pain3d train runs in one process")
    samples = split_samples(open_for(data, config), config)
    task = make_task(task_name, config)
    _check_heatmaps(samples, task, config)
    rows = training_rows(samples, config)
    batches = _batches(samples, rows, task, config, device)
    identifier = config_hash(task_name, config, samples.key)
    run = Run(folder, task_name, str(data.resolve()), samples.key, config, identifier)
    with RunFolder(folder, TRAINING, _resolved(run)):
        if (folder / CHECKPOINT).is_file() and read_checkpoint(folder / CHECKPOINT)[1].get("run") != run.hash:
            raise RefusedError(f"{folder / CHECKPOINT}: of another run")
        return _learn_in(run, samples, task, rows, batches, device, quiet)


def _learn_in(
    run: Run,
    samples: Samples,
    task: Task,
    rows: npt.NDArray[np.int64],
    batches: Callable[[int], RawBatch],
    device: torch.device,
    quiet: bool,
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

    _write_json(
        folder / PEOPLE,
        {"data": samples.name, "train": names(samples, rows), "validation": names(samples, validation_rows)},
    )
    strength = scaled(Augmentation(), config.augment)
    task.to(device)
    job = TrainingJob(
        task.model,
        task.loss,
        load=batches,
        augment=lambda raw, step: augment(raw, config.image_size, config.seed, step, device, strength),
        config=config,
        validate=validate if validation_store is not None else None,
        folder=folder,
        run_hash=run.hash,
        quiet=quiet,
    )
    learned = learn(job)
    _leave_model(run, learned, samples, task, rows, validation_store, validation_rows, predict_rows)
    return learned


def open_run(folder: Path) -> Run:
    """A run by its folder. Raises RefusedError if it is none."""
    import yaml

    path = folder / RESOLVED
    if not folder.is_dir():
        raise RefusedError(f"{folder}: no such folder")
    if not path.is_file():
        raise RefusedError(f"{folder}: not a training run of pain3d, it has no {RESOLVED}")
    try:
        held = yaml.safe_load(path.read_text())
        if held["format"] != FORMAT:
            raise RefusedError(f"{path}: format {held['format']}, of another pain3d; this one reads {FORMAT}")
        return Run(folder, held["task"], held["data"], held["data_key"], TrainConfig(**held["config"]), held["hash"])
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path}: can't be read ({type(error).__name__}: {error})") from error


def people_of(folder: Path) -> dict[str, list[str]]:
    """Whom a run learned from and was chosen by: names under ``train`` and ``validation``. Raises RefusedError."""
    path = folder / PEOPLE
    try:
        held: dict[str, list[str]] = json.loads(path.read_bytes())
        return {split: list(held[split]) for split in ("train", "validation")}
    except (OSError, ValueError, KeyError) as error:
        raise RefusedError(f"{path}: can't be read ({error}), so nobody knows whom this model has seen") from error


def pick_device(asked: str) -> torch.device:
    """The device that was asked for. Raises RefusedError if there is none."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise RefusedError("--device cuda: torch sees no CUDA device")
    return torch.device("cuda" if asked == "cuda" or (asked == "auto" and torch.cuda.is_available()) else "cpu")


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


def _batches(
    samples: Samples, rows: npt.NDArray[np.int64], task: Task, config: TrainConfig, device: torch.device
) -> Callable[[int], RawBatch]:
    if not config.online:
        store = _store(samples, config, task.needs_heatmaps)
        return Batches(
            store,
            rows,
            size=config.batch,
            group=config.group,
            num_references=config.num_references,
            neutral=config.neutral,
            seed=config.seed,
            pain_weight=config.pain_weight,
        )
    from pain3d.training.data.online import online_batches

    return online_batches(samples, rows, config, heatmaps=task.needs_heatmaps, device=device)


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
    finished="holds this run, finished",
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
    card = {
        "task": run.task,
        "data": samples.name,
        "people": len(names(samples, rows)),
        "pictures": len(rows),
        "steps": learned.steps,
        "seed": run.config.seed,
        "metrics": {f"validation {name}": value for name, value in learned.best.items()},
    }
    save_pretrained(model, staging, card)
    if validation_store is not None:
        found, usual = predict_rows(model, validation_store, validation_rows)
        write_predictions(run.folder / VALIDATION, found)
        if not task.heatmaps:
            few = CropStore(samples, validation_store.side, cache_mb=0)  # each of its pictures is looked at once
            save_ood(staging, fit_ood(predict_rows(model, few, rows[:: max(1, len(rows) // OOD_PICTURES)])[1], usual))
    staging.replace(run.folder / MODEL)


def _write_json(path: Path, content: object) -> None:
    write_durably(path, (json.dumps(content, indent=1) + "\n").encode())
