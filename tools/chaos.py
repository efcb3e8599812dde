"""Kills runs at every change of the disk and at random moments, goes on, and compares: ``make chaos N=200``.

    python -m tools.chaos --runs 200 [--only synth-1,synth-2,train] [--jobs 2] [--seed 0] [--keep out/chaos]

Each run is a process of its own that the kernel kills, or whose disk is full or fails (`tools.faulty_os`); the same
command is then given again until it exits 0, and every file must be that of a run that was never stopped.

What is real: the command line, rendering, encoding, training, files, SIGKILL, and for ``synth-2`` the worker processes.
What is not: a run is forked from a process that has loaded everything, which saves it the seconds of the imports; pools
of threads that Arrow and OpenBLAS keep in that one are not in the run; training doesn't measure the machine's speed.

Exit code 1 where anything differs, is left behind, outlives its run, or tells of an error in more than a line.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Final

SYNTH: Final = (
    "--identities", "2", "--expressions", "1", "--views", "1", "--size", "16", "--identities-per-shard", "1",
    "--device", "cpu", "--seed", "3",
)  # fmt: skip
PEOPLE: Final = ("--identities", "6", "--expressions", "2", "--views", "1", "--size", "32", "--device", "cpu")
TRAIN: Final = (
    "--image-size", "32", "--depth", "1", "--width", "32", "--heads", "2", "--batch", "4", "--group", "2", "--steps",
    "6", "--validations", "3", "--device", "cpu", "--no-evaluate",
)  # fmt: skip
LONGEST: Final = 120.0  # seconds of one attempt: on a busy machine the slowest takes 20
GOING: Final = 10.0  # seconds that a worker has to follow its parent
TRIES: Final = 3  # of the same command until it must have exited 0


@dataclass(frozen=True)
class Subject:
    """A command that is killed.

    Attributes:
        name: In the table.
        words: The command line for a folder.
        apart: Files that are of their moment and machine, by pattern, and are not compared.
    """

    name: str
    words: Callable[[Path], list[str]]
    apart: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of one run.

    Attributes:
        case: What was done to it.
        ended: How it ended: killed, failed (exit code 2 in one line), or done, where it was quicker than the fault.
        differing: Files that differ or are missing after it went on.
        stray: Files and processes' folders that no other run has.
        orphans: Processes that outlived it.
        wrong: What else was not as it should be.
    """

    case: str
    ended: str = ""
    differing: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    orphans: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the run went on as if it had never been stopped."""
        return not (self.differing or self.stray or self.orphans or self.wrong)


@dataclass(frozen=True)
class Case:
    """What is done to a run: a fault of its disk, or SIGKILL after some seconds."""

    kind: str
    event: int = -1
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"killed after {self.seconds:.3f} s" if self.kind == "moment" else f"{self.kind} event {self.event}"


def subjects(home: Path) -> dict[str, Subject]:
    """The commands that are killed; ``home`` holds the data that training reads, see `prepare`."""
    return {
        "synth-1": Subject("synth-1", lambda out: ["synth", str(out), *SYNTH]),
        "synth-2": Subject("synth-2", lambda out: ["synth", str(out), *SYNTH, "--processes", "2"]),
        "train": Subject(
            "train", lambda out: ["train", str(out), "--data", str(home / "people"), *TRAIN], ("tensorboard/*",)
        ),
    }


def prepare(home: Path, names: Sequence[str]) -> None:
    """Load what the runs need, once, and make the data that training reads; renders once, to have the kernels."""
    import pain3d.pipeline.cli
    import pain3d.pipeline.description
    import pain3d.pipeline.run
    from pain3d.pipeline.workers import limited_threads

    if "train" in names:
        import pain3d.training.loop
        from pain3d.training.model.backbone import import_timm

        import_timm()
        for module in ("pain3d.training.cli", "pain3d.training.run", "torch.utils.tensorboard", "safetensors.torch"):
            import_module(module)
        setattr(pain3d.training.loop, "peak", lambda *_: 1.0)  # noqa: B010  measures the machine for two seconds
    with limited_threads(1), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as told:
        code = _command(["synth", str(home / "people"), *(PEOPLE if "train" in names else SYNTH)])
    if code:
        raise SystemExit(f"the data of the runs can't be made: {told.getvalue()}")


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code, or minus the signal that killed it; what it told; what it changed on the disk."""

    code: int
    told: str
    seconds: float
    group: int
    events: list[str]


