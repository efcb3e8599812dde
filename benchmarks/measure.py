"""Knows how one implementation is timed at one size: checked, warmed up, then rounds that walk around the input sets.

A round ends when its result is there: on CUDA the device is waited for inside the timed region. The median is what
tables show.
"""

from __future__ import annotations

import gc
import math
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

import torch

from benchmarks.backends import PICTURES
from benchmarks.check import Truth, check
from benchmarks.counts import count_work
from benchmarks.implementation import UNITS, Implementation, Round
from benchmarks.limits import Device
from benchmarks.sampled import SEED
from benchmarks.workload import MeshSet, ViewSet, Workload
from pain3d.provenance import code_version

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("torch", "triton", "numba", "numpy")
WARM_UP_ROUNDS = 2
FEWEST_ROUNDS, MOST_ROUNDS = 5, 200
SLOW_ROUNDS = 3
SLOW_BATCH = 4  # pictures a round for a slow implementation: the reference takes seconds for them
STARTED = datetime.now(UTC).isoformat(timespec="seconds")  # of this session: names the run


class WrongAnswerError(AssertionError):
    """An implementation's answers are not the reference's: it is not timed."""


def gets_few(implementation: Implementation, case: str) -> bool:
    """Whether an implementation is given few pictures, each of another mesh: it needs a tenth of a second for one."""
    return implementation.slow and case in PICTURES


def where_fields(implementation: Implementation, case: str, device: Device, commit: str | None) -> dict[str, Any]:
    """What a row says of who ran where; `benchmarks.schema.WHERE_FIELDS`."""
    return {
        "case": case,
        "implementation": implementation.name,
        "ours": implementation.ours,
        "note": implementation.note,
        "antialiased": implementation.antialiased,
        "run": STARTED,
        "commit": commit or commit_of(ROOT),
        "code": code_version(),
        "device": device.name,
        "kind": device.kind,
        "threads": device.threads,
        "versions": versions(),
    }


def measure(
    benchmark: Any,
    implementation: Implementation,
    workload: Workload,
    truth: Truth,
    device: Device,
    *,
    seconds: float = 2.0,
    commit: str | None = None,
) -> dict[str, Any]:
    """Check and time one implementation, and return its row.

    Args:
        benchmark: The fixture of pytest-benchmark.
        implementation: Who can run here.
        workload: The inputs, few for a slow implementation.
        truth: The reference's answers for this workload.
        device: This one.
        seconds: Of timed rounds aimed at, within 5 and 200 rounds (3 for a slow implementation).
        commit: What the row says, where git can't be asked.

    Raises:
        WrongAnswerError: The answers are not the reference's.
    """
    memory = Memory(device.kind)
    run = implementation.start(workload.case, workload)
    try:
        outputs: Mapping[str, Any] | None = run(0)
        assert outputs is not None
        checked = check(implementation, workload, truth, outputs)
        if not checked.passed:
            raise WrongAnswerError(f"{implementation.name}, {workload.case} at {workload.size}: {checked.seen}")
        outputs = None  # what follows holds one result at a time
        gc.collect()
        rounds = _rounds(implementation, workload.case, run, device, seconds)
        walk = count(1)
        sets = len(workload.ring)
        memory.start()

        def timed() -> None:
            run(next(walk) % sets)
            _wait(device)

        warm_up = 0 if implementation.slow else WARM_UP_ROUNDS  # the round that was checked has warmed it up
        benchmark.pedantic(timed, rounds=rounds, warmup_rounds=warm_up, iterations=1)
        detail = dict(getattr(implementation, "detail", {}))
        peak = detail.pop("peak_bytes", memory.peak())
    finally:
        implementation.close()
    stats = benchmark.stats.stats
    return (
        where_fields(implementation, workload.case, device, commit)
        | figures(
            workload,
            device,
            implementation.name,
            checked.coverage,
            (stats.median, stats.min, stats.iqr, rounds),
            checked.seen,
        )
        | {
            "few": gets_few(implementation, workload.case),
            "peak_bytes": peak,
            "detail": detail,
        }
    )


