"""Knows what the tests of the pipeline do with the small data set."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from pain3d.pipeline import folder, run, synthesis, workers
from pain3d.pipeline.config import SynthConfig
from tests.conftest import SMALL_SETTINGS

SMALL = SynthConfig(**SMALL_SETTINGS)
KILLED_AFTER = 3  # identities


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


def stop_run(out: Path) -> bytes:
    """A run that stops in its last shard, as after SIGKILL; hands back the lines of the manifest so far."""
    made: list[int] = []
    original = synthesis.synthesise_identity

    def killed(config: Any, person: Any, provenance: Any) -> Any:
        made.append(person.identity_id)
        if len(made) > KILLED_AFTER:
            raise SystemError("killed")
        return original(config, person, provenance)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "synthesise_identity", killed)
        patch.setattr(folder.DataFolder, "_abandon", folder.DataFolder._drop_lock)  # a killed run cleans nothing up
        with pytest.raises(SystemError):
            run.synthesise(SMALL, out, quiet=True)
    return (out / "manifest.partial.jsonl").read_bytes()


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unfinished data set with published shards; not to be changed."""
    out = tmp_path_factory.mktemp("stopped") / "small"
    assert stop_run(out).count(b"\n") == 2
    return out
