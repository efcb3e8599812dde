"""Knows how pytest runs the benchmarks: every case, implementation and size makes a row; rows make files.

pytest benchmarks --results benchmarks/results       all of it; without --results nothing is written
pytest benchmarks -k "render and moderngl"           some of it
pytest benchmarks --scale tiny                       seconds: does it run at all?
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.backends import BACKENDS
from benchmarks.check import Truth, truth_of
from benchmarks.distilled import DISTILLERS, token_workload
from benchmarks.implementation import UNITS, Implementation, peers
from benchmarks.limits import device_slug, this_device
from benchmarks.makers import MAKERS
from benchmarks.measure import SLOW_BATCH, gets_few, measure, where_fields
from benchmarks.sampled import encode_workload, mesh_workload, picture_workload, synth_workload
from benchmarks.schema import SCHEMA, commit_name, write_results
from benchmarks.workload import Size, Workload

ON_CPU = ("encode", "synth")  # cases that run on the CPU whatever device there is
TINY_TEXTURE = 64  # texels a side, of the tiny scale
TINY_SHARE = 0.02  # of the tensors that the limits are measured with
ROWS = pytest.StashKey[dict[str, list[dict[str, Any]]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What can be asked for."""
    group = parser.getgroup("pain3d benchmarks")
    group.addoption("--results", type=Path, help="folder for <version>/<suite>--<device>.json")
    group.addoption("--scale", choices=("full", "tiny"), default="full", help="tiny: seconds, figures mean nothing")
    group.addoption("--seconds", type=float, default=2.0, help="of timed rounds aimed at, per implementation and size")
    group.addoption("--commit", type=commit_name, help="what the rows say where git can't be asked")


def pytest_configure(config: pytest.Config) -> None:
    """Benchmarks are collected only where this file is loaded, which is never in a run of the tests."""
    config.addinivalue_line("python_files", "bench_*.py")
    config.addinivalue_line("python_functions", "bench_*")
    config.addinivalue_line("markers", "sizes(cpu, cuda, tiny): the sizes of a case on each kind of device")
    config.stash[ROWS] = {}


def device_kind() -> str:
    """Where the engine runs here."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def implementations() -> tuple[Implementation, ...]:
    """Ours, then the peers in the order of their files."""
    return (*BACKENDS, *DISTILLERS, *MAKERS, *peers())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Sizes outside, implementations inside: a workload is built once and serves them all."""
    marker = metafunc.definition.get_closest_marker("sizes")
    if marker is None:
        return
    case = metafunc.function.__name__.removeprefix("bench_")
    kind = "cpu" if case in ON_CPU else device_kind()
    sizes = marker.kwargs["tiny" if metafunc.config.getoption("--scale") == "tiny" else kind]
    entered: list[tuple[Size, Implementation]] = []
    for size, implementation in product(sizes, implementations()):
        if case in implementation.cases and (given_size(implementation, case, size), implementation) not in entered:
            entered.append((given_size(implementation, case, size), implementation))
    ids = [f"{implementation.name}-{size}" for size, implementation in entered]
    metafunc.parametrize(("size", "implementation"), entered, ids=ids)


def given_size(implementation: Implementation, case: str, size: Size) -> Size:
    """A slow implementation gets few pictures of its own, each of another mesh."""
    return replace(size, batch=min(size.batch, SLOW_BATCH), meshes=0) if gets_few(implementation, case) else size


class Arena:
    """Builds workloads and their truth, the last one kept, and measures implementations on them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.tiny = config.getoption("--scale") == "tiny"
        self._key: tuple[str, Size] | None = None
        self._kept: tuple[Workload, Truth] | None = None

    def workload(self, case: str, size: Size) -> tuple[Workload, Truth]:
        """The inputs of a case at a size, and the reference's answers."""
        if self._key != (case, size) or self._kept is None:
            self._kept = None
            gc.collect()  # a large ring goes before the next one comes
            kind = "cpu" if case in ON_CPU else device_kind()
            texture = {"texture_size": TINY_TEXTURE} if self.tiny else {}
            if case in UNITS:
                made = mesh_workload(case, size, kind)
            elif case == "distill":
                made = token_workload(size, kind)
            elif case == "encode":
                made = encode_workload(size, **texture)
            elif case == "synth":
                made = synth_workload(size)
            else:
                made = picture_workload(case, size, kind, **texture)
            self._key, self._kept = (case, size), (made, truth_of(made))
        return self._kept

    def measure(self, benchmark: Any, implementation: Implementation, case: str, size: Size) -> dict[str, Any]:
        """The row of an implementation at a size."""
        workload, truth = self.workload(case, size)
        return measure(
            benchmark,
            implementation,
            workload,
            truth,
            this_device(workload.device, TINY_SHARE if self.tiny else 1.0),
            seconds=self.config.getoption("--seconds"),
            commit=self.config.getoption("--commit"),
        )

    def absent(self, implementation: Implementation, case: str, reason: str) -> dict[str, Any]:
        """The row of an implementation that can't run here."""
        kind = "cpu" if case in ON_CPU else device_kind()
        device = this_device(kind, TINY_SHARE if self.tiny else 1.0)
        return where_fields(implementation, case, device, self.config.getoption("--commit")) | {"skipped": reason}


@pytest.fixture(scope="session")
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    """One for the session."""
    yield Arena(request.config)


@pytest.fixture
def enter(
    request: pytest.FixtureRequest, arena: Arena, benchmark: Any, implementation: Implementation, size: Size
) -> Any:
    """What a benchmark calls: measure the implementation in the case of its name, or skip it with the reason."""

    def run(case: str) -> None:
        suite = request.path.stem.removeprefix("bench_")
        rows = request.config.stash[ROWS].setdefault(suite, [])
        reason = implementation.why_not("cpu" if case in ON_CPU else device_kind())
        if reason is not None:
            known = any(
                "skipped" in row and (row["case"], row["implementation"]) == (case, implementation.name) for row in rows
            )
            if not known:
                rows.append(arena.absent(implementation, case, reason))
            pytest.skip(reason)
        rows.append(arena.measure(benchmark, implementation, case, size))

    return run


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The rows, and where they were written. A row whose implementation was given few pictures shows its own batch."""
    suites = config.stash[ROWS]
    for rows in suites.values():
        for row in rows:
            if "skipped" not in row:
                rate = f"{row['per_second']:12,.1f} {row['unit']}/s"
                percent = "" if row["percent_of_limit"] is None else f"{row['percent_of_limit']:6.1f} % of the limit"
                where = f"{row['case']:14} {row['size']:9} x{row['batch']:<6} {row['implementation']:18}"
                terminalreporter.write_line(f"{where} {rate}  {percent:24} {row['check']}")
    folder = config.getoption("--results")
    if folder is None:
        return
    for suite, rows in suites.items():
        if rows:
            terminalreporter.write_line(f"wrote {write_suite(folder, suite, rows)}")


def write_suite(folder: Path, suite: str, rows: list[dict[str, Any]]) -> Path:
    """Write one results file and return its path."""
    import pain3d

    slug = device_slug(rows[0]["kind"], rows[0]["device"], rows[0]["threads"])
    path = folder / pain3d.__version__ / f"{suite}--{slug}.json"
    write_results(path, {"schema": SCHEMA, "suite": suite, "pain3d": pain3d.__version__, "rows": rows})
    return path
