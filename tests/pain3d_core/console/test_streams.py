"""Closed and full streams, and memory that runs out: no traceback, the work is done, its exit code is its own."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow
import pytest
import torch

from pain3d import __main__ as front_door
from pain3d.console.memory import out_of_memory
from tests.conftest import Ran

PAIN3D = f"{sys.executable} -m pain3d"
# A pipe whose reader has gone before the first word: it waits for the end of what it reads nothing of.
GONE = "{ sleep 0.3; %s; echo $? >code; } | true; sleep 1; exit $(cat code)"
STREAMS = [
    ("%s >&-", 0, ""),
    (GONE, 0, ""),
    ("%s 2>&-", 0, ""),
    ("%s <&- >&- 2>&-", 0, ""),
    ("%s 2>/dev/full", 0, ""),
    ("%s >/dev/full", 2, "pain3d: stdout: No space left on device\n"),
    ("%s >/dev/full 2>&1", 2, ""),
]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(("around", "code", "told"), STREAMS)
def test_streams_that_take_nothing(around: str, code: int, told: str, tmp_path: Path) -> None:
    ran = shell(around % f"{PAIN3D} --version", tmp_path)
    assert (ran.returncode, ran.stderr) == (code, told)


def test_a_command_with_closed_streams_does_its_work(tmp_path: Path) -> None:
    """And the file that is opened first doesn't become stdout."""
    ran = shell(f"{PAIN3D} mesh head.obj --au AU4=3 <&- >&- 2>&-", tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "head.obj").read_text().startswith("#")


def test_a_refusal_keeps_its_code_when_nobody_hears_it(tmp_path: Path) -> None:
    assert shell(f"{PAIN3D} verify none 2>&-", tmp_path).returncode == 2


def allocated(kind: str) -> None:
    """Ask for a petabyte."""
    if kind == "numpy":
        np.zeros(1 << 50, np.uint8)
    elif kind == "arrow":
        pyarrow.allocate_buffer(1 << 50)
    elif kind == "torch":
        torch.zeros(1 << 50, dtype=torch.uint8)
    elif kind == "opencv":
        cv2.resize(np.zeros((1, 1), np.uint8), (1 << 25, 1 << 25))
    elif kind == "the system":
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    else:
        raise RuntimeError(kind)


@pytest.mark.parametrize(
    "kind", ["numpy", "arrow", "torch", "opencv", "the system", "std::bad_alloc", "CUDA out of memory. Tried to"]
)
def test_no_memory_takes_one_line(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pain3d.doctor import command

    entry = command.COMMANDS["doctor"]
    monkeypatch.setitem(command.COMMANDS, "doctor", entry._replace(run=lambda *_: allocated(kind)))
    with pytest.raises(SystemExit) as stop:
        front_door.main(["doctor"])
    assert (stop.value.code, capsys.readouterr().err) == (2, "pain3d: out of memory; nothing was written\n")


@pytest.mark.parametrize("error", [RuntimeError("shape"), ValueError("memory format"), KeyError("memory"), OSError()])
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not out_of_memory(error)


def test_a_fault_of_ours_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from pain3d.doctor import command

    entry = command.COMMANDS["doctor"]
    monkeypatch.setitem(command.COMMANDS, "doctor", entry._replace(run=lambda *_: 1 // 0))
    with pytest.raises(ZeroDivisionError):
        front_door.main(["doctor"])


def test_a_result_that_was_printed_is_as_it_was(tmp_path: Path) -> None:
    ran = shell(f"{PAIN3D} --version", tmp_path)
    assert Ran(ran.returncode, ran.stdout, ran.stderr) == Ran(0, f"pain3d {front_door_version()}\n", "")


def front_door_version() -> str:
    from pain3d.provenance import pain3d_version

    return pain3d_version()
