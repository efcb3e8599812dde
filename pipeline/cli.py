"""Knows the command line: its words, its exit codes and its one-line complaints.

Exit codes: 0 done; 1 ``verify`` found something wrong; 2 asked for something that can't be done, or the disk failed;
130 interrupted. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from pain3d.pipeline.config import FIELDS, LIMITS, RefusedError, SynthConfig, load_config, validated
from pain3d.pipeline.judge.command import Judge, run_judge

WRONG, REFUSED, INTERRUPTED = 1, 2, 130
COMMANDS = ("synth", "verify", "judge", "gallery")


@dataclass(frozen=True)
class Synth:
    """Make a labelled synthetic data set of pain faces."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the data set: new, empty, or an unfinished one to go on with."""
    config: Path | None = None
    """YAML file of the options below; the command line overrides it."""
    synthesis: tyro.conf.OmitArgPrefixes[SynthConfig] = field(default_factory=SynthConfig)
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """Say what would be made, and write nothing."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


@dataclass(frozen=True)
class Verify:
    """Check a data set: every file against its hash, every label against its formula, every picture."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the data set."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


@dataclass(frozen=True)
class Gallery:
    """Draw sheets to judge faces by eye: people, action units, the ladder of PSPI, strongest pain, profiles."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the sheets; those of the same name are replaced."""
    seed: int = 7
    """Whose people: those of a data set of that seed."""
    size: int = 512
    """Pixels a side that a face is rendered at, before the sheet scales it."""


Command = Synth | Verify | Judge | Gallery


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``pain3d`` with the given arguments, or with those of the process, and exit.

    A process that ran for its own arguments leaves without tearing its libraries down: torch takes 0.3 s for that, as
    long as ten images, and nothing is open any more.
    """
    started = time.perf_counter() - (_seconds_since_process_start() if arguments is None else 0.0)
    code = _run(list(sys.argv[1:] if arguments is None else arguments), started)
    if arguments is None:
        with contextlib.suppress(BrokenPipeError):  # whoever read our output has gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(given: list[str], started: float) -> int:
    try:
        if given == ["--version"]:
            from pain3d.pipeline.provenance import pain3d_version

            print(f"pain3d {pain3d_version()}")
            return 0
        command = _parse(given)
        if isinstance(command, Verify):
            return _verify(command)
        if isinstance(command, Judge):
            run_judge(command)
            return 0
        if isinstance(command, Gallery):
            _gallery(command)
            return 0
        _synth(command, started)
        return 0
    except RefusedError as error:
        _complain(str(error))
        return REFUSED
    except BrokenPipeError:  # whoever read our output has gone; what was made is made
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}")
        return REFUSED
    except KeyboardInterrupt:
        _complain("interrupted; published shards are kept, the same command goes on from there")
        return INTERRUPTED


def _seconds_since_process_start() -> float:
    """How long this process has been running, imports included; 0 where the system doesn't say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):  # not Linux
        return 0.0


def _parse(given: list[str]) -> Command:
    """Parse twice where ``--config`` is given: its values become the defaults of the second time.

    Raises:
        RefusedError: One line, made of what tyro says.
    """
    command = _parse_once(given, SynthConfig())
    if isinstance(command, Synth):
        if command.config is not None:
            command = _parse_once(given, load_config(command.config))
        assert isinstance(command, Synth)
        validated(command.synthesis)
    return command


