"""Knows the case of textures that pictures are taken back to."""

from collections.abc import Callable

import pytest

from benchmarks.workload import Size


@pytest.mark.sizes(cpu=(Size(5, 1024),), cuda=(Size(5, 1024), Size(5, 2048)), tiny=(Size(2, 64),))
def bench_backproject(enter: Callable[[str], None]) -> None:
    """Five views of a head into a texture of as many texels a side, another head in each round."""
    enter("backproject")
