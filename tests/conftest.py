"""Knows what every test runs under: fixed torch threads, fixed hypothesis examples, no network.

Triton kernels run in its interpreter where there is no GPU. The command line runs inside the test's process.
"""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import hypothesis
import pytest
import torch

from tests.quick_interpreter import quicken

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Set before any test imports a hub client: they read it once, at import.
os.environ["HF_HUB_OFFLINE"] = "1"

# Read when a kernel file is imported: without a GPU Triton kernels run in its interpreter, on CPU tensors.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
    if find_spec("triton"):
        quicken()

# A pytest that a test starts is no worker of `make test`: pytest-benchmark would measure nothing in it.
os.environ.pop("PYTEST_XDIST_WORKER", None)

# A shell lets what it starts in the background ignore Ctrl-C, and children inherit that; tests send it to themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two threads wherever the tests run, as the smallest machine has: sums split over more of them round differently.
torch.set_num_threads(2)

# No deadline: the first call of a numba kernel compiles it, seconds beside milliseconds.
# The same examples every time, so that a test fails by a change and not by a draw; `make fuzz` draws anew.
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True)
hypothesis.settings.load_profile("fixed")  # pytest's --hypothesis-profile is read later and wins


# 4 identities: two in train, so a shard holds more than one; 2 views, so a pair can be mixed up. Of the CPU everywhere.
SMALL_SETTINGS = {"identities": 4, "expressions": 3, "views": 2, "size": 64, "seed": 7, "device": "cpu"}
SMALL_OPTIONS = tuple(word for name, value in SMALL_SETTINGS.items() for word in (f"--{name}", str(value)))
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")  # as systems call it; playwright's own is not fetched
CHROMIUM_OPTIONS = (  # no sandbox: a container's root has none; and no word to anybody's servers
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
COMPILATIONS = Path(__file__).resolve().parents[1] / "build" / "triton"  # that of `make gpu`


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


@contextmanager
def compiling() -> Iterator[Path]:
    """The folder of compilations for a GPU: who compiles there has it alone, and who comes later finds them.

    Triton names each by its source, options and compiler, so what changes is compiled; `make clean` removes all.
    """
    COMPILATIONS.mkdir(parents=True, exist_ok=True)
    with COMPILATIONS.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield COMPILATIONS


@pytest.fixture
def pain3d(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs ``pain3d`` with arguments and hands back its exit code and output."""

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        from pain3d.__main__ import main

        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(int(stop.value.code or 0), said.out, said.err)

    return run


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set of SMALL_SETTINGS; not to be changed."""
    from pain3d.pipeline.config import SynthConfig  # here: on a bare machine with a GPU only the kernels are tested
    from pain3d.pipeline.run import synthesise

    out = tmp_path_factory.mktemp("pipeline") / "small"
    synthesise(SynthConfig(**SMALL_SETTINGS), out, quiet=True)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium of the system; where there is none the test is skipped by name.

    Of a module: while it is open, playwright's event loop runs in this thread, and nobody else's could.
    """
    path = next(filter(None, map(which, CHROMIUM)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(CHROMIUM)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, headless=True, args=list(CHROMIUM_OPTIONS))
        yield opened
        opened.close()