def attempt(words: Sequence[str], said: Path, case: Case | None = None) -> Ended:
    """Run a command in a process of its own, and of its own group, with something done to it."""
    from tools.faulty_os import KINDS, Fault, FaultyOs

    counted = said.with_suffix(".json")
    counted.unlink(missing_ok=True)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
            disk = FaultyOs(Fault(case.kind, case.event) if case and case.kind in KINDS else None)
            disk.install()
            code = _command(words)
            counted.write_text(json.dumps(disk.events))
            os._exit(code)
        finally:
            os._exit(70)
    limit = started + (case.seconds if case and case.kind == "moment" else LONGEST)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() >= limit:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    events = json.loads(counted.read_text()) if counted.exists() else []
    seconds = time.monotonic() - started
    told = said.read_text(errors="replace") if said.exists() else ""
    return Ended(os.waitstatus_to_exitcode(status), told, seconds, child, events)


def _command(words: Sequence[str]) -> int:
    import traceback

    from pain3d.__main__ import main

    try:
        main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1


def cases(events: Sequence[str], seconds: float, runs: int, seed: int) -> list[Case]:
    """So many things to do to a run that changes the disk so and takes so long.

    A quarter are random moments; the rest goes over all events: killed before each, then after it, within each write,
    disk full, disk failing. Where there are more of these than wanted, some of each kind are left out, evenly.
    """
    numbers = range(len(events))
    faults = [Case("before", event) for event in numbers]
    faults += [Case("torn", event) for event in numbers if events[event] == "write"]
    faults += [Case("broken" if event % 2 else "full", event) for event in numbers]
    faults += [Case("after", event) for event in numbers]
    wanted = runs - runs // 4
    if wanted < len(faults):
        faults = [faults[int(place * len(faults) / wanted)] for place in range(wanted)]
    draw = random.Random(seed)
    moments = [Case("moment", seconds=draw.uniform(0, seconds)) for _ in range(runs - len(faults))]
    return faults + moments


def hashes(out: Path, apart: Sequence[str]) -> dict[str, str]:
    """SHA-256 of each file in a folder, but those that are not compared."""
    held = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_symlink() or path.is_file():
            held[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {name: digest for name, digest in held.items() if not any(fnmatch(name, pattern) for pattern in apart)}


def still_there(group: int) -> int:
    """Processes of a group that do anything yet, after a while in which they may end."""
    deadline = time.monotonic() + GOING
    while True:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return 0
        listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True).stdout.splitlines()
        states = [words[1] for line in listed if (words := line.split()) and words[0] == str(group)]
        left = sum(not state.startswith("Z") for state in states)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def run_case(subject: Subject, case: Case, expected: dict[str, str], home: Path) -> Outcome:
    """Do something to a run, go on, compare; what went wrong is told by the outcome, the folder stays in `home`."""
    home.mkdir()
    out, outcome = home / "out", Outcome(str(case))
    ended = attempt(subject.words(out), home / "said-0", case)
    groups = [ended.group]
    if ended.code in (-signal.SIGKILL, 0):
        outcome.ended = "killed" if ended.code else "done"
        if ended.code and case.kind in ("full", "broken"):
            outcome.wrong.append(f"hung for {LONGEST:.0f} s")
    else:
        outcome.ended = "failed"
        lines = [line for line in ended.told.splitlines() if not line.endswith("s left")]
        if ended.code != 2 or len(lines) != 1 or not lines[0].startswith("pain3d: "):
            outcome.wrong.append(f"exit code {ended.code}: {ended.told[-2000:]}")
        if out.exists():
            outcome.stray += [path.as_posix() for path in out.rglob(".*.partial")]
    for number in range(1, TRIES + 1):
        again = attempt(subject.words(out), home / f"said-{number}")
        groups.append(again.group)
        if again.code == 0:
            break
        outcome.wrong.append(f"exit code {again.code} when it went on: {again.told[-2000:]}")
    found = hashes(out, subject.apart) if out.is_dir() else {}
    outcome.differing = [name for name, digest in expected.items() if found.get(name) != digest]
    outcome.stray += [name for name in found if name not in expected]
    outcome.stray += [path.name for path in home.iterdir() if path.name != "out" and not path.name.startswith("said-")]
    outcome.orphans = sum(still_there(group) for group in groups)
    return outcome


