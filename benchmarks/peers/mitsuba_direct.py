"""Knows Mitsuba 3 as a renderer of such pictures and of their gradients: direct light, four samples a pixel.

It has a process to itself, with all threads. Its fast variant compiles with the LLVM library of the system, and an LLVM
that can't compile what Dr.Jit emits (15, with Dr.Jit 1.5) ends the process: whether it can is tried first, in another
one, and where it can't Mitsuba runs as compiled C++, which has no gradients; the note says which.

Gradients are taken in two ways. `mitsuba-projective` samples silhouettes too, with as many samples, as seen from the
camera: not those of shadows, which our pictures don't have (the first picture took 109 seconds of the processor with
them, 2.3 without).
`mitsuba-detached` differentiates shading alone.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.backends import gradient_weights
from benchmarks.implementation import Implementation, Round
from benchmarks.peers import _mitsuba
from benchmarks.peers._pool import Pool
from benchmarks.workload import Workload

VECTORISED, SCALAR = "llvm_ad_rgb", "scalar_rgb"
SAMPLES = 4
UNFIT = "the LLVM library found here can't compile for Dr.Jit"
PROBE = f"""
import drjit, mitsuba
mitsuba.set_variant("{VECTORISED}")
camera = {{"type": "perspective", "film": {{"type": "hdrfilm", "width": 8, "height": 8}}}}
scene = {{"type": "scene", "integrator": {{"type": "direct"}}, "sky": {{"type": "constant"}}, "camera": camera}}
drjit.eval(mitsuba.render(mitsuba.load_dict({{**scene, "ball": {{"type": "sphere"}}}}), spp=1))
drjit.sync_thread()
"""
PROBE_SECONDS = 120
PROJECTIVE = {"type": "direct_projective", "sppi": 0}  # no samples of shadows' silhouettes
DETACHED = {"type": "direct", "emitter_samples": 1, "bsdf_samples": 0}


@cache
def variant() -> str:
    """The fastest variant that renders a sphere here."""
    try:
        tried = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return SCALAR
    return SCALAR if tried.returncode else VECTORISED


@dataclass
class Mitsuba:
    """One scene whose parameters change; the threads are Mitsuba's own."""

    name: str = "mitsuba"
    cases: Sequence[str] = ("render",)
    drawn: str = "constant environment, key light, flat faces"
    integrator: Mapping[str, Any] | None = None  # of the gradients
    ours: bool = False
    antialiased: bool | None = True
    slow: bool = True
    _pool: Pool | None = field(default=None, init=False)

    @property
    def note(self) -> str:
        """Which variant runs, and what is drawn."""
        how = variant() if find_spec("mitsuba") is not None else VECTORISED
        why = "" if how == VECTORISED else f" ({UNFIT})"
        return f"{how}{why}, direct light, {SAMPLES} samples a pixel; {self.drawn}"

    def why_not(self, device: str) -> str | None:
        """Whether mitsuba is missing, or the LLVM library that its gradients need."""
        if device != "cpu":
            return "measured on the CPU"
        if find_spec("mitsuba") is None:
            return "mitsuba is not installed"
        return UNFIT if self.integrator is not None and variant() == SCALAR else None

    def start(self, case: str, workload: Workload) -> Round:
        """Start the process, which builds the scene."""
        options: dict[str, Any] = {"variant": variant(), "samples": SAMPLES}
        if self.integrator is not None:
            return self._start_gradient(workload, options)
        pool = self._pool = Pool(_mitsuba.make, workload, options, {}, processes=1)

        def run(number: int) -> Mapping[str, Tensor]:
            return {"image": pool.draw(number)}

        return run

    def _start_gradient(self, workload: Workload, options: dict[str, Any]) -> Round:
        side, vertices = workload.size.side, len(workload.shared.template)
        sizes = [side * side * 4, vertices * 3]
        options |= {"integrator": self.integrator, "weights": gradient_weights(side).numpy()}
        pool = self._pool = Pool(_mitsuba.make, workload, options, {}, processes=1, floats=sum(sizes))

        def run(number: int) -> Mapping[str, Tensor]:
            each = workload.ring[number]
            linear, gradient = pool.draw(number).split(sizes, 1)
            given = torch.zeros_like(each.vertices)
            given.index_add_(0, each.mesh_index, gradient.unflatten(1, (vertices, 3)))
            return {"linear": linear.unflatten(1, (side, side, 4)), "grad_vertices": given}

        return run

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


baselines: tuple[Implementation, ...] = (
    Mitsuba(),
    Mitsuba(
        "mitsuba-projective",
        ("gradient",),
        "gradients to vertices and lights, silhouettes sampled, those of coverage left out",
        PROJECTIVE,
    ),
    Mitsuba("mitsuba-detached", ("gradient",), "gradients to vertices and lights, none at silhouettes", DETACHED),
)
