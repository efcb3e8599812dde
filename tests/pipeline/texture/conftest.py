"""Models of each kind, made once for the tests of a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.pipeline.texture.tiny_models import MAKERS


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each kind, by its name."""
    root = tmp_path_factory.mktemp("models")
    for name, make in MAKERS.items():
        make(root / name)
    return root


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread of torch's two: nets as small as these wait longer for each other's threads than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
