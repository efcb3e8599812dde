"""Knows how pytest runs the benchmarks: every case, implementation and size makes a row; rows make files.

pytest benchmarks --results benchmarks/results       all of it; without --results nothing is written
pytest benchmarks --cases render,latency --implementations triton,nvdiffrast      some of it, by exact names
pytest benchmarks --scale tiny                       seconds: does it run at all?

What was asked for is checked before anything is measured. A file is written anew with each of its rows, so a run that
is killed keeps those it had; who raises is entered as such, named at the end, and the others go on.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.asked import case_names, device_name, implementation_names, implementations, positive, results_folder
from benchmarks.backprojected import projection_workload
from benchmarks.check import Truth, truth_of
from benchmarks.distilled import token_workload
from benchmarks.implementation import COMMAND_LINE, UNITS, Implementation
from benchmarks.limits import device_slug, this_device
from benchmarks.measure import SLOW_BATCH, gets_few, measure, where_fields
from benchmarks.painted import paint_workload
from benchmarks.sampled import encode_workload, mesh_workload, picture_workload, synth_workload
from benchmarks.schema import SCHEMA, commit_name, read_results, write_results
from benchmarks.textured import texture_workload
from benchmarks.workload import Size, Workload

ON_CPU = ("encode", "synth")  # cases that run on the CPU whatever device there is
TINY_TEXTURE = 64  # texels a side, of the tiny scale
TINY_SHARE = 0.02  # of the tensors that the limits are measured with
REASON = 300  # characters of what an implementation raised that its row keeps
ROWS = pytest.StashKey[dict[str, list[dict[str, Any]]]]()
FAILED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What can be asked for."""
    group = parser.getgroup("pain3d benchmarks")
    group.addoption("--results", type=results_folder, help="folder for <version>/<suite>--<device>.json")
    group.addoption("--scale", choices=("full", "tiny"), default="full", help="tiny: seconds, figures mean nothing")
    group.addoption(
        "--seconds", type=positive, default=2.0, help="of timed rounds aimed at, per implementation and size"
    )
    group.addoption("--commit", type=commit_name, help="what the rows say where git can't be asked")
    group.addoption("--cases", type=case_names, help="these alone, separated by commas")
    group.addoption("--implementations", type=implementation_names, help="these alone, separated by commas")
    group.addoption("--device", type=device_name, help="cpu or cuda; without it cuda where there is one")


def pytest_configure(config: pytest.Config) -> None:
    """Benchmarks are collected only where this file is loaded, which is never in a run of the tests."""
    config.addinivalue_line("python_files", "bench_*.py")
    config.addinivalue_line("python_functions", "bench_*")
    config.addinivalue_line("markers", "sizes(cpu, cuda, tiny): the sizes of a case on each kind of device")
    config.stash[ROWS] = {}
    config.stash[FAILED] = []


