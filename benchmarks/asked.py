"""Knows what can be asked of the benchmarks, and refuses what can't be done before anything is measured."""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import torch

import pain3d
from benchmarks.backends import BACKENDS
from benchmarks.backprojected import PROJECTORS
from benchmarks.distilled import DISTILLERS
from benchmarks.implementation import CASES, Implementation, peers
from benchmarks.makers import MAKERS
from benchmarks.painted import PAINTERS
from benchmarks.schema import read_results
from benchmarks.textured import TEXTURE_MAKERS


def implementations() -> tuple[Implementation, ...]:
    """Ours, then the peers in the order of their files."""
    return (*BACKENDS, *DISTILLERS, *PROJECTORS, *MAKERS, *PAINTERS, *TEXTURE_MAKERS, *peers())


def positive(text: str) -> float:
    """A time in seconds as the command line takes it.

    Raises:
        ArgumentTypeError: It is none, or not above 0.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return seconds


def case_names(text: str) -> list[str]:
    """Cases, separated by commas."""
    return _known("case", text, list(CASES))


def implementation_names(text: str) -> list[str]:
    """Implementations, separated by commas."""
    return _known("implementation", text, [implementation.name for implementation in implementations()])


def _known(what: str, text: str, known: list[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"no {what} {unknown[0]!r}: there are {', '.join(dict.fromkeys(known))}")
    return names


def device_name(text: str) -> str:
    """``cpu`` or ``cuda``.

    Raises:
        ArgumentTypeError: It is neither, or torch sees none here.
    """
    if text not in ("cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"a device is cpu or cuda, got {text!r}")
    if text == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("torch sees no CUDA device")
    return text


def results_folder(text: str) -> Path:
    """A folder that rows can be written to: tried, before hours of measuring are lost.

    Raises:
        ArgumentTypeError: A file can't be made in it, or one of this version that lies there is broken.
    """
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} can't be written to: {error.strerror}") from error
    for path in sorted((folder / pain3d.__version__).glob("*.json")):
        try:
            read_results(path)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text} has a broken file, whose rows would be lost: {error}") from error
    return folder
