"""Knows the data sets that the tests of training share."""

from pathlib import Path

import pytest

from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.run import synthesise


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set: 6 people, 4 expressions with the neutral one, 2 views, 96 px."""
    out = tmp_path_factory.mktemp("training") / "faces"
    synthesise(SynthConfig(identities=6, expressions=3, views=2, size=96, seed=5, cameras="free"), out, quiet=True)
    return out
