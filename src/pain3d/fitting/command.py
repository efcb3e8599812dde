"""Knows what `pain3d fit` can be told, what it prints and what it leaves."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import RefusedError, one_line
from pain3d.console.settings import Within, checked
from pain3d.doors.text import read_json

if TYPE_CHECKING:
    from pain3d.fitting.objective import Slope

NOTICE: Final = "What a renderer needs to show this face again, not what anybody feels. Not a medical device."


@dataclass(frozen=True)
class FitFaces:
    """Find the face that pictures of one person show: who, which action units, PSPI, pose, light. No medical device."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    """Pictures, in order: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of fit.json, overlay.png, fit.gif, scenes.jsonl and skin.png; files of these names are replaced."""
    neutral: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The same person without expression."""
    landmarks: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON: {"file name": [[x, y], ...]}, 68 iBUG points of each picture, null where unknown; else they are found."""
    deviation: Annotated[float, Within(0.05, 100.0)] = 2.0
    """Pixels by which these landmarks are off."""
    views: tyro.conf.FlagCreatePairsOff[bool] = False
    """The pictures show one moment from several sides."""
    smooth: Annotated[float, Within(0.0, 100.0)] = 0.0
    """Steps by which an action unit changes from picture to picture; 0 is any number."""
    rounds: Annotated[int, Within(0, 200)] = 12
    """Steps at most."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def run_fit(command: FitFaces, _: float) -> int:
    """Fit, write and print. Nothing is written unless every picture could be read and fitted.

    Raises:
        RefusedError: A picture that can't be read or shows no face or several, landmarks that don't fit, a number out
            of its limits.
    """
    if not command.images:
        raise RefusedError("no picture to fit: pain3d fit FACE.jpg --out DIR")
    try:
        checked(command)
    except RefusedError as error:
        raise RefusedError(f"--{error}") from None
    from pain3d.fitting.files import NAMES, files_of, written

    paths = [*command.images, *([command.neutral] if command.neutral is not None else [])]
    if command.out.exists() and not command.out.is_dir():
        raise RefusedError(f"--out {command.out}: not a folder")
    for path in paths:
        if path.resolve() in {(command.out / name).resolve() for name in NAMES}:
            raise RefusedError(f"{path}: would be replaced by a result, choose another --out")
    from pain3d.doors.pictures import read_picture
    from pain3d.fitting.stages import fit

    pixels = [read_picture(path) for path in paths]
    marks = _landmarks(command.landmarks, paths)
    count, shown = len(command.images), _Watched(quiet=command.json)
    try:
        found = fit(
            pixels[:count],
            landmarks=marks[:count],
            neutral=pixels[count] if len(pixels) > count else None,
            neutral_landmarks=marks[count] if len(pixels) > count else None,
            views=command.views,
            smooth=command.smooth,
            landmark_deviation=command.deviation,
            rounds=command.rounds,
            watch=shown,
            names=[str(path) for path in paths],
        )
    except ValueError as error:
        raise RefusedError(str(error)) from error
    contents = files_of(found, paths, shown.steps)
    written(command.out, contents)
    rows = [{"file": str(path), **found.row(place)} for place, path in enumerate(paths)]
    if command.json:
        print(json.dumps({"out": str(command.out), "notice": NOTICE, "pictures": rows}, allow_nan=False))
    else:
        for row, units in zip(rows, found.au, strict=True):
            print(row["file"])
            print(f"  PSPI         {row['PSPI']:.1f} of 16")
            print(f"  units        {_units(row, units.nonzero()) or 'none'}")
            print(f"  residual     {row['residual']['levels']:.1f} levels of 255")
        print(f"written to {command.out}: {', '.join(contents)}")
        print(NOTICE)
    return 0


def _units(row: dict[str, Any], present: dict[str, float]) -> str:
    """``AU4 2.9 ± 0.1``, of those that are at least half a step."""
    told = []
    for name, value in present.items():
        number, _, side = name.removeprefix("AU").partition("_")
        column = f"AU{int(number):02d}" + (f"_{side}" if side else "")
        if value >= 0.5:
            told.append(f"{name} {value:.1f} ± {row['deviations'][column]:.1f}")
    return ", ".join(told)


def _landmarks(path: Path | None, pictures: list[Path]) -> list[Any]:
    """Points of each picture, None where a detector is to find them. Raises RefusedError, naming the file."""
    if path is None:
        return [None] * len(pictures)
    if not path.is_file():
        raise RefusedError(f"--landmarks {path}: {'a folder' if path.is_dir() else 'no such file'}")
    named = read_json(path, f"--landmarks {path}")
    try:
        if not isinstance(named, dict):
            raise ValueError("expected an object of file names")
        found = []
        for picture in pictures:
            points = named.get(picture.name)
            if points is not None:
                points = [[float("nan")] * 2 if at is None else [float(at[0]), float(at[1])] for at in points]
            found.append(points)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise RefusedError(f"--landmarks {path}: not points by file name ({one_line(error)})") from error
    if all(points is None for points in found):
        raise RefusedError(f"--landmarks {path}: names none of the pictures, the first is {pictures[0].name}")
    return found


class _Watched:
    """Keeps what the fit showed on its way, and says how far it is."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.steps: list[Any] = []

    def __call__(self, stage: str, slope: Slope) -> None:
        """See `fit`."""
        if slope.shown:
            self.steps.append(slope.shown[0])
        if not self.quiet:
            print(f"pain3d: fitting {stage}: {slope.cost:.0f}", file=sys.stderr)


COMMANDS: Final = {"fit": Entry(FitFaces, run_fit)}
