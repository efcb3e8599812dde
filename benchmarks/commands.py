"""Knows the walk through the commands: what a user types, on tiny data, for real, on a device of this machine.

    export PYTHONPATH=src
    python -m benchmarks.commands WORK --device cuda       WORK: a new folder

Each command is a process of its own with a time limit of its own. One that fails is named, with the last line that it
said, and the others go on; what needs its output is left out. What needs nothing of each other runs side by side.
The device's data set is held against that of the CPU: labels bit by bit, what was measured on the head or in the
picture within a tolerance, pictures by their levels.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.asked import device_name
from benchmarks.makers import NEEDS

SETS = ("--identities", "6", "--expressions", "3", "--views", "2", "--size", "96", "--seed", "5", "--cameras", "free")
RUNS = ("--data", "{work}/cpu", "--steps", "4", "--batch", "8", "--validations", "1", "--image-size", "64",
        "--no-evaluate", "--device", "{device}")  # fmt: skip
BOX = "8,8,88,88"  # of a face in a picture of 96 pixels: nothing is detected in so small a one
IGNORED = ("config_hash", "code_version")  # they name settings and sources; the device class is among the settings
# Computed in float32 from vertices or pixels, so not bit-equal on another device: pixels, metres, degrees, shares. A
# landmark at 96 pixels has a last place of 1e-5; the share is one of 9,216 pixels, a few of which lie on an edge.
MEASURED = ("coverage", "skin_ita_degrees", "landmarks_2d", "landmarks_3d", "bbox", "neutral_vertices")
MEASURED_TOLERANCE = 0.01
LEVELS = 1.0  # mean difference of two decoded pictures, of 255: JPEG of pictures that differ by a level here and there


@dataclass(frozen=True)
class Command:
    """A command, or a check of what commands made.

    Attributes:
        name: In the table, and of its log.
        words: Behind ``python -m pain3d``; {work} and {device} are filled in, and a * finds the first such file.
        after: Names of those whose output it reads.
        check: What is looked at in the place of a command; returns what it saw, raises ValueError for what is wrong.
        limit: Seconds.
    """

    name: str
    words: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    check: Callable[[Path], str] | None = None
    limit: float = 120


@dataclass(frozen=True)
class Walked:
    """What came of a command; `outcome` is passed, failed or skipped."""

    name: str
    outcome: str
    seconds: float
    said: str


def same_sets(work: Path) -> str:
    """Hold the device's data set against the CPU's."""
    import pyarrow.parquet as pq

    furthest, off, labels = 0.0, 0.0, 0
    for path in sorted((work / "cpu" / "data").rglob("*.parquet")):
        ours = pq.read_table(path)
        theirs = pq.read_table(work / "data" / path.relative_to(work / "cpu"))
        if ours.schema.names != theirs.schema.names or len(ours) != len(theirs):
            raise ValueError(f"{path.name}: other rows or columns")
        for name in ours.schema.names:
            a, b = ours[name].to_pylist(), theirs[name].to_pylist()
            if name in IGNORED:
                continue
            if name in MEASURED or name.removeprefix("neutral_") in MEASURED:
                furthest = max(furthest, *(_furthest(x, y) for x, y in zip(a, b, strict=True)))
            elif isinstance(a[0], dict):  # a picture: its bytes and its name
                off = max(off, *(_off(x, y) for x, y in zip(a, b, strict=True)))
            elif a != b:
                raise ValueError(f"{path.parent.name}: {name} is another label than on the CPU")
            labels += len(a)
    seen = f"{labels} labels equal, measures within {furthest:.0e}, pictures within {off:.2f} levels on average"
    if not (furthest <= MEASURED_TOLERANCE and off <= LEVELS):
        raise ValueError(seen)
    return seen


def _furthest(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())


def _off(a: dict[str, Any] | None, b: dict[str, Any] | None) -> float:
    """Mean difference of two pictures, levels; a neutral face has no heatmap, on either device."""
    from PIL import Image

    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    one, other = (np.asarray(Image.open(BytesIO(each["bytes"])), np.float64) for each in (a, b))
    return float(np.abs(one - other).mean()) if one.shape == other.shape else float("inf")


NEUTRAL, PAIN = "{work}/layout/meshes_inpainted/*_neutral_*.jpg", "{work}/layout/meshes_inpainted/*_pain_*.jpg"
WALK = (
    Command("synth on the CPU", ("synth", "{work}/cpu", *SETS, "--device", "cpu")),
    Command("synth", ("synth", "{work}/data", *SETS, "--device", "{device}")),
    Command("verify", ("verify", "{work}/data"), ("synth",)),
    Command("replay", ("replay", "{work}/data", "id000000_e01_v0"), ("synth",)),
    Command("same data", after=("synth on the CPU", "synth"), check=same_sets),
    Command("train", ("train", "{work}/run", *RUNS), ("synth on the CPU",)),
    Command("train online", ("train", "{work}/online", *RUNS, "--online", "--online-pool", "3"), ("synth on the CPU",)),
    Command("train teacher", ("train", "{work}/teacher", *RUNS, "--task", "teacher"), ("synth on the CPU",)),
    Command("train siamese", ("train", "{work}/siamese", *RUNS, "--task", "siamese"), ("synth on the CPU",)),
    Command("export 3dpain", ("export", "{work}/cpu", "--format", "3dpain", "--to", "{work}/layout"),
            ("synth on the CPU",)),
    Command("distil", ("train", "{work}/distilled", *RUNS, "--task", "distill", "--teacher", "{work}/teacher"),
            ("train teacher",)),
    Command("evaluate", ("evaluate", "--model", "{work}/run", "--resamples", "50"), ("train",)),
    Command("score", ("score", PAIN, "--neutral", NEUTRAL, "--box", BOX, "--neutral-box", BOX, "--model", "{work}/run",
                      "--to", "{work}/scored"), ("train", "export 3dpain")),
    Command("export onnx", ("export", "{work}/run", "--onnx", "--to", "{work}/net.onnx"), ("train",)),
)  # fmt: skip


def walk(
    work: Path, device: str, commands: Sequence[Command] = WALK, jobs: int = 4, within: float | None = None
) -> Iterator[Walked]:
    """Run the commands and yield what came of each, in their order.

    Args:
        work: A new folder; logs are written to it as they come.
        device: ``cpu`` or ``cuda``.
        commands: Each behind those that it needs.
        jobs: How many at a time.
        within: Seconds for all of them together, beside the limit of each.
    """
    missing = [module for module in NEEDS if find_spec(module) is None]
    if missing:
        yield from (Walked(each.name, "skipped", 0.0, f"{missing[0]} is missing") for each in commands)
        return
    work.mkdir(parents=True)
    end = time.perf_counter() + (math.inf if within is None else within)
    with ThreadPoolExecutor(jobs) as pool:
        done: dict[str, Future[Walked]] = {}
        for each in commands:  # one that waits was begun behind those that it waits for
            done[each.name] = pool.submit(_one, each, work, device, end, [done[name] for name in each.after])
        yield from (future.result() for future in done.values())


def _one(command: Command, work: Path, device: str, end: float, needed: list[Future[Walked]]) -> Walked:
    lacking = [walked.name for walked in (future.result() for future in needed) if walked.outcome != "passed"]
    if lacking:
        return Walked(command.name, "skipped", 0.0, f"needs {lacking[0]}")
    started = time.perf_counter()
    limit = min(command.limit, end - started)
    if limit <= 0:
        return Walked(command.name, "skipped", 0.0, "the time is over")
    try:
        said, wrong = command.check(work) if command.check else "", ""
    except (ValueError, OSError) as error:
        said, wrong = "", str(error)
    if command.check is None:
        wrong = _run(command, work, device, limit)
    return Walked(command.name, "failed" if wrong else "passed", time.perf_counter() - started, wrong or said)


def _run(command: Command, work: Path, device: str, limit: float) -> str:
    """Run a command, its words in a log; return the last line of a failure, or nothing."""
    words = [_found(word.format(work=work, device=device)) for word in command.words]
    log = work / f"{command.name.replace(' ', '-')}.log"
    with log.open("w") as file:
        try:
            code = subprocess.run(
                [sys.executable, "-m", "pain3d", *words],
                stdout=file, stderr=subprocess.STDOUT, timeout=limit, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"was stopped after {limit:.0f} s"
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"exit code {code}: {lines[-1] if lines else 'it said nothing'}" if code else ""


def _found(word: str) -> str:
    if "*" not in word:
        return word
    path = Path(word)
    return str(min(path.parent.glob(path.name), default=path))


def line(walked: Walked) -> str:
    """A command's line of the table."""
    return f"{walked.outcome:<8}{walked.seconds:6.1f} s  {walked.name:<18}{walked.said}".rstrip()


def main() -> None:
    """Walk, print a line for each command as it comes, and exit with 1 where one failed."""
    parser = argparse.ArgumentParser(description="The commands, tiny, for real.")
    parser.add_argument("work", type=Path, metavar="WORK", help="a new folder")
    parser.add_argument("--device", type=device_name, required=True)
    parser.add_argument("--jobs", type=int, default=4, help="commands at a time")
    given = parser.parse_args()
    if given.work.exists():
        parser.error(f"{given.work} is there already")
    failed = False
    for walked in walk(given.work.resolve(), given.device, jobs=given.jobs):
        failed |= walked.outcome == "failed"
        print(line(walked), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
