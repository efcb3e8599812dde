"""Knows `make gpu`: on a bare machine with a GPU, from the source tree to correctness and figures, in one command.

    export PYTHONPATH=src
    python -m benchmarks.gpu                      everything
    python -m benchmarks.gpu --only commands,tests --limit 120     parts, in this order, so many seconds each
    python -m benchmarks.gpu --only benchmarks --cases render,latency --implementations triton,nvdiffrast --seconds 0.5
    python -m benchmarks.gpu -k "render and not latency"      what pytest takes: some of the tests and benchmarks
    python -m benchmarks.gpu --no-offline         without the compilations that need no GPU, where minutes are lent
    python -m benchmarks.gpu --rehearse           all of it on the CPU, tiny

Needs no network, no installation and no git: the tree runs as it lies, and only what comes with torch, Triton, numpy,
numba, pillow, matplotlib and pytest has to be there; wheels of anything else can be laid into build/wheels. Where a
test or a benchmark imports what is missing, its file is left out and named. What can be known without a GPU is tried
first, so a machine without one gets through everything up to the first CUDA call and then says so. What came of each
test lies in build/gpu-<part>.jsonl, each row in the results, as soon as it is known: a run that is stopped keeps them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.asked import case_names, implementation_names, positive
from benchmarks.commands import line, walk
from benchmarks.goals import goals, latest
from benchmarks.progress import Outcome, outcome_of
from benchmarks.report import earlier_table, goals_table, newest_version, read_rows, table
from benchmarks.schema import commit_name

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
SOURCE = ROOT / "src"
WHEELS = BUILD / "wheels"  # of peers that the machine lacks, laid there by hand
UNPACKED = BUILD / "gpu"  # what is in them
CACHE = BUILD / "triton"  # of the offline compilations
OFFLINE = (("tests/kernels/compile_offline.py", "--known", "--cache", str(CACHE)), ("tests/kernels/fake_device.py",))
SUITES = {"tests": ("tests/kernels", "tests/pain3d_core/rendering/test_renderer.py"), "benchmarks": ("benchmarks",)}
PARTS = ("tests", "commands", "benchmarks")
WORKERS = 12  # of pytest-xdist, at most: each compiles kernels on a core, and holds a few hundred MB of the GPU
COMMANDS_AT_ONCE = 6  # each has threads of its own
LAST_WORDS = 20  # seconds that pytest has for its summary when its time is over
RESULTS = "benchmarks/results"
NO_DEVICE = "make gpu needs a CUDA device: torch sees none"
SHOWN = ("torch", "triton", "numpy", "numba", "pytest", "pytest-benchmark")
MISSING = re.compile(r"^ERROR (\S+) - ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)
BROKEN = re.compile(r"^ERROR (?!.*ModuleNotFoundError: No module named).*", re.MULTILINE)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    print(f"== {name}", flush=True)
    started = time.perf_counter()
    yield
    print(f"   {time.perf_counter() - started:.1f} s", flush=True)


def run(*command: str) -> str:
    """Run Python on the tree and return what it prints; stop everything if it fails."""
    done = start(*command)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}make gpu stops: python {' '.join(command)} failed")
    return done.stdout


def environment(width: int) -> dict[str, str]:
    """That of a process which has the tree before everything else that it may import."""
    path = os.pathsep.join([str(SOURCE), str(UNPACKED), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": str(width)}


def start(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the tree and capture what it says, whatever comes of it."""
    wide = environment(1000)  # pytest cuts reasons at the width: not those that are read here
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=wide, capture_output=True, text=True, check=False)


