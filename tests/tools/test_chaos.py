"""A slice of ``make chaos``: killed at changes of the disk and at moments, runs go on to the same bytes."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.chaos import Case, Outcome, cases, hashes, table
from tools.faulty_os import Fault, FaultyOs

ROOT = Path(__file__).resolve().parents[2]
RUNS = {"synth-1": 12}  # that `train` goes on is test_checkpoint's


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")
def test_a_slice(tmp_path: Path) -> None:
    runs = ",".join(map(str, RUNS.values()))
    command = ["-m", "tools.chaos", "--only", ",".join(RUNS), "--runs", runs, "--jobs", "1"]
    ran = subprocess.run(
        [sys.executable, *command, "--keep", tmp_path], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert all(f"{count} of {count}, {count} identical" in ran.stdout for count in RUNS.values())


def events_of(fault: Fault | None, place: Path) -> tuple[list[str], int]:
    """What a durable write asks of the disk, and the exit code of the process that writes."""
    script = f"""
from pathlib import Path
from pain3d.files import write_durably
from tools.faulty_os import Fault, FaultyOs
disk = FaultyOs({fault!r})
disk.install()
try:
    write_durably(Path({str(place)!r}), b"12345678")
finally:
    print(*disk.events)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return ran.stdout.split(), ran.returncode


def test_a_disk_fails_where_it_is_told_to(tmp_path: Path) -> None:
    place, partial = tmp_path / "a", tmp_path / ".a.partial"
    every = ["unlink", "open", "write", "fsync", "replace", "fsync"]
    assert events_of(None, place) == (every, 0)
    for kind, event, held in (
        ("before", 2, {partial: b""}),
        ("torn", 2, {partial: b"1234"}),
        ("after", 2, {partial: b"12345678"}),
        ("before", 4, {partial: b"12345678"}),
        ("after", 4, {place: b"12345678"}),
    ):
        place.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
        assert events_of(Fault(kind, event), place) == ([], -signal.SIGKILL)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == held
    disk = FaultyOs(Fault("full", 0))
    for _ in range(2):
        with pytest.raises(OSError) as full:
            disk.mkdir(tmp_path / "b")
        assert full.value.errno == errno.ENOSPC
    disk = FaultyOs(Fault("broken", 0))
    with pytest.raises(OSError) as broken:
        disk.mkdir(tmp_path / "b")
    assert broken.value.errno == errno.EIO
    disk.mkdir(tmp_path / "b")


def test_cases_go_over_all_events_first() -> None:
    events = ["open", "write", "fsync", "replace"]
    many = cases(events, 2.0, 40, seed=0)
    assert len(many) == 40 and many[:4] == [Case("before", event) for event in range(4)]
    assert Case("torn", 1) in many and {Case("full", 2), Case("broken", 3), Case("after", 3)} <= set(many)
    moments = [case.seconds for case in many if case.kind == "moment"]
    assert len(moments) == 27 and all(0 <= moment <= 2 for moment in moments)
    few = cases(events * 50, 2.0, 20, seed=0)
    assert len(few) == 20 and {case.kind for case in few} >= {"before", "after", "torn", "moment"}


def test_what_differs_is_seen(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    before = hashes(tmp_path, ["logs/*"])
    (tmp_path / "b").write_text("c")
    assert before.keys() == {"b"} and hashes(tmp_path, ["logs/*"]) != before
    bad = [Outcome("x", "killed", differing=["b"]), Outcome("y", "failed", orphans=2), Outcome("z", "killed")]
    assert [one.good for one in bad] == [False, False, True]
    assert table({"synth": bad}).splitlines()[1].split() == ["synth", "3", "2", "1", "0", "2", "1", "0", "2", "0"]
