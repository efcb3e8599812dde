"""Knows what an implementation is: somebody who does the same round of work as we do, in the same run, to be compared.

Ours lie in `backends.py`, `distilled.py`, `backprojected.py`, `makers.py`, `painted.py` and `textured.py`; everybody
else's are baselines: a peer is a module `benchmarks/peers/<name>.py` with a tuple `baselines`, of one or several
(moderngl with and without multisampling are two). Importing it imports nothing optional: `why_not` says what is
missing, `start` imports it.

A round is one call over all images or meshes of one input set. Inputs rotate: the harness calls the round with the
number of the input set in `workload.ring`, another one each time. What the sets share (topology, textures, bases)
may be prepared in `start`; what belongs to a set (vertices, cameras, lights, coefficients) is handed to the
renderer within the round, because new faces are what a data set consists of. The result lies in the memory of the
workload's device when the round returns: arrays on the host for a CPU workload; for CUDA tensors the harness waits
for the device inside the timed region.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from benchmarks.workload import Workload

CASES = {  # case: what a round returns, by name
    "deform": ("vertices",),  # [B, V, 3] metres: blend shapes and skinning
    "deform_pairs": ("vertices",),  # [P, V, 3] metres: identities x expressions by index
    "head": ("vertices",),  # [P, V, 3] metres: the same, by `pain3d.Head`, which keeps the lids off the eyes
    "visibility": ("face_ids", "depth"),  # [N, H, W] int32, -1 background; [N, H, W] metres, inf background
    "rasterize": ("face_ids", "barycentrics", "depth"),  # the same, and [N, H, W, 3], which sum to 1; 0 background
    "render": ("image",),  # [N, H, W, 3] uint8 sRGB, top row first
    "small_views": ("image",),  # as render, 224 x 224, many
    "latency": ("image",),  # as render, one picture a round
    "heatmaps": ("image", "attributes"),  # and [N, H, W, A] millimetres, 0 background
    # [N, H, W, 4] linear, coverage last; and of a weighing of it the gradients, each of the shape of its input
    "gradient": (
        "linear",
        *(
            f"grad_{name}"
            for name in (
                "vertices",
                "world_to_clip",
                "camera_position",
                "sh",
                "key_direction",
                "key_colour",
                "exposure",
            )
        ),
    ),
    "distill": ("losses", "token_gradient", "logit_gradient"),  # [7]; [B, L, D]; [B, 1 + K + T]
    "backproject": ("colours", "weights"),  # [N, S, S, 3]; [N, S, S]: N views in a texture
    "encode": ("files",),  # list of N bytes, JPEG
    "synth": ("images",),  # number of pictures that the command line wrote
    "synth_device": ("images",),  # the same, with `--device` of the run: `synth` is the CPU's wherever it runs
    "paint": ("texels",),  # [K, N, 16] linear: textures with their mip levels, on the device
    "texture": ("albedo",),  # [S, S, 3] linear, of five pictures
}
UNITS = {
    "deform": "meshes",
    "deform_pairs": "meshes",
    "head": "meshes",
    "paint": "people",
    "texture": "people",
}  # images otherwise
COMMAND_LINE = ("synth", "synth_device")  # cases whose rounds are a process, from start-up to the finished report

Round = Callable[[int], Mapping[str, Any]]  # number of the input set -> outputs of `CASES` (tensors or arrays)


class Implementation(Protocol):
    """One way to do a case.

    Attributes:
        name: As it stands in tables: ``cpu``, ``moderngl-msaa4``.
        cases: Those of `CASES` that it does.
        ours: Whether it is a backend of this project: its answers must equal the reference's, where a peer's need only
            show the same thing (`benchmarks.check`).
        antialiased: Whether its pictures are; None where that means nothing (deform, visibility).
        slow: Whether a round takes seconds: it then gets a workload with few images, and few rounds.
        note: What a reader of the table has to know: ``EGL llvmpipe, one process per core``.

    It may have a dict `detail` too: what it learnt in its rounds beside the time, by name, for the row; `peak_bytes`
    among it takes the place of what the harness measures.
    """

    name: str
    cases: Sequence[str]
    ours: bool
    antialiased: bool | None
    slow: bool
    note: str

    def why_not(self, device: str) -> str | None:
        """Why it can't run on ``"cpu"`` or ``"cuda"`` here, in a few words (``moderngl is not installed``), or None."""

    def start(self, case: str, workload: Workload) -> Round:
        """Get ready, untimed: imports, contexts, worker processes, textures. Returns the round."""

    def close(self) -> None:
        """Give back what `start` took: contexts, processes, memory. Called once after each `start`."""


def peers() -> tuple[Implementation, ...]:
    """All baselines of `benchmarks/peers/`, in the order of their files; one with a leading underscore is no peer."""
    files = sorted((Path(__file__).parent / "peers").glob("[!_]*.py"))
    modules = [import_module(f"benchmarks.peers.{file.stem}") for file in files]
    return tuple(baseline for module in modules for baseline in module.baselines)
