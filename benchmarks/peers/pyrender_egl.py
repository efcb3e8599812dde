"""Knows pyrender: what research code on faces and bodies mostly draws with on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.peers import _pyrender
from benchmarks.peers._pool import Pool
from benchmarks.workload import Workload


class Pyrender:
    """A new mesh and texture for every picture, its own shading: ambient and a directional light, no gloss map."""

    name = "pyrender"
    cases: Sequence[str] = ("render",)
    ours = False
    antialiased: bool | None = True
    slow = True
    note = "EGL on llvmpipe, a process per core, 4 samples a pixel; its own shading: no environment"

    def __init__(self) -> None:
        self._pool: Pool | None = None

    def why_not(self, device: str) -> str | None:
        """Whether pyrender or EGL is missing."""
        if device != "cpu":
            return "a CPU renderer"
        if find_spec("pyrender") is None:
            return "pyrender is not installed"
        from benchmarks.peers.moderngl_llvmpipe import renderer_name

        if find_spec("moderngl") is not None and renderer_name() is None:
            return "no EGL device (Debian: libegl1, libgl1-mesa-dri)"
        return None

    def start(self, case: str, workload: Workload) -> Round:
        """Start the processes."""
        environment = {"PYOPENGL_PLATFORM": "egl", "LP_NUM_THREADS": "0"}  # 0: draws in the thread of the process
        pool = self._pool = Pool(_pyrender.make, workload, {}, environment)

        def run(number: int) -> Mapping[str, Tensor]:
            return {"image": pool.draw(number)}

        return run

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


baselines: tuple[Implementation, ...] = (Pyrender(),)
