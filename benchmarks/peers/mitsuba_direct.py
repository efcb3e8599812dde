"""Knows Mitsuba 3 as a renderer of such pictures: direct light, four samples a pixel.

It has a process to itself, with all threads. Its fast variant compiles with the LLVM library of the system, and an LLVM
that can't compile what Dr.Jit emits (15, with Dr.Jit 1.5) ends the process: whether it can is tried first, in another
one, and where it can't Mitsuba runs as compiled C++; the note says which.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec

from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.peers import _mitsuba
from benchmarks.peers._pool import Pool
from benchmarks.workload import Workload

VECTORISED, SCALAR = "llvm_ad_rgb", "scalar_rgb"
SAMPLES = 4
PROBE = f"""
import drjit, mitsuba
mitsuba.set_variant("{VECTORISED}")
camera = {{"type": "perspective", "film": {{"type": "hdrfilm", "width": 8, "height": 8}}}}
scene = {{"type": "scene", "integrator": {{"type": "direct"}}, "sky": {{"type": "constant"}}, "camera": camera}}
drjit.eval(mitsuba.render(mitsuba.load_dict({{**scene, "ball": {{"type": "sphere"}}}}), spp=1))
drjit.sync_thread()
"""
PROBE_SECONDS = 120


@cache
def variant() -> str:
    """The fastest variant that renders a sphere here."""
    try:
        tried = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return SCALAR
    return SCALAR if tried.returncode else VECTORISED


class Mitsuba:
    """One scene whose parameters change; the threads are Mitsuba's own."""

    name = "mitsuba"
    cases: Sequence[str] = ("render",)
    ours = False
    antialiased: bool | None = True
    slow = True

    def __init__(self) -> None:
        self._pool: Pool | None = None

    @property
    def note(self) -> str:
        """Which variant runs, and what is drawn."""
        how = variant() if find_spec("mitsuba") is not None else VECTORISED
        why = "" if how == VECTORISED else " (the LLVM library found here can't compile for Dr.Jit)"
        return f"{how}{why}, direct light, {SAMPLES} samples a pixel; constant environment, key light, flat faces"

    def why_not(self, device: str) -> str | None:
        """Whether mitsuba is missing."""
        if device != "cpu":
            return "measured on the CPU"
        return None if find_spec("mitsuba") is not None else "mitsuba is not installed"

    def start(self, case: str, workload: Workload) -> Round:
        """Start the process, which builds the scene."""
        options = {"variant": variant(), "samples": SAMPLES}
        pool = self._pool = Pool(_mitsuba.make, workload, options, {}, processes=1)

        def run(number: int) -> Mapping[str, Tensor]:
            return {"image": pool.draw(number)}

        return run

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


baselines: tuple[Implementation, ...] = (Mitsuba(),)
