"""Models of each kind, made once for the tests of a process."""

from pathlib import Path

import pytest

from tests.pipeline.texture.tiny_models import MAKERS


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each kind, by its name."""
    root = tmp_path_factory.mktemp("models")
    for name, make in MAKERS.items():
        make(root / name)
    return root