def figures(
    workload: Workload,
    device: Device,
    implementation: str,
    coverage: float,
    timing: tuple[float, float, float, int],
    seen: str,
) -> dict[str, Any]:
    """The row's numbers from (median, minimum, interquartile range, rounds): rates, what was counted, the limit."""
    median, least, spread, rounds = timing
    work = count_work(workload, coverage)
    each = workload.ring[0]
    rate = device.operations_per_s["tf32" if implementation.endswith("tf32") else "fp32"]
    by_bytes, by_operations = work.bytes / device.copy_bytes_per_s, work.operations / rate
    limit = max(by_bytes, by_operations)
    side = workload.size.side
    meshes = len(each.vertices) if isinstance(each, ViewSet) else workload.size.batch
    return {
        "seed": SEED,
        "size": f"{side}x{side}" if side else "",
        "batch": workload.size.batch,
        "meshes": len(each.identity) if isinstance(each, MeshSet) else meshes,
        "channels": workload.size.channels,
        "unit": UNITS.get(workload.case, "images"),
        "per_second": workload.size.batch / median,
        "median_s": median,
        "min_s": least,
        "iqr_s": spread,
        "rounds": rounds,
        "input_sets": len(workload.ring),
        "bytes": work.bytes,
        "operations": work.operations,
        "beyond_cache": work.bytes > 2 * device.cache_bytes if device.cache_bytes else None,
        "copy_bytes_per_s": device.copy_bytes_per_s,
        "operations_per_s": rate,
        "percent_of_limit": 100 * limit / median if limit else None,
        "bound": None if not limit else "bytes" if by_bytes >= by_operations else "operations",
        "check": seen,
    }


def _rounds(implementation: Implementation, case: str, run: Round, device: Device, seconds: float) -> int:
    """As many as fill `seconds`, judged by the second call: the first one compiled or filled caches."""
    if case == "synth_device":
        return 1  # minutes of a GPU that is lent; the first one, which is verified, has warmed the disk
    if case == "synth" or gets_few(implementation, case):
        return SLOW_ROUNDS
    _wait(device)
    started = time.perf_counter()
    run(0)
    _wait(device)
    taken = time.perf_counter() - started
    fewest = SLOW_ROUNDS if implementation.slow else FEWEST_ROUNDS
    return max(fewest, min(MOST_ROUNDS, math.ceil(seconds / max(taken, 1e-6))))


def _wait(device: Device) -> None:
    if device.kind == "cuda":
        torch.cuda.synchronize()


@dataclass
class Memory:
    """The most memory that the rounds held.

    On CUDA the larger of what torch allocated at most beyond what was there before the start (the inputs), and of what
    the whole device has given away since: some peers don't ask torch. On a CPU the resident sets of this process and
    its children at their highest since `start`, inputs and libraries included; None where the system doesn't tell.
    """

    kind: str
    allocated: int = 0
    used: int = 0

    def __post_init__(self) -> None:
        if self.kind == "cuda":
            gc.collect()
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            self.allocated = torch.cuda.memory_allocated()
            free, total = torch.cuda.mem_get_info()
            self.used = total - free

    def start(self) -> None:
        """Forget peaks so far."""
        if self.kind == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return
        for status in _process_folders():
            try:
                (status / "clear_refs").write_text("5")  # Linux: resets the high-water mark
            except OSError:
                continue  # it has ended, or the system does not allow it: then the mark of its whole life counts

    def peak(self) -> int | None:
        """The peak since `start`, bytes."""
        if self.kind == "cuda":
            free, total = torch.cuda.mem_get_info()
            return max(torch.cuda.max_memory_allocated() - self.allocated, total - free - self.used)
        marks = [_high_water(folder) for folder in _process_folders()]
        return sum(marks) or None


def _process_folders() -> list[Path]:
    """/proc/<pid> of this process and all below it."""
    found, waiting = [], [os.getpid()]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        if folder.is_dir():
            found.append(folder)
            for children in folder.glob("task/*/children"):
                waiting += [int(number) for number in _text(children).split()]
    return found


def _high_water(folder: Path) -> int:
    for line in _text(folder / "status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended
        return ""


@cache
def versions() -> dict[str, str | None]:
    """Of Python and of the libraries that take part; null where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    found["cuda"] = torch.version.cuda
    return found


@cache
def commit_of(root: Path) -> str:
    """The commit of a working tree, with a plus behind it if files differ; ``unknown`` without git."""
    try:
        head, changed = (
            subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    # A run writes its results into the tree and the table into the README: that changes nothing that is measured.
    differing = [line for line in changed.splitlines() if "benchmarks/results/" not in line]
    return head + ("+" if differing else "")
