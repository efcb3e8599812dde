"""Knows what the tests of the pipeline do with the small data set."""

import hashlib
import shutil
from pathlib import Path

import pytest

from pain3d.pipeline.config import SynthConfig
from tests.conftest import SMALL_SETTINGS

SMALL = SynthConfig(**SMALL_SETTINGS)


def hashes(out: Path, pattern: str = "*") -> dict[str, str]:
    """SHA-256 of each file under a folder."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob(pattern))
        if path.is_file()
    }


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """A copy of the small data set, to be damaged."""
    return Path(shutil.copytree(small, tmp_path / "copy"))
