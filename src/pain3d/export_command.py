"""Knows ``pain3d export``: a data set goes to one half of the house, a trained model to the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import RefusedError, hint

if TYPE_CHECKING:
    from pain3d.pipeline.export.threedpain import ExportSummary
    from pain3d.pipeline.export.walk import Written

DATA_FORMATS: Final = ("3dpain", "webdataset", "imagefolder", "coco", "openface", "glb")
FORMATS: Final = (*DATA_FORMATS, "onnx")


@dataclass(frozen=True)
class Export:
    """Write a data set in a format that other tools open, or a trained model as ONNX."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of a data set, or of a run."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="DEST")] = None
    """The new folder, or the .onnx file."""
    format: Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(FORMATS)}}}")] = ""
    """What it becomes: onnx of a model, all others of a data set."""
    onnx: tyro.conf.FlagCreatePairsOff[bool] = False
    """Short for --format onnx."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def _export(command: Export, started: float) -> int:
    word = command.format or ("onnx" if command.onnx else "")
    if not word:
        raise RefusedError(f"--format is missing: {', '.join(DATA_FORMATS)} for a data set, onnx for a model")
    if word not in FORMATS:
        raise RefusedError(f"--format {word!r}{hint(word, FORMATS)}")
    if command.onnx and word != "onnx":
        raise RefusedError(f"--onnx and --format {word} contradict each other")
    if command.to is None:
        raise RefusedError("--to DEST is missing: where to write")
    if word == "onnx":
        from pain3d.training.model.onnx_export import export_onnx

        said = {"to": str(command.to), "largest_difference": export_onnx(command.source, command.to, quiet=True)}
        line = f"{command.to}: ONNX Runtime says the same within {said['largest_difference']:.1e} PSPI"
    else:
        done = _exporter(word)(command.source, command.to, command.json)
        said, line = {**vars(done), "to": str(command.to)}, str(done)
    print(json.dumps(said, default=str) if command.json else line)
    return 0


def _exporter(word: str) -> Callable[[Path, Path, bool], ExportSummary | Written]:
    """Who writes a data set in one of `DATA_FORMATS`; the others are not imported."""
    match word:
        case "webdataset":
            from pain3d.pipeline.export.webdataset import export_webdataset

            return export_webdataset
        case "imagefolder":
            from pain3d.pipeline.export.imagefolder import export_imagefolder

            return export_imagefolder
        case "coco":
            from pain3d.pipeline.export.coco import export_coco

            return export_coco
        case "openface":
            from pain3d.pipeline.export.openface import export_openface

            return export_openface
        case "glb":
            from pain3d.pipeline.export.glb import export_glb

            return export_glb
        case _:
            from pain3d.pipeline.export.threedpain import export_3dpain

            return export_3dpain


COMMANDS: Final = {"export": Entry(Export, _export)}
