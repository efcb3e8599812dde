"""Knows DRTK's rasterizer, by its public API: rasterize, rasterize_with_depth, and render for barycentrics.

It starts from vertices in pixels, with centres at whole numbers, and their distance along the view axis; the projection
is done in the round, as it is for `rasterize`. DRTK (MIT, Meta) has no wheel: it is measured where somebody built it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.backends import clip_positions
from benchmarks.implementation import Implementation, Round
from benchmarks.workload import ViewSet, Workload


class Toolkit:
    """Face ids and depth in one kernel; barycentrics and depth of those ids in another."""

    name = "drtk"
    cases: Sequence[str] = ("visibility", "rasterize")
    ours = False
    antialiased: bool | None = None
    slow = False
    note = "rasterize_with_depth for visibility; rasterize, then render, for barycentrics"

    def why_not(self, device: str) -> str | None:
        """Whether there is no GPU or no DRTK: what the index has under its name is an empty placeholder."""
        if device != "cuda":
            return "no CUDA device"
        spec = find_spec("drtk")
        folders = (spec.submodule_search_locations or ()) if spec else ()
        return None if any((Path(folder) / "rasterize.py").is_file() for folder in folders) else "drtk is not installed"

    def start(self, case: str, workload: Workload) -> Round:
        """Nothing to prepare."""
        import drtk

        faces, side = workload.shared.faces, workload.size.side

        def see(number: int) -> Mapping[str, Tensor]:
            with torch.no_grad():
                depth, face_ids = drtk.rasterize_with_depth(_pixels(workload.ring[number], side), faces, side, side)
                return {"face_ids": face_ids, "depth": torch.where(face_ids >= 0, depth, torch.inf)}

        def weigh(number: int) -> Mapping[str, Tensor]:
            with torch.no_grad():
                vertices = _pixels(workload.ring[number], side)
                face_ids = drtk.rasterize(vertices, faces, side, side)
                depth, weights = drtk.render(vertices, faces, face_ids)
                depth = torch.where(face_ids >= 0, depth, torch.inf)
                return {"face_ids": face_ids, "barycentrics": weights.permute(0, 2, 3, 1), "depth": depth}

        return see if case == "visibility" else weigh

    def close(self) -> None:
        """Nothing was taken."""


def _pixels(each: ViewSet, side: int) -> Tensor:
    """Vertices [N, V, 3]: x right and y down in pixels, the first centre at 0; metres along the view axis."""
    clip = clip_positions(each)
    w = clip[..., 3:]
    flip = clip.new_tensor([1.0, -1.0])
    return torch.cat([(clip[..., :2] / w * flip * 0.5 + 0.5) * side - 0.5, w], -1)


baselines: tuple[Implementation, ...] = (Toolkit(),)
