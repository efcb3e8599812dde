"""Knows the commands that learn from data, and what they print."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import RefusedError
from pain3d.console.settings import load_settings, read_mapping
from pain3d.training.config import PRESETS, TASKS, TrainConfig, checked_words, preset, validated
from pain3d.training.extra import need_extra
from pain3d.training.score.command import Score, run_score


@dataclass(frozen=True)
class Train:
    """Train ViTPain, its heatmap teacher, a student of it, or the siamese conv net that it is compared with."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run: new, empty, or one of these settings, to go on with unless it is finished."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Data set: of pain3d, 3DPain, SynPAIN or UNBC-McMaster."""
    task: Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(TASKS)}}}")] = "vitpain"
    """vitpain: a face beside a neutral one. teacher: heat maps. distill: vitpain and a teacher. siamese: a conv net."""
    preset: Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(PRESETS)}}}")] = "tiny"
    """Which defaults the settings have: tiny learns on a laptop, paper is the published net."""
    config: Path | None = None
    """YAML file of the settings below; the command line overrides it."""
    settings: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    evaluate: bool = True
    """End with an evaluation on the test people."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""

    def with_config(self) -> Train:
        """The defaults that preset, task and configuration file make. Raises RefusedError."""
        checked_words(self.preset, self.task)
        usual = TrainConfig().backbone
        named = self.settings.backbone
        if named == usual and self.config is not None:
            named = read_mapping(self.config).get("backbone", usual)
        settings = preset(self.preset, self.task, None if named == usual else str(named))
        if self.config is not None:
            settings = load_settings(self.config, settings, validated)
        return Train(tyro.MISSING, settings=settings)


@dataclass(frozen=True)
class Evaluate:
    """Test trained models on people whom they never saw: agreement, bias table, plots, the worst errors."""

    model: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN...")]
    """Run, or the runs of several folds, whose predictions are then pooled."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Data set; without it the one that the run learned from."""
    split: Annotated[str, tyro.conf.arg(metavar="{test,validation,train,all}")] = "test"
    """On which people; of those whom a model was trained on or chosen by, the report says so."""
    beside: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN...")] = ()
    """Other runs in the same table."""
    to: Path | None = None
    """Folder of the report; without it RUN/evaluation, for other people RUN/evaluation_SPLIT or evaluation_DATA."""
    resamples: int = 1000
    """Of people, for the 95 % intervals."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def _train(command: Train, started: float) -> int:
    from pain3d.ranks import launched_ranks
    from pain3d.training.run import train

    settings = validated(command.settings)
    if command.data is None:
        raise RefusedError("--data DIR is missing: the data set to learn from")
    if not command.data.exists():
        raise RefusedError(f"{command.data}: no such folder")
    need_extra("train", "training")
    learned = train(command.out, command.data, command.task, settings, quiet=command.json)
    if launched_ranks().rank:
        return 0  # the first tells for all
    result: dict[str, object] = {"run": str(command.out)}
    if learned is None:
        result["finished_already"] = True
        said = "finished already"
    else:
        result |= {
            "steps": learned.steps,
            "validation": learned.best,
            "images_per_second": round(learned.images_per_second, 1),
            "share_of_peak": round(learned.share_of_peak, 3),
        }
        said = f"{learned.steps} steps, {learned.images_per_second:.0f} images/s, {learned.share_of_peak:.0%} of peak"
    if not command.json:
        print(said)
        print(f"model   {command.out / 'model'}")
    if command.evaluate:
        result["evaluation"] = _report(Evaluate((command.out,), json=command.json))
    if command.json:
        print(json.dumps(result))
    return 0


def _evaluate(command: Evaluate, started: float) -> int:
    metrics = _report(command)
    if command.json:
        print(json.dumps(metrics))
    return 0


def _report(command: Evaluate) -> object:
    for folder in (*command.model, *command.beside, *([] if command.data is None else [command.data])):
        if not folder.exists():
            raise RefusedError(f"{folder}: no such folder")
    need_extra("train", "evaluation")
    from pain3d.training.evaluator import evaluate

    return evaluate(
        command.model,
        data=command.data,
        split=command.split,
        beside=command.beside,
        to=command.to,
        resamples=command.resamples,
        quiet=command.json,
    )


def _score(command: Score, started: float) -> int:
    return run_score(command)


COMMANDS: Final[dict[str, Entry]] = {
    "train": Entry(Train, _train, "the last checkpoint is kept, the same command goes on from there"),
    "evaluate": Entry(Evaluate, _evaluate),
    "score": Entry(Score, _score),
}
