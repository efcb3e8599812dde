"""Ranks of torchrun: they share the shards, and what they make is what one process makes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pain3d.console.refused import RefusedError
from pain3d.pipeline.run import synthesise
from pain3d.ranks import Ranks, launched_ranks
from tests.conftest import SMALL_OPTIONS
from tests.pipeline.conftest import SMALL, hashes

TORCHRUN = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost",
            "MASTER_PORT": "29500"}  # fmt: skip


def start_ranks(out: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pain3d", "synth",
        out, *SMALL_OPTIONS, *options,
    ]  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=out.parent, start_new_session=True, **pipes)


@pytest.mark.slow
def test_two_ranks_make_the_shards_of_one(small: Path, tmp_path: Path) -> None:
    running = start_ranks(tmp_path / "small")
    said, complained = running.communicate(timeout=300)
    assert running.returncode == 0, complained
    assert said.count("images/s") == 1 and said.startswith("32 images in")  # rank 0 speaks for all
    assert hashes(tmp_path / "small") == hashes(small)


@pytest.mark.slow
def test_two_ranks_that_were_killed_are_gone_on_with_by_one(tmp_path: Path) -> None:
    out, options = tmp_path / "killed" / "small", ("--identities", "12", "--identities-per-shard", "1")
    out.parent.mkdir()
    running = start_ranks(out, *options)
    deadline = time.monotonic() + 200
    while not (out / "manifest.partial.jsonl").exists() or not (out / "manifest.partial.jsonl").read_bytes():
        assert time.monotonic() < deadline and running.poll() is None, running.communicate()
        time.sleep(0.02)
    ranks = [int(child) for task in Path(f"/proc/{running.pid}/task").iterdir()
             for child in (task / "children").read_text().split()]  # fmt: skip
    for pid in (running.pid, *ranks):  # ranks have sessions of their own
        os.kill(pid, signal.SIGKILL)
    running.communicate()
    published = len((out / "manifest.partial.jsonl").read_bytes().splitlines())
    assert 1 <= published < 12
    from dataclasses import replace

    config = replace(SMALL, identities=12, identities_per_shard=1)
    assert synthesise(config, out, quiet=True).new == 8 * (12 - published)
    synthesise(config, tmp_path / "one" / "small", quiet=True)
    assert hashes(out) == hashes(tmp_path / "one" / "small")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"RANK": ""}, "WORLD_SIZE is 2, but RANK is not set: start ranks with torchrun, or unset it"),
        ({"MASTER_ADDR": ""}, "WORLD_SIZE is 2, but MASTER_ADDR is not set: start ranks with torchrun, or unset it"),
        ({"RANK": "one"}, "RANK must be a whole number, got 'one'"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number, got 'two'"),
        ({"RANK": "2"}, "RANK 2 of WORLD_SIZE 2, LOCAL_RANK 1 of 2: no such rank"),
        ({"LOCAL_WORLD_SIZE": "0"}, "RANK 1 of WORLD_SIZE 2, LOCAL_RANK 1 of 0: no such rank"),
    ],
)
def test_half_a_launch_is_refused(monkeypatch: pytest.MonkeyPatch, change: dict[str, str], line: str) -> None:
    for name, value in (TORCHRUN | change).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RefusedError) as refused:
        launched_ranks()
    assert str(refused.value) == line


def test_who_a_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    assert launched_ranks() == Ranks() and Ranks().from_first(3) == 3 and Ranks().of_all(3) == [3]
    monkeypatch.setenv("WORLD_SIZE", "1")  # some clusters set it for every process
    assert launched_ranks() == Ranks()
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert launched_ranks() == Ranks(1, 2, 1, 2)
    assert Ranks(local_count=10_000).cores() == 1


def test_world_size_without_a_launcher_writes_nothing(
    pain3d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    ran = pain3d("synth", tmp_path / "out", *SMALL_OPTIONS)
    line = "WORLD_SIZE is 2, but RANK is not set: start ranks with torchrun, or unset it"
    assert (ran.code, ran.out, ran.err) == (2, "", f"pain3d: {line}\n")
    assert list(tmp_path.iterdir()) == []
