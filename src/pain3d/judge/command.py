"""Knows what `pain3d judge` can be told, who is asked, and what it prints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import RefusedError
from pain3d.console.settings import Within, checked
from pain3d.files import refuse_link
from pain3d.judge.verdict import Verdict
from pain3d.pipeline.data_set import DataSet, open_data_set

JUDGES: Final = ("detectors", "ladders", "tone", "photo")


@dataclass(frozen=True)
class Judge:
    """Show a data set to independent judges: face detectors, blendshapes, a colour meter, photographs; or probes."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of the data set."""
    to: Path | None = None
    """Folder of the verdict; DIR/judge, or DIR/probe and DIR/traits for the probes."""
    only: Annotated[str, tyro.conf.arg(metavar="NAMES")] = ",".join(JUDGES)
    """Which judges, with commas between."""
    frames: Annotated[int, Within(1, 1_000_000)] = 600
    """At most so many frames are looked at, spread evenly over the data set."""
    identities: Annotated[int, Within(1, 100_000)] = 120
    """At most so many identities are photographed again."""
    photographs: Path | None = None
    """Folder of photographs beside those in wheels: in it one for each source, in that PERSON_SHOT.jpg."""
    eyes: Annotated[int, Within(16, 256)] = 60
    """Pixels between the eyes of the faces that are compared with photographs; smaller ones are left out."""
    probe: tyro.conf.FlagCreatePairsOff[bool] = False
    """Instead of the judges: train a small network on half of the identities, test it on the others."""
    traits: tyro.conf.FlagCreatePairsOff[bool] = False
    """Instead of the judges: a net that half of the identities taught says age and sex of the others, if neutral."""
    ablation: Path | None = None
    """With the probe: the same data set without wrinkle maps; the table says what they add."""
    neutral: bool = True
    """With the probe: the network also sees the person's neutral face."""
    steps: Annotated[int, Within(1, 1_000_000)] = 3200
    """With a probe: training steps of 64 pictures."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def run_judge(command: Judge, _: float) -> int:
    """Judge, write the verdict, print one table.

    Raises:
        RefusedError: Not a data set, an unknown judge, a number out of its limits, or a model that isn't installed.
    """
    names = check(command)
    data = open_data_set(command.out)
    folder = command.to or command.out / ("probe" if command.probe else "traits" if command.traits else "judge")
    if command.to is None:
        refuse_link(folder)
    started = time.perf_counter()
    if command.probe:
        verdicts = [_probe(command, data)]
    elif command.traits:
        verdicts = [_traits(command, data)]
    else:
        verdicts = [judge(name)(command, data) for name in names]
    from pain3d.judge.verdict_files import show, summary, write_verdict

    write_verdict(folder, data, verdicts, time.perf_counter() - started)
    if command.json:
        print(json.dumps({"out": str(command.out), "to": str(folder), **summary(verdicts)}))
    else:
        show(verdicts)
        print(f"verdict  {folder / 'index.html'}")
    return 0


def check(command: Judge) -> list[str]:
    """The judges asked for, once everything given is known to make sense. Raises RefusedError."""
    names = list(dict.fromkeys(name.strip() for name in command.only.split(",") if name.strip()))
    for name in names:
        if name not in JUDGES:
            raise RefusedError(f"--only {name!r}: known are {', '.join(JUDGES)}")
    if not names:
        raise RefusedError(f"--only names nobody; known are {', '.join(JUDGES)}")
    try:
        checked(command)
    except RefusedError as error:
        raise RefusedError(f"--{error}") from None
    if command.ablation is not None and not command.probe:
        raise RefusedError("--ablation goes with --probe")
    if command.traits and command.probe:
        raise RefusedError("--traits and --probe are two runs")
    return names


def judge(name: str) -> Callable[[Judge, DataSet], Verdict]:
    """A judge by name; its libraries are loaded only now."""
    if name == "detectors":
        from pain3d.judge.detectors import judge_detectors

        return lambda command, data: judge_detectors(data, command.frames, command.json)
    if name == "ladders":
        from pain3d.judge.ladders import judge_ladders

        return lambda command, data: judge_ladders(data, command.identities, command.json)
    if name == "tone":
        from pain3d.judge.tone import judge_tone

        return lambda command, data: judge_tone(data, command.identities, command.frames, command.json)
    from pain3d.judge.photo import judge_photo

    return lambda command, data: judge_photo(data, command.photographs, command.frames, command.eyes, command.json)


def _probe(command: Judge, data: DataSet) -> Verdict:
    from pain3d.judge.probe import judge_probe

    other = open_data_set(command.ablation) if command.ablation is not None else None
    return judge_probe(data, other, steps=command.steps, neutral=command.neutral, quiet=command.json)


def _traits(command: Judge, data: DataSet) -> Verdict:
    from pain3d.judge.traits import judge_traits

    return judge_traits(data, command.steps, command.json)


COMMANDS: Final = {"judge": Entry(Judge, run_judge)}