def device_kind(config: pytest.Config, case: str) -> str:
    """Where a case runs here."""
    if case in ON_CPU:
        return "cpu"
    return config.getoption("--device") or ("cuda" if torch.cuda.is_available() else "cpu")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Sizes outside, implementations inside: a workload is built once and serves them all."""
    marker = metafunc.definition.get_closest_marker("sizes")
    if marker is None:
        return
    case = metafunc.function.__name__.removeprefix("bench_")
    config = metafunc.config
    sizes = marker.kwargs["tiny" if config.getoption("--scale") == "tiny" else device_kind(config, case)]
    entered: list[tuple[Size, Implementation]] = []
    for size, implementation in product(sizes, implementations()):
        given = (given_size(implementation, case, size), implementation)
        if case in implementation.cases and given not in entered:
            entered.append(given)
    ids = [f"{implementation.name}-{size}" for size, implementation in entered]
    metafunc.parametrize(("size", "implementation"), entered, ids=ids)


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Leave out what was not asked for."""
    cases, names = config.getoption("--cases"), config.getoption("--implementations")
    kept, left_out = [], []
    for item in items:
        given = item.callspec.params.get("implementation") if hasattr(item, "callspec") else None
        case = item.name.partition("[")[0].removeprefix("bench_")
        known = given.name if given else ""
        wanted = (cases is None or case in cases) and (names is None or known in names)
        (kept if wanted else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


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
            kind = device_kind(self.config, case)
            texture = {"texture_size": TINY_TEXTURE} if self.tiny else {}
            if case == "paint":
                made = paint_workload(size, kind)
            elif case == "texture":
                made = texture_workload(size, kind)
            elif case in UNITS:
                made = mesh_workload(case, size, kind)
            elif case == "distill":
                made = token_workload(size, kind)
            elif case == "backproject":
                made = projection_workload(size, kind)
            elif case == "encode":
                made = encode_workload(size, **texture)
            elif case in COMMAND_LINE:
                made = synth_workload(case, size, kind)
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
        device = this_device(device_kind(self.config, case), TINY_SHARE if self.tiny else 1.0)
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
        reason = implementation.why_not(device_kind(request.config, case))
        if reason is not None:
            add(arena.absent(implementation, case, reason))
            pytest.skip(reason)
        try:
            row = arena.measure(benchmark, implementation, case, size)
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # they hold tensors that the next one needs
            said = f"{type(error).__name__}: {error}"[:REASON]
            request.config.stash[FAILED].append(f"{case}, {implementation.name} at {size}: {said}")
            add(arena.absent(implementation, case, f"failed at {size}: {' '.join(said.split())}"))
            raise
        add(row)

    def add(row: dict[str, Any]) -> None:
        suite = request.path.stem.removeprefix("bench_")
        rows = request.config.stash[ROWS].setdefault(suite, [])
        key = (row["case"], row["implementation"])
        same = [each for each in rows if "skipped" in row and "skipped" in each and _key(each) == key]
        if not same:
            rows.append(row)
        elif row["skipped"] not in same[0]["skipped"]:  # another size fails too
            same[0]["skipped"] += f"; {row['skipped']}"
        folder = request.config.getoption("--results")
        if folder is not None:
            write_suite(folder, suite, rows)

    return run


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["case"], row["implementation"]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The rows, where they lie, and who failed. A row of someone who was given few pictures shows its own batch."""
    suites = config.stash[ROWS]
    for rows in suites.values():
        for row in rows:
            if "skipped" not in row:
                rate = f"{row['per_second']:12,.1f} {row['unit']}/s"
                percent = "" if row["percent_of_limit"] is None else f"{row['percent_of_limit']:6.1f} % of the limit"
                where = f"{row['case']:14} {row['size']:9} x{row['batch']:<6} {row['implementation']:18}"
                terminalreporter.write_line(f"{where} {rate}  {percent:24} {row['check']}")
    folder = config.getoption("--results")
    if folder is not None:
        for suite, rows in suites.items():
            terminalreporter.write_line(f"wrote {results_path(folder, suite, rows)}")
    for line in config.stash[FAILED]:
        terminalreporter.write_line(f"FAILED {line}")


def results_path(folder: Path, suite: str, rows: list[dict[str, Any]]) -> Path:
    """The file of a suite: <version>/<suite>--<device>.json."""
    import pain3d

    slug = device_slug(rows[0]["kind"], rows[0]["device"], rows[0]["threads"])
    return folder / pain3d.__version__ / f"{suite}--{slug}.json"


def write_suite(folder: Path, suite: str, rows: list[dict[str, Any]]) -> None:
    """Write one results file: all rows of this session so far, and what lay there of other cases on this device."""
    path = results_path(folder, suite, rows)
    entered = {row["case"] for row in rows}
    before = read_results(path)["rows"] if path.is_file() else []
    kept = [row for row in before if row["case"] not in entered]
    write_results(path, {"schema": SCHEMA, "suite": suite, "pain3d": path.parent.name, "rows": [*kept, *rows]})
