"""Knows `make gpu`: on a bare machine with a GPU, from the source tree to correctness and figures, in one command.

    export PYTHONPATH=src
    python -m benchmarks.gpu                      everything
    python -m benchmarks.gpu --only tests         or benchmarks: where a machine is lent by the minute
    python -m benchmarks.gpu -k "render and not latency"      what pytest takes: some of both

Needs no network, no installation and no git: the tree runs as it lies, and only what comes with torch, Triton, numpy,
numba, pillow, matplotlib and pytest has to be there. Where a test or a benchmark
imports something else, its file is left out and named. What can be known without a GPU is tried first, so a machine
without one gets through everything up to the first CUDA call and then says so.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.goals import goals, latest
from benchmarks.report import goals_table, newest_version, read_rows, table
from benchmarks.schema import commit_name

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
SOURCE = ROOT / "src"
WHEELS = BUILD / "wheels"  # of peers that the machine lacks, laid there by hand
UNPACKED = BUILD / "gpu"  # what is in them
CACHE = BUILD / "triton"  # of the offline compilations
OFFLINE = (("tests/kernels/compile_offline.py", "--cache", str(CACHE)), ("tests/kernels/fake_device.py",))
PARTS = {"tests": ("tests/kernels", "tests/pain3d_core/rendering/test_renderer.py"), "benchmarks": ("benchmarks",)}
RESULTS = "benchmarks/results"
NO_DEVICE = "make gpu needs a CUDA device: torch sees none"
SHOWN = ("torch", "triton", "numpy", "numba", "pytest", "pytest-benchmark")
MISSING = re.compile(r"^ERROR (\S+) - ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)
BROKEN = re.compile(r"^ERROR (?!.*ModuleNotFoundError: No module named).*", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What a run of pytest came to."""

    passed: int
    failed: int
    skipped: dict[str, int]  # reason: how many tests
    seconds: float


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


def start(*command: str, capture: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python with the tree before everything else that it may import, whatever comes of it."""
    width = "1000" if capture else "120"  # pytest cuts reasons at the width: not those that are read here
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{UNPACKED}", "COLUMNS": width}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=capture, text=True, check=False
    )


def unpack() -> None:
    """Make the wheels of build/wheels importable."""
    shutil.rmtree(UNPACKED, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--target", str(UNPACKED)]
    for wheel in sorted(WHEELS.glob("*.whl")):
        run("-m", "pip", "install", *options, str(wheel))


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


def outcome_of(report: Path) -> Outcome:
    """What pytest's XML report says."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    reasons = [skip.get("message", "") for case in cases for skip in case.iter("skipped")]
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    seconds = sum(float(case.get("time", 0)) for case in cases)
    skipped = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    return Outcome(len(cases) - failed - len(reasons), failed, skipped, seconds)


def test(name: str, left_out: dict[str, str], *options: str) -> Outcome:
    """Run a part's suites with pytest, its output as it comes."""
    report = BUILD / f"gpu-{name}.xml"
    report.unlink(missing_ok=True)
    ignored = [f"--ignore={file}" for file in left_out]
    start("-m", "pytest", "-q", f"--junitxml={report}", *ignored, *options, *PARTS[name], capture=False)
    if not report.is_file():
        sys.exit(f"make gpu stops: pytest did not finish {' '.join(PARTS[name])}")
    return outcome_of(report)


def versions() -> str:
    """Python and the libraries that figures depend on; `-` where one is not there."""
    found = []
    for name in SHOWN:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} -")
    return ", ".join((f"Python {sys.version.split()[0]}", *found))


def rehearse(parts: list[str]) -> dict[str, dict[str, str]]:
    """Everything up to the first CUDA call; returns the files that each part leaves out."""
    print(versions())
    if WHEELS.is_dir():
        with step("unpack build/wheels"):
            unpack()
    with step("import every module"):
        missing = missing_imports()
        for library in sorted(set(missing.values())):
            modules = [module for module, wanted in missing.items() if wanted == library]
            print(f"   {library} is missing, so not imported: {', '.join(modules)}")
    left_out = {}
    for name in parts:
        with step(f"collect {name}"):
            count, left_out[name] = collect(*PARTS[name])
            print(f"   {count} found")
            for file, library in left_out[name].items():
                print(f"   skipped: {file} imports {library}, which is missing")
    with step("compile every kernel for sm_80 and sm_90, walk every launcher on fake tensors of a GPU"):
        for command in OFFLINE:
            print(f"   {command[0]}: {len(run(*command).splitlines())} lines")
    return left_out


def figures() -> None:
    """Renew the tables and charts of the results, and print the goals and rows of this GPU."""
    run("-m", "benchmarks.report")
    rows = read_rows(newest_version(ROOT / RESULTS))
    print(table(latest(rows, "cuda")))
    print(goals_table([goal for goal in goals(rows) if goal.kind == "cuda"]))


def summary(outcomes: dict[str, Outcome], left_out: dict[str, dict[str, str]]) -> None:
    """The table that comes last."""
    for name, outcome in outcomes.items():
        for reason, count in outcome.skipped.items():
            print(f"{name}: {count} skipped: {reason}")
        for file, library in left_out[name].items():
            print(f"{name}: {file} left out: {library} is missing")
    print(f"\n{'part':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, outcome in outcomes.items():
        skipped = sum(outcome.skipped.values())
        print(f"{name:<12}{outcome.passed:>8}{outcome.failed:>8}{skipped:>9}{outcome.seconds:>9.0f}")


def main() -> None:
    """Rehearse, then test and measure, then say what came of it. Exits with 1 where something failed."""
    parser = argparse.ArgumentParser(description="Contract tests and benchmarks on a GPU, from the source tree.")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("-k", dest="select", metavar="EXPRESSION", help="of tests and benchmarks, as pytest takes it")
    parser.add_argument("--commit", type=commit_name, help="what the results say where there is no git to ask")
    asked = parser.parse_args()
    parts = [asked.only] if asked.only else list(PARTS)
    left_out = rehearse(parts)
    import torch

    if not torch.cuda.is_available():
        sys.exit(NO_DEVICE)
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    chosen = ["-k", asked.select] if asked.select else []
    told = ["--commit", asked.commit] if asked.commit else []
    options = {"tests": chosen, "benchmarks": [*chosen, "--results", RESULTS, *told]}
    outcomes = {}
    for name in parts:
        with step(name):
            outcomes[name] = test(name, left_out[name], *options[name])
    if "benchmarks" in outcomes and outcomes["benchmarks"].passed:
        figures()
    summary(outcomes, left_out)
    sys.exit(any(outcome.failed for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