def outcomes(
    subject: Subject, todo: Sequence[Case], expected: dict[str, str], home: Path, jobs: int
) -> Iterator[tuple[int, Outcome]]:
    """The outcome of each case, by its number, as they come; so many cases beside each other."""
    reading, writing = os.pipe()
    children = []
    for job in range(jobs):
        child = os.fork()
        if child == 0:
            try:
                for number in range(job, len(todo), jobs):
                    outcome = run_case(subject, todo[number], expected, home / f"{subject.name}-{number}")
                    if outcome.good:
                        shutil.rmtree(home / f"{subject.name}-{number}")
                    (home / f"{number}.told").write_text(json.dumps(asdict(outcome)))
                    os.write(writing, f"{number}\n".encode())
                os._exit(0)
            finally:
                os._exit(70)
        children.append(child)
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            place = home / f"{int(line)}.told"
            yield int(line), Outcome(**json.loads(place.read_text()))
            place.unlink()
    for child in children:
        if os.waitpid(child, 0)[1]:
            raise SystemExit("a process that runs cases failed; what it told is above")


def attack(subject: Subject, runs: int, jobs: int, seed: int, home: Path, keep: Path | None = None) -> list[Outcome]:
    """Do so many things to a command; what went wrong is moved into ``keep``."""
    clean = [attempt(subject.words(home / f"clean-{number}"), home / "said") for number in range(2)]
    for ended in clean:
        if ended.code:
            raise SystemExit(f"{subject.name}: exit code {ended.code} without any fault: {ended.told}")
    expected = hashes(home / "clean-0", subject.apart)
    if expected != hashes(home / "clean-1", subject.apart):
        raise SystemExit(f"{subject.name}: two runs that nobody stopped differ")
    todo = cases(clean[0].events, min(one.seconds for one in clean), runs, seed)
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(Counter(clean[0].events).items()))
    print(f"{subject.name}: {len(clean[0].events)} changes of the disk ({kinds}), {len(expected)} files", flush=True)
    found, started = [], time.monotonic()
    for number, outcome in outcomes(subject, todo, expected, home, jobs):
        found.append(outcome)
        if not outcome.good:
            print(f"  {subject.name}-{number}: {outcome}", flush=True)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(keep / f"{subject.name}-{number}", ignore_errors=True)
                shutil.move(home / f"{subject.name}-{number}", keep)
                (keep / f"{subject.name}-{number}" / "outcome.json").write_text(json.dumps(asdict(outcome), indent=1))
        if len(found) % 10 == 0 or len(found) == len(todo):
            good = sum(one.good for one in found)
            spent = time.monotonic() - started
            print(f"  {len(found)} of {len(todo)}, {good} identical, {spent:.0f} s", flush=True)
    for number in range(2):
        shutil.rmtree(home / f"clean-{number}")
    return found


def table(found: dict[str, list[Outcome]]) -> str:
    """A line a command."""
    heads = ("", "runs", "killed", "failed", "too late", "identical", "differing", "stray", "orphans", "else wrong")
    rows: list[tuple[str, ...]] = [heads]
    for name, ones in found.items():
        ended = Counter(one.ended for one in ones)
        counts = (
            len(ones),
            *(ended[how] for how in ("killed", "failed", "done")),
            sum(not one.differing and not one.stray for one in ones),
            sum(bool(one.differing) for one in ones),
            sum(bool(one.stray) for one in ones),
            sum(one.orphans for one in ones),
            sum(bool(one.wrong) for one in ones),
        )
        rows.append((name, *map(str, counts)))
    return "\n".join(" ".join(word.rjust(10) for word in row) for row in rows)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="200", help="of each command, or a number for each, with commas between")
    parser.add_argument("--only", default="synth-1,synth-2,train", help="commands, with commas between")
    parser.add_argument("--jobs", type=int, default=2, help="runs beside each other")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--keep", type=Path, default=Path("out/chaos"), help="folder for what went wrong")
    asked = parser.parse_args()
    # Read when torch and the kernels are loaded: one thread each, so that two runs beside each other don't wait.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    names = asked.only.split(",")
    runs = [int(word) for word in asked.runs.split(",")]
    runs *= len(names) if len(runs) == 1 else 1
    found: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory(prefix="chaos-") as place:
        home, started = Path(place), time.monotonic()
        prepare(home, names)
        for name, count in zip(names, runs, strict=True):
            found[name] = attack(subjects(home)[name], count, asked.jobs, asked.seed, home, asked.keep)
    print(f"{table(found)}\n{time.monotonic() - started:.0f} s")
    bad = sum(not one.good for ones in found.values() for one in ones)
    if bad:
        print(f"{bad} went wrong; they are kept in {asked.keep}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
