"""Knows the cases of textures that pictures are taken back to."""

from collections.abc import Callable

import pytest

from benchmarks.workload import Size


@pytest.mark.sizes(cpu=(Size(5, 1024),), cuda=(Size(5, 1024), Size(5, 2048)), tiny=(Size(2, 64),))
def bench_backproject(enter: Callable[[str], None]) -> None:
    """Five views of a head into a texture of as many texels a side, another head in each round."""
    enter("backproject")


@pytest.mark.sizes(cpu=(Size(1, 1024),), cuda=(Size(1, 1024),), tiny=(Size(1, 128),))
def bench_texture(enter: Callable[[str], None]) -> None:
    """Photographs of a person to an albedo, the painter's own time left out; another person in each round."""
    enter("texture")