def unpack() -> None:
    """Make the wheels of build/wheels importable."""
    shutil.rmtree(UNPACKED, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--target", str(UNPACKED)]
    for wheel in sorted(WHEELS.glob("*.whl")):
        run("-m", "pip", "install", *options, str(wheel))
    sys.path.insert(0, str(UNPACKED))
    importlib.invalidate_caches()


def missing_imports() -> dict[str, str]:
    """Modules of pain3d that can't be imported here, each with the library that is missing. Anything else raises."""
    import pain3d

    if Path(pain3d.__path__[0]).resolve().parent != SOURCE:
        sys.exit(f"make gpu stops: pain3d comes from {pain3d.__path__[0]}, not from {SOURCE}: export PYTHONPATH=src")
    missing = {}
    for module in pkgutil.walk_packages(pain3d.__path__, "pain3d."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] == "pain3d":
                raise
            missing[module.name] = error.name
    return missing


def uncollected(text: str) -> dict[str, str]:
    """Files that pytest could not collect, each with the library that is missing; any other error stops the run."""
    broken = BROKEN.findall(text)
    if broken:
        sys.exit(f"{text}make gpu stops: {broken[0]}")
    return dict(MISSING.findall(text))


def collect(*suites: str) -> tuple[int, dict[str, str]]:
    """How many tests there are, and the files that are left out for want of a library."""
    done = start("-m", "pytest", "--collect-only", "-q", *suites)
    left_out = uncollected(done.stdout)
    if done.returncode and not left_out:
        sys.exit(f"{done.stdout}{done.stderr}make gpu stops: pytest collects nothing from {' '.join(suites)}")
    return sum(
        "::" in line and not line.startswith(("ERROR", "SKIPPED")) for line in done.stdout.splitlines()
    ), left_out


def test(name: str, left_out: dict[str, str], limit: float | None, *options: str) -> Outcome:
    """Run a part's suites with pytest, its output as it comes; past its limit it is told to stop, and then killed."""
    told, report = BUILD / f"gpu-{name}.jsonl", BUILD / f"gpu-{name}.xml"
    for path in (told, report):
        path.unlink(missing_ok=True)
    ignored = [f"--ignore={file}" for file in left_out]
    written = ["-p", "benchmarks.progress", f"--progress={told}", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", "-q", *written, *ignored, *options, *SUITES[name]]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job; children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.perf_counter()
    # In a group of its own, which ends with it: workers of pytest-xdist don't outlive the limit.
    process = subprocess.Popen(command, cwd=ROOT, env=environment(120), start_new_session=True)
    stopped = False
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        stopped = True
        for _ in range(2):  # an interrupt that falls into a finaliser is lost
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(LAST_WORDS / 2)
                break
        else:
            print(f"   {name} did not end when told to", flush=True)
    finally:
        with suppress(ProcessLookupError):  # nobody of the group is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if not told.is_file():
        sys.exit(f"make gpu stops: pytest wrote no report on {name}")
    return outcome_of(told, time.perf_counter() - began, stopped)


def walk_commands(device: str, limit: float | None) -> Outcome:
    """Run every command on tiny data, printing what came of each; the whole has the limit."""
    work = BUILD / "gpu-commands"
    shutil.rmtree(work, ignore_errors=True)
    began = time.perf_counter()
    os.environ["PYTHONPATH"] = environment(120)["PYTHONPATH"]  # of the commands' processes
    passed, failed, skipped = 0, [], {}
    for walked in walk(work, device, jobs=min(COMMANDS_AT_ONCE, os.cpu_count() or 1), within=limit):
        print(f"   {line(walked)}", flush=True)
        if walked.outcome == "skipped":
            skipped[f"{walked.name}: {walked.said}"] = 1
        elif walked.outcome == "failed":
            failed.append(walked.name)
        passed += walked.outcome == "passed"
    return Outcome(passed, tuple(failed), skipped, time.perf_counter() - began)


def versions() -> str:
    """Python and the libraries that figures depend on; `-` where one is not there."""
    found = []
    for name in SHOWN:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} -")
    return ", ".join((f"Python {sys.version.split()[0]}", *found))


def rehearse(parts: list[str], offline: bool = True) -> dict[str, dict[str, str]]:
    """Everything up to the first CUDA call, with or without compiling; returns the files that each part leaves out."""
    print(versions())
    if WHEELS.is_dir():
        with step("unpack build/wheels"):
            unpack()
    with step("import every module"):
        missing = missing_imports()
        for library in sorted(set(missing.values())):
            modules = [module for module, wanted in missing.items() if wanted == library]
            print(f"   {library} is missing, so not imported: {', '.join(modules)}")
    left_out: dict[str, dict[str, str]] = {}
    for name in parts:
        if name not in SUITES:
            continue
        with step(f"collect {name}"):
            count, left_out[name] = collect(*SUITES[name])
            print(f"   {count} found")
            for file, library in left_out[name].items():
                print(f"   skipped: {file} imports {library}, which is missing")
    if not offline:
        return left_out
    with step("compile kernels for sm_80 and sm_90, walk every launcher on fake tensors of a GPU"):
        for command in OFFLINE:
            print(f"   {command[0]}: {len(run(*command).splitlines())} lines")
    return left_out


def figures() -> None:
    """Renew the tables and charts of the results, and print the goals and rows of this GPU."""
    run("-m", "benchmarks.report")
    rows = read_rows(newest_version(ROOT / RESULTS))
    print(table(latest(rows, "cuda")))
    print(goals_table([goal for goal in goals(rows) if goal.kind == "cuda"]))
    print(f"\n{earlier_table(rows)}", flush=True)


def summary(outcomes: dict[str, Outcome], left_out: dict[str, dict[str, str]]) -> None:
    """The table that comes last."""
    for name, outcome in outcomes.items():
        for reason, count in outcome.skipped.items():
            print(f"{name}: {count} skipped: {reason}")
        for file, library in left_out.get(name, {}).items():
            print(f"{name}: {file} left out: {library} is missing")
        for failed in outcome.failed:
            print(f"{name}: FAILED {failed}")
        if outcome.stopped:
            print(f"{name}: stopped at its limit, what ran is counted")
    print(f"\n{'part':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, outcome in outcomes.items():
        skipped = sum(outcome.skipped.values())
        print(f"{name:<12}{outcome.passed:>8}{len(outcome.failed):>8}{skipped:>9}{outcome.seconds:>9.0f}", flush=True)


def part_names(text: str) -> list[str]:
    """Parts in the order in which they are to run, separated by commas.

    Raises:
        ArgumentTypeError: There is no such part.
    """
    names = text.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}: there are {', '.join(PARTS)}")
    return names


def asked_for(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says, checked."""
    parser = argparse.ArgumentParser(description="Tests, commands and benchmarks on a GPU, from the source tree.")
    parser.add_argument(
        "--only", type=part_names, default=list(PARTS), help="parts, separated by commas, in this order"
    )
    parser.add_argument("--limit", type=positive, metavar="SECONDS", help="of each part")
    parser.add_argument("-k", dest="select", metavar="EXPRESSION", help="of tests and benchmarks, as pytest takes it")
    parser.add_argument("--cases", type=case_names, help="of the benchmarks, separated by commas")
    parser.add_argument("--implementations", type=implementation_names, help="of the benchmarks, separated by commas")
    parser.add_argument("--seconds", type=positive, help="of timed rounds aimed at, per row of the benchmarks")
    parser.add_argument("--commit", type=commit_name, help="what the results say where there is no git to ask")
    parser.add_argument("--no-offline", action="store_true", help="don't compile first what a test compiles anyway")
    parser.add_argument("--rehearse", action="store_true", help="all of it on the CPU, tiny; results in build/")
    return parser.parse_args(arguments)


def options_of(asked: argparse.Namespace, device: str) -> dict[str, list[str]]:
    """What pytest is told, for each part that it runs."""
    chosen = ["-k", asked.select] if asked.select else []
    told = [*chosen, "--device", device, "--results", f"{BUILD}/gpu-results" if asked.rehearse else RESULTS]
    for name in ("commit", "seconds"):
        if getattr(asked, name):
            told += [f"--{name}", str(getattr(asked, name))]
    for name in ("cases", "implementations"):
        if getattr(asked, name):
            told += [f"--{name}", ",".join(getattr(asked, name))]
    if asked.rehearse:
        told += ["--scale", "tiny"]
    side_by_side = ["-n", str(min(WORKERS, os.cpu_count() or 1))] if find_spec("xdist") else []
    return {"tests": [*chosen, *side_by_side], "benchmarks": told}


def main() -> None:
    """Rehearse, then run the parts, then say what came of it. Exits with 1 where something failed or was stopped."""
    asked = asked_for()
    left_out = rehearse(asked.only, not asked.no_offline)
    import torch

    if asked.rehearse:
        device = "cpu"
    elif torch.cuda.is_available():
        device = "cuda"
        print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    else:
        sys.exit(NO_DEVICE)
    options = options_of(asked, device)
    outcomes = {}
    for name in asked.only:
        with step(name):
            if name == "commands":
                outcomes[name] = walk_commands(device, asked.limit)
            else:
                outcomes[name] = test(name, left_out[name], asked.limit, *options[name])
    if "benchmarks" in outcomes and outcomes["benchmarks"].passed and not asked.rehearse:
        figures()
    summary(outcomes, left_out)
    sys.exit(any(outcome.failed or outcome.stopped for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
