"""Knows the cases of production on the device of the run: painting people, and `pain3d synth --device`."""

from collections.abc import Callable

import pytest

from benchmarks.makers import PICTURES_PER_PERSON
from benchmarks.workload import Size

# Two sizes: the difference of their seconds is that of pictures alone, and says what 82,500 take (goal 14e).
PEOPLE = (25, 250)


@pytest.mark.sizes(cpu=(Size(4, 1024),), cuda=(Size(8, 1024), Size(64, 1024)), tiny=(Size(1, 128),))
def bench_paint(enter: Callable[[str], None]) -> None:
    """People's textures, new ones in each round."""
    enter("paint")


@pytest.mark.sizes(
    cpu=(Size(8 * PICTURES_PER_PERSON, 512),),
    cuda=tuple(Size(people * PICTURES_PER_PERSON, 512) for people in PEOPLE),
    tiny=(Size(PICTURES_PER_PERSON, 64),),
)
def bench_synth_device(enter: Callable[[str], None]) -> None:
    """The command line on the device, from the shell to the finished report."""
    enter("synth_device")