def _parse_once(given: list[str], defaults: SynthConfig) -> Command:
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        raise RefusedError(f"unknown command {given[0]!r}{_hint(given[0], COMMANDS)}")
    said = io.StringIO()
    synth = tyro.conf.subcommand("synth", default=Synth(tyro.MISSING, synthesis=defaults))
    try:
        with contextlib.redirect_stderr(said):
            command, unknown = tyro.cli(
                Annotated[Synth, synth]
                | Annotated[Verify, tyro.conf.subcommand("verify")]
                | Annotated[Judge, tyro.conf.subcommand("judge")]
                | Annotated[Gallery, tyro.conf.subcommand("gallery")],
                args=given,
                prog="pain3d",
                description="Labelled synthetic pain faces from a 3D head. pain3d --version says which.",
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise RefusedError(_one_line(said.getvalue())) from None
    if unknown:
        option = unknown[0].partition("=")[0]
        if not option.startswith("-"):
            raise RefusedError(f"unexpected argument {unknown[0]!r}")
        raise RefusedError(f"unknown option {option}{_hint(option, _options(command))}")
    return command


def _options(command: Command) -> list[str]:
    names = [part.name for part in fields(command)]
    if isinstance(command, Synth):
        names += FIELDS
    return [f"--{name.replace('_', '-')}" for name in names if name not in ("out", "synthesis")]


def _hint(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


def _one_line(said: str) -> str:
    """The first paragraph of tyro's box of text as one line."""
    lines = [line.strip(" │╭╮╰╯") for line in said.splitlines()]
    blocks: list[list[str]] = [[]]
    for line in lines[1:]:
        if re.fullmatch(r"[-─]{3,}", line):
            blocks.append([])
        elif line:
            blocks[-1].append(line)
    filled = [block for block in blocks if block]
    return " ".join(filled[0]).removesuffix(".") if filled else "the command line can't be parsed"


def _synth(command: Synth, started: float) -> None:
    from pain3d.pipeline.run import preview, synthesise

    if command.dry_run:
        _show_preview(command, preview(command.synthesis, command.out))
        return
    receipt = synthesise(command.synthesis, command.out, quiet=command.json, started=started)
    if command.json:
        print(
            json.dumps(
                {
                    "out": str(receipt.out),
                    "images": receipt.images,
                    "new_images": receipt.new,
                    "seconds": round(receipt.seconds, 3),
                    "images_per_second": round(receipt.images_per_second, 2),
                    "stages": {name: round(seconds, 3) for name, seconds in receipt.stages.items()},
                }
            )
        )
        return
    print(f"{receipt.new} images in {receipt.seconds:.1f} s, {receipt.images_per_second:.0f} images/s")
    print(f"contact sheet  {receipt.out / 'contact_sheet.png'}")
    print(f"report         {receipt.out / 'report' / 'index.html'}")
    print(f"data           {receipt.out / 'data'}")


def _show_preview(command: Synth, plan: object) -> None:
    from pain3d.pipeline.estimate import estimate
    from pain3d.pipeline.plan import Plan

    assert isinstance(plan, Plan)
    expected = estimate(plan)
    if command.json:
        print(json.dumps({"out": str(command.out), "dry_run": True, **expected}))
        return
    print(f"{plan.images} images of {plan.config.identities} identities in {len(plan.shards)} shards")
    for split, identities in expected["identities"].items():
        print(f"{split:<10} {identities} identities")
    print(f"disk       about {expected['bytes'] / 1e6:,.0f} MB")
    print(f"time       about {expected['seconds']:,.0f} s here, if a core makes {expected['rate']:.0f} images/s")


def _verify(command: Verify) -> int:
    from pain3d.pipeline.verify import verify

    findings, rows = verify(command.out)
    if command.json:
        print(json.dumps({"out": str(command.out), "rows": rows, "findings": findings, "ok": not findings}))
    elif findings:
        print("\n".join(findings))
    else:
        print(f"{command.out}: {rows} rows, nothing wrong")
    return WRONG if findings else 0


def _gallery(command: Gallery) -> None:
    from pain3d.pipeline.gallery import SIZES, draw_gallery

    for name, value, (least, most) in (("size", command.size, SIZES), ("seed", command.seed, LIMITS["seed"])):
        if not least <= value <= most:
            raise RefusedError(f"{name} must be a whole number from {least} to {most}, got {value}")
    for path in draw_gallery(command.out, command.seed, command.size):
        print(path)


def _complain(message: str) -> None:
    print(f"pain3d: {' '.join(message.split())}", file=sys.stderr)
