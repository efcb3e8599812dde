"""Disks that fail, signals and stopped runs: nothing half-written, and the same bytes after going on."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from pain3d import run_folder
from pain3d.console.refused import RefusedError
from pain3d.files import partial_path
from pain3d.pipeline import folder, run, workers
from tests.conftest import SMALL_OPTIONS, Ran
from tests.pipeline.conftest import SMALL, hashes

Run = Callable[..., Ran]
FRAMES = "data/frames/.train-00000-of-00001.parquet.partial"  # what is written first


def complaints(err: str) -> list[str]:
    """Lines on stderr; those of progress, which are there if it was slow, are left out."""
    return [line for line in err.splitlines() if not line.endswith("s left")]


def fail_disk(monkeypatch: pytest.MonkeyPatch, name: str, room: int, error: int = errno.ENOSPC) -> None:
    """Make every file whose path holds a name fail when it grows beyond some bytes."""
    original = os.write

    def written(descriptor: int, content: Any) -> int:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if name in path and os.fstat(descriptor).st_size + len(memoryview(content)) > room:
            raise OSError(error, os.strerror(error))
        return original(descriptor, content)

    monkeypatch.setattr("pain3d.files.os.write", written)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("room", [0, 20_000])
def test_a_full_disk_at_the_first_shard_leaves_nothing(
    pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, room: int
) -> None:
    fail_disk(monkeypatch, "data/frames", room, error)
    ran = pain3d("synth", tmp_path / "out", *SMALL_OPTIONS)
    assert (ran.code, complaints(ran.err)) == (2, [f"pain3d: {tmp_path}/out/{FRAMES}: {os.strerror(error)}"])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_at_a_later_shard_keeps_what_is_published(
    pain3d: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "small"
    with monkeypatch.context() as patch:
        fail_disk(patch, "pairs/.test", 1000)
        assert pain3d("synth", out, *SMALL_OPTIONS).code == 2
    lines = (out / "manifest.partial.jsonl").read_text().splitlines()
    assert len(lines) == 2
    held = {path.name.split("-")[0] for path in (out / "data").rglob("*") if path.is_file()}
    assert held == {"train", "validation"}
    assert not list(out.rglob("*.partial")) and not (out / "manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*.parquet")}
    assert pain3d("verify", out).code == 1
    assert pain3d("synth", out, *SMALL_OPTIONS).code == 0
    assert hashes(out) == hashes(small)
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in before.items())  # not made again


@pytest.mark.parametrize("name", ["README.md", "contact_sheet", "manifest.json", "index.html"])
def test_a_full_disk_beside_the_data(
    pain3d: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = tmp_path / "small"
    with monkeypatch.context() as patch:
        fail_disk(patch, name, 100)
        ran = pain3d("synth", out, *SMALL_OPTIONS)
    path = next(path for path in small.rglob("*") if name in path.name or name in str(path.relative_to(small)))
    partial = partial_path(out / path.relative_to(small))
    assert (ran.code, complaints(ran.err)) == (2, [f"pain3d: {partial}: No space left on device"])
    assert not list(out.rglob("*.partial")) and not (out / "manifest.json").exists()
    assert pain3d("synth", out, *SMALL_OPTIONS).code == 0
    assert hashes(out) == hashes(small)


def test_a_full_disk_at_the_manifest_line_publishes_nothing(
    pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(path: Path, line: bytes) -> None:
        path.write_bytes(line[:40])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder, "write_end", torn)
    assert pain3d("synth", tmp_path / "out", *SMALL_OPTIONS).code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES])
def test_a_read_only_folder(pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refused(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error), str(path))

    monkeypatch.setattr("pain3d.files.os.mkdir", refused)
    ran = pain3d("synth", tmp_path / "out", *SMALL_OPTIONS)
    assert (ran.code, ran.err) == (2, f"pain3d: {tmp_path / 'out'}: {os.strerror(error)}\n")


def test_a_folder_that_became_anothers_before_the_lock_is_left_as_it_is(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "small"
    original = run_folder.lock_folder

    def late(path: Path) -> int:
        shutil.copytree(stopped, out, dirs_exist_ok=True)  # another run came first, and was killed
        return original(path)

    monkeypatch.setattr(run_folder, "lock_folder", late)
    with pytest.raises(RefusedError, match=r"of another configuration \(seed 7 -> 8\)"):
        run.synthesise(replace(SMALL, seed=8), out, quiet=True)
    assert hashes(out) == hashes(stopped)


def test_two_runs_in_one_folder_are_refused(pain3d: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    other = os.open(out, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        ran = pain3d("synth", out, *SMALL_OPTIONS)
    finally:
        os.close(other)
    assert (ran.code, ran.err) == (2, f"pain3d: {out}: another run is writing into it\n")
    assert list(out.iterdir()) == []


def test_an_error_of_a_worker_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("in a worker")

    monkeypatch.setattr(workers, "synthesise_identity", broken)
    with pytest.raises(ZeroDivisionError, match="in a worker"):
        before = torch.get_num_threads(), cv2.getNumThreads()
        run.synthesise(SMALL, tmp_path / "out", quiet=True)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before  # limited only while it ran
    assert list(tmp_path.iterdir()) == []


def start(out: Path, processes: str) -> subprocess.Popen[str]:
    """Start a long run and wait for its first shard."""
    command = [
        Path(sys.executable).with_name("pain3d"), "synth", out, "--identities", "100", "--expressions", "2",
        "--views", "1", "--size", "64", "--identities-per-shard", "1", "--processes", processes,
    ]  # fmt: skip
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # pytest may be in the background
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(command, cwd=out.parent, start_new_session=True, **pipes, **heard)
    deadline = time.monotonic() + 120
    while not list(out.glob("data/frames/*.parquet")):
        assert time.monotonic() < deadline and running.poll() is None, running.communicate()
        time.sleep(0.05)
    return running


def check_end(running: subprocess.Popen[str], out: Path, code: int, line: str) -> None:
    """The run must end with a code and one line, and leave whole shards."""
    said, complained = running.communicate(timeout=60)
    assert (running.returncode, said) == (code, "")
    assert complaints(complained) == [f"pain3d: {line}"]
    published = (out / "manifest.partial.jsonl").read_text().splitlines()
    assert len(published) == len(list(out.glob("data/frames/*.parquet"))) >= 1
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize(("processes", "number"), [("1", signal.SIGINT), ("2", signal.SIGINT), ("2", signal.SIGTERM)])
def test_a_signal_ends_with_one_line(tmp_path: Path, processes: str, number: signal.Signals) -> None:
    running = start(tmp_path / "out", processes)
    os.killpg(running.pid, number)  # as a terminal does, and whoever ends a group: the workers get it too
    line = "interrupted; published shards are kept, the same command goes on from there"
    check_end(running, tmp_path / "out", 128 + number, line)


def workers_of(running: subprocess.Popen[str]) -> list[Path]:
    """Where the system tells of each worker process, as long as it lives."""
    children = [
        Path(f"/proc/{child}")
        for task in Path(f"/proc/{running.pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [child for child in children if b"spawn_main" in (child / "cmdline").read_bytes()]


def alive(worker: Path) -> bool:
    """Whether a process does anything yet; one that has ended may wait for somebody to ask how."""
    try:
        return (worker / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    running = start(tmp_path / "out", "2")
    workers = workers_of(running)
    assert len(workers) == 2 and all(alive(worker) for worker in workers)
    running.kill()
    killed = time.monotonic()
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < killed + 60
        time.sleep(0.002)
    print(f"workers lived on for {time.monotonic() - killed:.3f} s")
    assert running.communicate(timeout=60)[0] == ""  # nobody holds the pipes


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_a_killed_worker_ends_with_one_line(tmp_path: Path) -> None:
    running = start(tmp_path / "out", "2")
    os.kill(int(workers_of(running)[0].name), signal.SIGKILL)
    line = "a worker process was killed, for want of memory perhaps; published shards are kept"
    check_end(running, tmp_path / "out", 2, line)
