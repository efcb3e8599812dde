"""Makes one small data set for all tests of the pipeline, and runs the command line inside the test's process."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pain3d.__main__ import main
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.run import synthesise

# 4 identities: two in train, so a shard holds more than one; 2 views, so a pair can be mixed up.
SMALL = SynthConfig(identities=4, expressions=3, views=2, size=64, seed=7)
SMALL_OPTIONS = ("--identities", "4", "--expressions", "3", "--views", "2", "--size", "64", "--seed", "7")


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


def hashes(out: Path, pattern: str = "*") -> dict[str, str]:
    """SHA-256 of each file under a folder."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob(pattern))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set of SMALL; not to be changed."""
    out = tmp_path_factory.mktemp("pipeline") / "small"
    synthesise(SMALL, out, quiet=True)
    return out


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """A copy of the small data set, to be damaged."""
    return Path(shutil.copytree(small, tmp_path / "copy"))


@pytest.fixture
def pain3d(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs ``pain3d`` with arguments and hands back its exit code and output."""

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(int(stop.value.code or 0), said.out, said.err)

    return run
