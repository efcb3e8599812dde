"""Knows moderngl on Mesa's software rasteriser: what is usually taken to make pictures without a GPU.

At like quality: the same shading, textures with mipmaps, new vertices for every picture, back faces culled. A process
per core; with four samples a pixel as the peer of our antialiased pictures, and without.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.peers import _llvmpipe
from benchmarks.peers._pool import Pool
from benchmarks.workload import Workload

PROBE = """
import moderngl
context = moderngl.create_context(standalone=True, backend="egl", require=330)
print(context.info["GL_RENDERER"])
"""
PROBE_SECONDS = 60


@cache
def renderer_name() -> str | None:
    """What draws, as OpenGL calls it; None without EGL. Asked in a process of its own: a driver may take it down."""
    try:
        asked = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return asked.stdout.strip() or None


class Llvmpipe:
    """moderngl with a number of samples per pixel, 0 for no multisampling."""

    cases: Sequence[str] = ("render", "small_views", "latency")
    ours = False
    slow = False

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.name = f"moderngl-msaa{samples}" if samples else "moderngl"
        self.antialiased: bool | None = samples > 0
        self.note = "OpenGL through EGL on llvmpipe, a process per core, our shading in GLSL" + (
            f", {samples} samples a pixel" if samples else ", not multisampled"
        )
        self._pool: Pool | None = None

    def why_not(self, device: str) -> str | None:
        """Which of moderngl, EGL and llvmpipe is missing."""
        if device != "cpu":
            return "a CPU renderer"
        if find_spec("moderngl") is None:
            return "moderngl is not installed"
        name = renderer_name()
        if name is None:
            return "no EGL device (Debian: libegl1, libgl1-mesa-dri)"
        return None if "llvmpipe" in name else f"OpenGL is {name} here, not llvmpipe"

    def start(self, case: str, workload: Workload) -> Round:
        """Start the processes, which build contexts and load textures."""
        threads = torch.get_num_threads()
        # 0: the process draws in its own thread. Alone with a single picture it may have all of them.
        inside = 0 if workload.size.batch >= threads else threads
        pool = self._pool = Pool(_llvmpipe.make, workload, {"samples": self.samples}, {"LP_NUM_THREADS": str(inside)})

        def run(number: int) -> Mapping[str, Tensor]:
            return {"image": pool.draw(number)}

        return run

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


baselines: tuple[Implementation, ...] = (Llvmpipe(0), Llvmpipe(4))
