"""Knows the case `backproject`: views of heads, who takes them back into a texture, and whether they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.sampled import SEED, shared
from benchmarks.workload import ProjectionSet, Size, Workload
from pain3d import Camera, Head
from pain3d.kernels import backproject, edge_confidence, rasterize, vertex_normals
from pain3d.random import keyed_generator

YAWS = (0.0, 50.0, -50.0, 105.0, -105.0)
SETS = 2  # five pictures of 1024² have 63 MB, and so do their colours in the texture: few caches hold one set
# Of random pictures in 0–1, whose neighbouring pixels differ by up to 1; float32 against float64, numba, five views of
# 1024² into 1024² texels, set 0: one texel of the 1,309,398 that are seen took one of its four pixels otherwise, at the
# edge of the depth's tolerance, and was off by 0.13 and 2.4e-3; of the others both are within 7e-4.
COLOUR_TOLERANCE, WEIGHT_TOLERANCE = 5e-3, 1e-3
SAME = 0.9999  # share of texels: of a depth at the edge of its tolerance another rounding may say otherwise


def projection_workload(size: Size, device: str = "cpu", *, seed: int = SEED) -> Workload:
    """Inputs of the case: `size.batch` views (at most 5) of `size.side` pixels into a texture of as many texels."""
    head = Head.default()
    topology, count = head.topology, size.batch
    chart = torch.cat(
        [2 * topology.uvs - 1, torch.zeros_like(topology.uvs[:, :1]), torch.ones_like(topology.uvs[:, :1])], 1
    )
    under = rasterize(chart[None], topology.uv_faces, (size.side, size.side), cull=False)
    camera = Camera.orbit(YAWS[:count], distance=1.2, fov_degrees=15.5, target=(0.0, 0.014, 0.0), size=size.side)
    ring = []
    for number in range(SETS):
        with torch.no_grad():
            vertices = head(head.sample_identity(seed, number)).vertices
        clip = vertices @ camera.world_to_clip[:, :3, :3].transpose(1, 2) + camera.world_to_clip[:, None, :3, 3]
        clip = torch.cat([clip, clip[..., 2:]], 2)
        depth = rasterize(clip, topology.faces, camera.size).depth
        key = keyed_generator(seed, "benchmark/backproject", size.side, number).integers(2**62)
        made = {
            "pictures": torch.rand(*depth.shape, 3, generator=torch.Generator().manual_seed(int(key))),
            "depth": depth,
            "confidence": edge_confidence(depth),
            "world_to_clip": camera.world_to_clip,
            "camera_position": camera.position,
            "vertices": vertices,
            "normals": vertex_normals(vertices, topology.faces),
            "faces": topology.faces,
            "texel_faces": under.face_ids[0],
            "texel_barycentrics": under.barycentrics[0],
        }
        ring.append(ProjectionSet({name: tensor.to(device) for name, tensor in made.items()}))
    return Workload("backproject", size, device, shared(device, 0), tuple(ring))


def true_projection(workload: Workload) -> dict[str, Tensor]:
    """The float64 reference's colours and weights of input set 0."""
    inputs = workload.ring[0].inputs
    exact = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    colours, weights = backproject(**exact, backend="reference")
    return {"colours": colours.cpu(), "weights": weights.cpu()}


def compare_projection(truth: Mapping[str, Tensor], given: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a round's colours and weights are the reference's, and what was seen."""
    colours, weights = given["colours"].cpu(), given["weights"].cpu()
    if colours.shape != truth["colours"].shape or weights.shape != truth["weights"].shape:
        return False, f"colours are {list(colours.shape)}, weights {list(weights.shape)}"
    off = (colours.double() - truth["colours"]).abs().amax(-1), (weights.double() - truth["weights"]).abs()
    share = ((off[0] <= COLOUR_TOLERANCE) & (off[1] <= WEIGHT_TOLERANCE)).double().mean().item()
    worst = f"{off[0].max().item():.0e} and {off[1].max().item():.0e} at most"
    return share >= SAME, f"{share:.4%} of texels the reference's, colours and weights off by {worst}"


@dataclass
class Projector:
    """A backend of ours."""

    name: str
    kind: str  # of device: cpu, cuda or both
    note: str
    slow: bool = False
    cases: Sequence[str] = ("backproject",)
    ours: bool = True
    antialiased: bool | None = None

    def why_not(self, device: str) -> str | None:
        """Which device or library is missing."""
        if self.kind not in (device, "both"):
            return "no CUDA device" if self.kind == "cuda" else "runs on the CPU only"
        return "triton is not installed" if self.name == "triton" and find_spec("triton") is None else None

    def start(self, case: str, workload: Workload) -> Round:
        """Nothing to prepare but the round."""

        def run(number: int) -> Mapping[str, Tensor]:
            colours, weights = backproject(**workload.ring[number].inputs, backend=self.name)
            return {"colours": colours, "weights": weights}

        return run

    def close(self) -> None:
        """Nothing was taken."""


PROJECTORS: tuple[Implementation, ...] = (
    Projector("reference", "both", "plain torch: the definition", slow=True),
    Projector("cpu", "cpu", "numba, rows of texels a thread"),
    Projector("triton", "cuda", "Triton kernel"),
)
