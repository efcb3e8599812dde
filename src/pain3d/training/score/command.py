"""Knows what `pain3d score` can be told, what it prints and what it leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import tyro

from pain3d.console.refused import RefusedError, complain
from pain3d.face.detect import CENTERFACE
from pain3d.training.extra import need_extra

if TYPE_CHECKING:
    from pain3d.training.model.factory import Model
    from pain3d.training.score.portrait import Box, Portrait
    from pain3d.training.score.prediction import PortraitPrediction

NUMBERS: Final = "scores.json"
SAID_FROM: Final = 0.1  # PSPI between what two heads say; less is not seen in what is printed


@dataclass(frozen=True)
class Score:
    """Score pictures of faces with a trained model, and show where its attention lay. Not a medical device."""

    faces: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FACE")]
    """Pictures: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF."""
    model: Path
    """Folder of a run or of a model."""
    neutral: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """The same person without expression, for a model that compares; several are averaged: --neutral A --neutral B."""
    box: str | None = None
    """x0,y0,x1,y1: pixels around the face, from above the brows to the chin, in every FACE; else it is found."""
    neutral_box: str | None = None
    """The same in every neutral picture."""
    skip: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on after a FACE that can't be scored; these are listed at the end, and the exit code is 1."""
    to: Path | None = None
    """Folder of a picture for each face, and of scores.json; files of the same name are replaced."""
    consistent: tyro.conf.FlagCreatePairsOff[bool] = False
    """Move action units and chances as little as makes them agree with PSPI; else each is what its own head says."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to score."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def run_score(command: Score) -> int:
    """Score, print, and write what was asked for. Nothing is written unless every picture can be scored.

    Returns:
        1 where pictures were skipped, as was asked for; else 0.

    Raises:
        RefusedError: No such model, a model of heat maps, a missing or unwanted neutral picture, or a picture that
            can't be read or shows no face.
    """
    if not command.faces:
        raise RefusedError("no picture to score: pain3d score --model RUN FACE.jpg")
    if command.to is not None and command.to.exists() and not command.to.is_dir():
        raise RefusedError(f"--to {command.to}: not a folder")
    boxes = [_box(name, given) for name, given in (("--box", command.box), ("--neutral-box", command.neutral_box))]
    if not command.model.is_dir():
        raise RefusedError(f"{command.model}: no such folder of a model")
    for path in (*(() if command.skip else command.faces), *command.neutral):
        if not path.is_file():
            raise RefusedError(f"{path}: {'a folder, not a picture' if path.is_dir() else 'no such file'}")
    need_extra("train", "score")
    if boxes[0] is None or (command.neutral and boxes[1] is None):
        CENTERFACE.find()  # before a model is read, which may take a minute
    from pain3d.training.data.batches import crop_side
    from pain3d.training.model.pretrained import load_pretrained
    from pain3d.training.run import pick_device
    from pain3d.training.score.out_of_distribution import load_ood
    from pain3d.training.score.portrait import read_portrait
    from pain3d.training.score.prediction import predict_portraits
    from pain3d.training.score.reference import noted

    model = load_pretrained(command.model, pick_device(command.device))
    _check_task(command.model)
    _check_neutral(command, model)
    home = command.model / "model" if (command.model / "model").is_dir() else command.model
    fitted = load_ood(home)
    side = crop_side(model.config.image_size)
    neutrals = [read_portrait(path, boxes[1], side) for path in command.neutral]
    portraits: list[Portrait] = []
    skipped: list[str] = []
    for path in command.faces:
        try:
            portraits.append(read_portrait(path, boxes[0], side))
        except RefusedError as error:
            if not command.skip:
                raise
            skipped.append(str(error))
    if not portraits:
        raise RefusedError(f"none of {len(skipped)} pictures can be scored; {skipped[0]}")
    portraits = noted(portraits, neutrals)
    predictions = list(predict_portraits(model, fitted, portraits, neutrals, command.consistent))
    for portrait, one in zip(portraits, predictions, strict=True):
        if not all(math.isfinite(value) for value in (one.pspi, one.pspi_std or 0.0, *one.au, *one.at_least)):
            raise RefusedError(
                f"{command.model}: its prediction for {portrait.path} is no number; its weights are broken"
            )
    pictures: list[Path] = []
    if command.to is not None:
        pictures = _write(command.to, portraits, neutrals, predictions, skipped, command.model)
    if command.json:
        print(json.dumps(_numbers(portraits, neutrals, predictions, skipped, command.model, pictures), allow_nan=False))
    else:
        _show(portraits, neutrals, predictions, pictures)
    for line in skipped:
        complain(f"skipped: {line}")
    return 1 if skipped else 0


def _box(name: str, given: str | None) -> Box | None:
    """Four numbers. Raises RefusedError."""
    if given is None:
        return None
    try:
        x0, y0, x1, y1 = (float(part) for part in given.split(","))
    except ValueError:
        raise RefusedError(f"{name} must be x0,y0,x1,y1 in pixels, got {given!r}") from None
    if not (x0 < x1 and y0 < y1):
        raise RefusedError(f"{name} must go from the upper left to the lower right, got {given!r}")
    return x0, y0, x1, y1


def _check_task(folder: Path) -> None:
    """Refuse a model that has only seen heat maps; where no run is around it, nobody knows."""
    from pain3d.run_folder import RESOLVED
    from pain3d.training.run import open_run

    for run in (folder, folder.resolve().parent):
        if (run / RESOLVED).is_file() and open_run(run).task == "teacher":
            raise RefusedError(f"{folder}: a teacher, it learned from heat maps and can't read pictures")


def _check_neutral(command: Score, model: Model) -> None:
    if model.config.neutral and not command.neutral:
        raise RefusedError(f"{command.model}: it compares with a neutral face of the same person, give --neutral FILE")
    if command.neutral and not model.config.neutral:
        raise RefusedError(f"--neutral {command.neutral[0]}: this model takes no neutral face")
    if command.neutral_box is not None and not command.neutral:
        raise RefusedError("--neutral-box goes with --neutral")


def _numbers(
    portraits: Sequence[Portrait],
    neutrals: Sequence[Portrait],
    predictions: Sequence[PortraitPrediction],
    skipped: Sequence[str],
    model: Path,
    pictures: Sequence[Path],
) -> dict[str, Any]:
    """Everything for machines."""
    from pain3d.training.data.samples import THRESHOLDS, UNITS
    from pain3d.training.score.overlay import NOTICE

    faces = []
    for place, (portrait, prediction) in enumerate(zip(portraits, predictions, strict=True)):
        faces.append(
            {
                "file": str(portrait.path),
                "pspi": round(prediction.pspi, 4),
                "pspi_std": None if prediction.pspi_std is None else round(prediction.pspi_std, 4),
                "pspi_of_units": round(prediction.pspi_of_units, 4),
                "au": {unit: round(value, 4) for unit, value in zip(UNITS, prediction.au, strict=True)},
                "at_least": {str(t): round(p, 4) for t, p in zip(THRESHOLDS, prediction.at_least, strict=True)},
                "out_of_distribution": None if prediction.ood is None else asdict(prediction.ood),
                "square": [round(value, 2) for value in portrait.square],
                "notes": list(portrait.notes),
                "picture": str(pictures[place]) if pictures else None,
            }
        )
    compared = [
        {"file": str(n.path), "square": [round(v, 2) for v in n.square], "notes": list(n.notes)} for n in neutrals
    ]
    return {"model": str(model), "notice": NOTICE, "neutral": compared, "faces": faces, "skipped": list(skipped)}


def _write(
    to: Path,
    portraits: Sequence[Portrait],
    neutrals: Sequence[Portrait],
    predictions: Sequence[PortraitPrediction],
    skipped: Sequence[str],
    model: Path,
) -> list[Path]:
    """A picture for each face, then the numbers. Files of one stem get a number: face.png, face-2.png."""
    from pain3d.files import make_folders, write_durably
    from pain3d.training.score.overlay import draw_prediction

    drawn = [
        draw_prediction(prediction, portrait.path.name)
        for portrait, prediction in zip(portraits, predictions, strict=True)
    ]
    make_folders(to)
    pictures: list[Path] = []
    for portrait, content in zip(portraits, drawn, strict=True):
        path, number = to / f"{portrait.path.stem}.png", 1
        while path in pictures or any(path.resolve() == other.path.resolve() for other in (*portraits, *neutrals)):
            number += 1
            path = to / f"{portrait.path.stem}-{number}.png"
        write_durably(path, content)
        pictures.append(path)
    said = _numbers(portraits, neutrals, predictions, skipped, model, pictures)
    numbers = json.dumps(said, indent=1, allow_nan=False)
    write_durably(to / NUMBERS, (numbers + "\n").encode())
    return pictures


def _show(
    portraits: Sequence[Portrait],
    neutrals: Sequence[Portrait],
    predictions: Sequence[PortraitPrediction],
    pictures: Sequence[Path],
) -> None:
    """Print a few lines for each face."""
    from pain3d.training.data.samples import THRESHOLDS, UNITS
    from pain3d.training.score.overlay import NOTICE, ood_words

    for neutral in neutrals:
        for note in neutral.notes:
            print(f"{neutral.path} (neutral): {note}")
    for place, (portrait, prediction) in enumerate(zip(portraits, predictions, strict=True)):
        print(portrait.path)
        spread = "" if prediction.pspi_std is None else f" ± {prediction.pspi_std:.1f}"
        print(f"  PSPI         {prediction.pspi:.1f}{spread} of 16")
        apart = abs(prediction.pspi - prediction.pspi_of_units)
        more = f", {apart:.1f} off: heads of their own, --consistent makes them agree" if apart >= SAID_FROM else ""
        print(f"  of its units PSPI {prediction.pspi_of_units:.1f}{more}")
        units = (f"AU{int(unit[2:])} {value:.1f}" for unit, value in zip(UNITS[:-1], prediction.au[:-1], strict=True))
        print(f"  intensities  {', '.join(units)} of 5; eyes shut {100 * prediction.au[-1]:.0f} %")
        chances = (f"≥ {t}: {100 * chance:.0f} %" for t, chance in zip(THRESHOLDS, prediction.at_least, strict=True))
        print(f"  chance       PSPI {', '.join(chances)}")
        print(f"  OOD score    {ood_words(prediction)}")
        for note in portrait.notes:
            print(f"  note         {note}")
        if pictures:
            print(f"  picture      {pictures[place]}")
    print(NOTICE)
