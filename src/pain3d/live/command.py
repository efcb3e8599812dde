"""Knows the commands of faces that move, what they can be told and what they print."""

from __future__ import annotations

import json
import sys
import threading
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import RefusedError
from pain3d.console.settings import OneOf, Within, checked
from pain3d.head.identity import ANCESTRIES, MAX_AGE, MIN_AGE, SEXES
from pain3d.live.recording import PROGRAMS

if TYPE_CHECKING:
    from pain3d.live.clip import Pixels


@dataclass(frozen=True)
class View:
    """A live look in a browser: sliders for action units, PSPI, person, pose, light. Served on this machine alone."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("out/view")
    """Folder for what its buttons save."""
    port: Annotated[int, Within(0, 65535)] = 8080
    """Of 127.0.0.1; the next free one where it is taken, any for 0."""
    size: Annotated[int, Within(64, 1024)] = 384
    """Pixels a side of the picture."""
    browser: bool = True
    """Open the window in the browser."""


def run_view(command: View, _: float) -> int:
    """Serve the window until Ctrl-C.

    Raises:
        RefusedError: A number out of its limits, or viser isn't installed.
    """
    try:
        checked(command)
    except RefusedError as error:
        raise RefusedError(f"--{error}") from None
    if command.out.exists() and not command.out.is_dir():
        raise RefusedError(f"--out {command.out}: not a folder")
    if find_spec("viser") is None:
        raise RefusedError('view needs viser: pip install "pain3d[view]"')
    import torch

    from pain3d.live.window import LiveWindow

    torch.set_num_threads(1)  # a picture takes some 30 ms of one core; the other is the browser's
    window = LiveWindow(command.out, command.port, command.size)
    print(f"{window.address}  (Ctrl-C ends it; saves into {command.out})", flush=True)
    if command.browser:
        threading.Thread(target=webbrowser.open, args=(window.address,), daemon=True).start()
    try:
        window.serve()
    except KeyboardInterrupt:
        pass
    finally:
        window.close()
    return 0


@dataclass(frozen=True)
class Animate:
    """Turn a recording's action units into a film: the face, its heatmap, the curve of its PSPI."""

    table: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE")]
    """CSV with a row a frame."""
    from_: Annotated[str, OneOf(PROGRAMS), tyro.conf.arg(name="from", metavar=f"{{{','.join(PROGRAMS)}}}")]
    """Who wrote it."""
    out: Annotated[Path, tyro.conf.arg(metavar="CLIP")]
    """The film: CLIP.mp4, CLIP.gif, or the name of a new folder for PNG."""
    fps: Annotated[float, Within(0.0, 1000.0)] = 0.0
    """Rows a second; 0 takes the table's times, or 30 where it has none."""
    every: Annotated[int, Within(1, 10_000)] = 1
    """Draw every so manieth row: 3 makes 10 pictures a second of 30 rows."""
    clip: tyro.conf.FlagCreatePairsOff[bool] = False
    """Take a number beyond its scale as the end of the scale, rather than refuse it."""
    size: Annotated[int, Within(64, 1024)] = 384
    """Pixels a side of each of the three parts; even."""
    age: Annotated[float, Within(MIN_AGE, MAX_AGE)] = 60.0
    """Of whom the face is: years."""
    sex: Annotated[str, OneOf(SEXES), tyro.conf.arg(metavar=f"{{{','.join(SEXES)}}}")] = "female"
    """Generator axis."""
    ancestry: Annotated[str, OneOf(ANCESTRIES), tyro.conf.arg(metavar=f"{{{','.join(ANCESTRIES)}}}")] = "caucasian"
    """Generator axis."""
    seed: Annotated[int, Within(0, 2**63 - 1)] = 0
    """Draws everything else of face and skin."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def run_animate(command: Animate, _: float) -> int:
    """Read, render and write; nothing is left of a film that could not be finished.

    Raises:
        RefusedError: A number out of its limits, a name that is no film's, a table that can't be read.
    """
    try:
        checked(command)
    except RefusedError as error:
        raise RefusedError(f"--{str(error).replace('from_', 'from', 1)}") from None
    if command.size % 2:
        raise RefusedError(f"--size must be even, got {command.size}")
    from pain3d.console.progress import Progress
    from pain3d.live.clip import kind_of, write_clip
    from pain3d.live.film import film_of
    from pain3d.live.look import Look, Person
    from pain3d.live.recording import read_recording

    kind_of(command.out)
    recording = read_recording(command.table, command.from_, command.fps, command.clip).every(command.every)
    for note in recording.notes:
        print(f"pain3d: {note}", file=sys.stderr)
    look = Look(Person(command.age, command.sex, command.ancestry, command.seed))
    with Progress(len(recording), quiet=command.json, what="pictures") as progress:

        def counted() -> Iterator[Pixels]:
            for picture in film_of(recording, look, command.size):
                yield picture
                progress.add(1)

        write_clip(command.out, counted(), recording.fps)
    scores = recording.scores()
    said = {
        "out": str(command.out),
        "pictures": len(recording),
        "fps": round(recording.fps, 3),
        "without_face": int(np.isnan(scores).sum()),
        "largest_pspi": max(scores[np.isfinite(scores)].tolist(), default=0.0),
        "notes": list(recording.notes),
    }
    shown = f"{command.out}: {said['pictures']} pictures at {recording.fps:.4g} a second"
    print(json.dumps(said) if command.json else f"{shown}, PSPI up to {said['largest_pspi']:.1f}")
    return 0


COMMANDS: Final = {"view": Entry(View, run_view), "animate": Entry(Animate, run_animate)}
