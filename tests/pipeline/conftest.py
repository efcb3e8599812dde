"""Makes one small data set for all tests of the pipeline."""

import hashlib
import shutil
from pathlib import Path

import pytest

from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.run import synthesise

# 4 identities: two in train, so a shard holds more than one; 2 views, so a pair can be mixed up.
SMALL = SynthConfig(identities=4, expressions=3, views=2, size=64, seed=7)
SMALL_OPTIONS = ("--identities", "4", "--expressions", "3", "--views", "2", "--size", "64", "--seed", "7")


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
