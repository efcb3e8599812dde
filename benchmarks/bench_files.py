"""Knows the cases that make files, on the CPU whatever device there is: encoding, and the whole of `pain3d synth`."""

from collections.abc import Callable

import pytest

from benchmarks.makers import PICTURES_PER_PERSON
from benchmarks.workload import Size

SYNTH = (Size(8 * PICTURES_PER_PERSON, 512), Size(100 * PICTURES_PER_PERSON, 512))  # start-up weighs on the small one
ENCODE = (Size(16, 512),)


@pytest.mark.sizes(cpu=ENCODE, cuda=ENCODE, tiny=(Size(2, 48),))
def bench_encode(enter: Callable[[str], None]) -> None:
    """JPEG."""
    enter("encode")


@pytest.mark.sizes(cpu=SYNTH, cuda=SYNTH, tiny=(Size(PICTURES_PER_PERSON, 64),))
def bench_synth(enter: Callable[[str], None]) -> None:
    """The command line, from the shell to the finished report."""
    enter("synth")
