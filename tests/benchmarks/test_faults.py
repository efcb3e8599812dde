"""Wrong arguments are refused before anything is measured; a failing row or a killed run costs no other row."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import pain3d
from benchmarks import asked
from benchmarks.limits import device_slug, this_device
from benchmarks.schema import SCHEMA, read_results, write_results

ROOT = Path(__file__).resolve().parents[2]
# A plugin of pytest: an implementation between ours and the peers whose second round (the first one is checked) fails.
PLANTED = """
import os, signal
import benchmarks.backends as backends

class Broken(backends.Backend):
    def start(self, case, workload):
        right, rounds = super().start(case, workload), []
        def run(number):
            rounds.append(number)
            if len(rounds) > 1:
                {fault}
            return right(number)
        return run

backends.BACKENDS = (*backends.BACKENDS, Broken("broken", "cpu", ("deform",), "cpu", "fails in its second round"))
"""
RAISES, DIES = 'raise MemoryError("no room\\n for a round")', "os.kill(os.getpid(), signal.SIGKILL)"


def bench(tmp_path: Path, fault: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the case deform, tiny, on the CPU, with a fault planted."""
    (tmp_path / "planted.py").write_text(PLANTED.format(fault=fault))
    command = ["-c", "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))", str(ROOT / "benchmarks")]
    given = ["-q", "-p", "no:cacheprovider", "-p", "planted", "-c", str(ROOT / "pyproject.toml"), "--scale", "tiny"]
    given += ["--seconds", "0.01", "--device", "cpu", "--cases", "deform", "--results", str(tmp_path / "results")]
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), str(tmp_path)])
    return subprocess.run(
        [sys.executable, *command, *given, *options],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def slug() -> str:
    device = this_device("cpu", 0.02)
    return device_slug("cpu", device.name, device.threads)


def rows_of(tmp_path: Path) -> dict[str, dict[str, Any]]:
    (path,) = (tmp_path / "results").glob("*/deform--*.json")
    return {row["implementation"]: row for row in read_results(path)["rows"]}


@pytest.mark.slow
def test_who_raises_is_named_and_the_others_go_on(tmp_path: Path, make_row: Any):
    path = tmp_path / "results" / pain3d.__version__ / f"deform--{slug()}.json"
    there = [make_row("cpu", case="deform"), make_row("cpu", case="head")]
    write_results(path, {"schema": SCHEMA, "suite": "deform", "pain3d": pain3d.__version__, "rows": there})
    done = bench(tmp_path, RAISES)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "\nFAILED deform, broken at 2: MemoryError: no room" in done.stdout
    kept, *new = read_results(path)["rows"]
    assert kept == there[1] and all(row["case"] == "deform" and row["run"] > kept["run"] for row in new)
    rows = rows_of(tmp_path)
    assert rows["broken"]["skipped"] == "failed at 2: MemoryError: no room for a round"
    assert all(rows[name]["per_second"] > 0 for name in ("reference", "cpu", "smplx-style"))
    assert rows["triton"]["skipped"] == "no CUDA device"  # an ordinary one


@pytest.mark.slow
def test_a_killed_run_keeps_its_rows(tmp_path: Path):
    done = bench(tmp_path, DIES)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    rows = rows_of(tmp_path)  # sound, which reading it checks
    assert rows["reference"]["per_second"] > 0 and rows["cpu"]["per_second"] > 0
    assert rows.keys() == {"reference", "cpu", "triton", "triton-tf32"}  # those before
    assert not list((tmp_path / "results").rglob(".*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cases", "deform,rendered"], "no case 'rendered': there are deform, "),
        (["--implementations", "cpu,moderngl-8"], "no implementation 'moderngl-8': there are reference, "),
        (["--commit", "55e7bad"], "a commit is 40 hex digits (git rev-parse HEAD), got '55e7bad'"),
    ],
)
def test_nothing_is_measured_before_the_arguments_hold(tmp_path: Path, options: list[str], said: str):
    done = bench(tmp_path, "raise SystemExit('measured')", *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr and not list(tmp_path.rglob("*.json"))


def refused(check: Callable[[str], Any], text: str) -> str:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        check(text)
    return str(caught.value)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "two"])
def test_seconds_are_above_0(text: str):
    assert refused(asked.positive, text) == f"must be a number above 0, got {text!r}"
    assert asked.positive("0.5") == 0.5


def test_names_are_known():
    assert asked.case_names("render, latency") == ["render", "latency"]
    assert refused(asked.case_names, "rendering").startswith("no case 'rendering': there are deform, ")
    assert asked.implementation_names("triton,nvdiffrast") == ["triton", "nvdiffrast"]
    assert refused(asked.implementation_names, "").startswith("no implementation ''")


def test_a_device_is_there(monkeypatch: pytest.MonkeyPatch):
    assert asked.device_name("cpu") == "cpu"
    assert refused(asked.device_name, "gpu") == "a device is cpu or cuda, got 'gpu'"
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        if there:
            assert asked.device_name("cuda") == "cuda"
        else:
            assert refused(asked.device_name, "cuda") == "torch sees no CUDA device"


def test_a_broken_file_is_not_written_over(tmp_path: Path):
    path = tmp_path / pain3d.__version__ / "pictures--cpu.json"
    path.parent.mkdir()
    path.write_text('{"schema": 1}')
    said = refused(asked.results_folder, str(tmp_path))
    assert " has a broken file, whose rows would be lost: pictures--cpu.json: " in said


def test_results_can_be_written(tmp_path: Path):
    folder = tmp_path / "a" / "b"
    assert asked.results_folder(str(folder)) == folder and not list(folder.iterdir())
    (tmp_path / "file").touch()
    assert refused(asked.results_folder, str(tmp_path / "file")).endswith("can't be written to: File exists")
    assert refused(asked.results_folder, str(tmp_path / "file" / "c")).endswith("can't be written to: Not a directory")
    assert refused(asked.results_folder, "/proc/results").startswith("/proc/results can't be written to: ")
