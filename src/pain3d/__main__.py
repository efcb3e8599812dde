"""The front door: knows which half of the house answers a command, the one that makes data or the one that learns.

Nothing else knows both. Exit codes: 0 done; 1 ``verify`` found something wrong; 2 asked for something that can't be
done, or the disk failed; 130 interrupted. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, NoReturn

import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import INTERRUPTED, REFUSED, RefusedError, complain, hint

FORMATS: Final = ("3dpain", "onnx")


@dataclass(frozen=True)
class Export:
    """Write a data set in the layout of 3DPain, or a trained model as ONNX."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of a data set, or of a run."""
    to: Annotated[Path | None, tyro.conf.arg(metavar="DEST")] = None
    """The new folder, or the .onnx file."""
    format: Annotated[str, tyro.conf.arg(metavar=f"{{{','.join(FORMATS)}}}")] = ""
    """3dpain for a data set, onnx for a model."""
    onnx: tyro.conf.FlagCreatePairsOff[bool] = False
    """Short for --format onnx."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``pain3d`` with the given arguments, or with those of the process, and exit.

    A process that ran for its own arguments leaves without tearing its libraries down: torch takes 0.3 s for that, as
    long as ten images, and nothing is open any more.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no UTF-8; stderr does so anyway
    started = time.perf_counter() - (_seconds_since_process_start() if arguments is None else 0.0)
    code = _run(list(sys.argv[1:] if arguments is None else arguments), started)
    if arguments is None:
        with contextlib.suppress(BrokenPipeError):  # whoever read our output has gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(given: list[str], started: float) -> int:
    left = "what was finished is kept"
    try:
        if given == ["--version"]:
            from pain3d.provenance import pain3d_version

            print(f"pain3d {pain3d_version()}")
            return 0
        from pain3d.console.command_line import parse
        from pain3d.doctor.command import COMMANDS as ASKING
        from pain3d.fitting.command import COMMANDS as FITTING
        from pain3d.judge.command import COMMANDS as JUDGING
        from pain3d.live.command import COMMANDS as LOOKING
        from pain3d.mesh_files.command import COMMANDS as WRITING
        from pain3d.pipeline.cli import COMMANDS as MAKING
        from pain3d.training.cli import COMMANDS as LEARNING

        known = {
            **MAKING, **LEARNING, **FITTING, **JUDGING, **LOOKING, **WRITING, **ASKING,
            "export": Entry(Export, _export),
        }  # fmt: skip
        command = parse(given, {name: entry.form for name, entry in known.items()})
        entry = next(entry for entry in known.values() if isinstance(command, entry.form))
        left = entry.interrupted
        return entry.run(command, started)
    except RefusedError as error:
        complain(str(error))
        return REFUSED
    except BrokenPipeError:  # whoever read our output has gone; what was made is made
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{where}{error.strerror or error}")
        return REFUSED
    except KeyboardInterrupt:
        complain(f"interrupted; {left}")
        return INTERRUPTED


def _export(command: Export, started: float) -> int:
    word = command.format or ("onnx" if command.onnx else "")
    if not word:
        raise RefusedError("--format is missing: 3dpain for a data set, onnx for a model")
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
        from pain3d.pipeline.export.threedpain import export_3dpain

        done = export_3dpain(command.source, command.to, command.json)
        said, line = {**vars(done), "to": str(command.to)}, str(done)
    print(json.dumps(said, default=str) if command.json else line)
    return 0


def _seconds_since_process_start() -> float:
    """How long this process has been running, imports included; 0 where the system doesn't say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):  # not Linux
        return 0.0


if __name__ == "__main__":
    main()
