"""Signals to the command line: one line or none, never a traceback, the exit code of the signal, no child left."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import SMALL_OPTIONS

# What the console script does; it says when it listens, which is the first that it does.
SCRIPT = """
import os
from pain3d.__main__ import SIGNALS, main
listen = SIGNALS.listen
SIGNALS.listen = lambda: (listen(), os.write(2, b"."))
main()
"""
LOADED = "import sys; before = set(sys.modules); import pain3d.__main__; print(*set(sys.modules) - before)"
TELLS = "pain3d: interrupted; "
MOMENTS = 5  # of the tests; `python -m tests.pain3d_core.console.test_signals` takes 40
LAST = 2.0  # seconds


def start(*arguments: str | Path, group: bool = False) -> subprocess.Popen[bytes]:
    """Start ``pain3d``, with no signal ignored, and wait until it listens."""
    running = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=group,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stderr is not None and running.stderr.read(1) == b"."
    return running


def stopped_after(seconds: float, number: signal.Signals, folder: Path) -> tuple[int, str]:
    """Exit code and stderr of a run that is sent a signal so long after it began to listen."""
    running = start("synth", folder / "out", *SMALL_OPTIONS)
    time.sleep(seconds)
    running.send_signal(number)
    _, told = running.communicate(timeout=60)
    shutil.rmtree(folder / "out", ignore_errors=True)
    return running.returncode, told.decode()


def wrong(code: int, told: str, number: signal.Signals) -> bool:
    """Whether a stopped run didn't end in one line with the exit code of the signal."""
    return not (code == 128 + number and told.startswith(TELLS) and told.count("\n") == 1)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_signal_at_any_moment_takes_one_line(moment: int, tmp_path: Path) -> None:
    number = (signal.SIGINT, signal.SIGTERM)[moment % 2]
    code, told = stopped_after(LAST * moment / MOMENTS, number, tmp_path)
    assert not wrong(code, told, number), (code, told)
    assert list(tmp_path.iterdir()) == []


def test_little_is_loaded_before_signals_are_heard() -> None:
    """A traceback of Python's own is what a signal brings until then: some milliseconds."""
    names = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True).stdout.split()
    ours = {name for name in names if name.partition(".")[0] == "pain3d"}
    assert ours == {"pain3d", "pain3d.__main__", "pain3d.console", "pain3d.console.interrupt"}
    assert {name.partition(".")[0] for name in names} <= {"pain3d", *sys.stdlib_module_names}


if __name__ == "__main__":
    import tempfile

    worst = 0
    for kind in (signal.SIGINT, signal.SIGTERM):
        for place in range(40):
            with tempfile.TemporaryDirectory() as home:
                ended = stopped_after(LAST * place / 40, kind, Path(home))
            print(kind.name, f"{LAST * place / 40:.2f} s", ended, "WRONG" if wrong(*ended, kind) else "")
            worst += wrong(*ended, kind)
    sys.exit(worst)
