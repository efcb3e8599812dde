"""Knows our own backends as implementations of the meshes' and pictures' cases: `reference`, `cpu`, `triton`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.workload import MeshSet, ViewSet, Workload
from pain3d.device import map_tensors
from pain3d.head.model import Head
from pain3d.kernels import rasterize, render, use_backend
from pain3d.kernels.deformation import deform, deform_pairs, planar_basis
from pain3d.kernels.rendering import CHANNELS

PICTURES = {  # case: outputs asked of `kernels.render`, and of `kernels.rasterize`
    "visibility": ("face_ids", "depth"),
    "rasterize": ("face_ids", "barycentrics", "depth"),  # of `kernels.rasterize`
    "render": ("image",),
    "small_views": ("image",),
    "latency": ("image",),
    "heatmaps": ("image", "attributes"),
    "gradient": ("linear",),
}
GRADIENTS = ("vertices", "world_to_clip", "camera_position", "sh", "key_direction", "key_colour", "exposure")

POSES = ("global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose")  # in the order of the joints


def render_call(
    workload: Workload, each: ViewSet, backend: str | None, outputs: Sequence[str], packed: Tensor | None = None
) -> Any:
    """One call of the fused op on one input set; `packed` is of `pack_texels` of the shared textures."""
    shared, count = workload.shared, len(each.mesh_index)
    texture = shared.mipmaps if shared.mipmaps is not None else shared.template.new_ones(1, 1, 1, CHANNELS)
    return render(
        each.vertices,
        shared.faces,
        shared.adjacent_faces,
        shared.uvs,
        shared.uv_faces,
        texture,
        shared.occlusion[None],
        each.world_to_clip,
        each.camera_position,
        each.sh,
        each.key_direction,
        each.key_colour,
        shared.background.expand(count, 1, 1, 3),
        (workload.size.side, workload.size.side),
        mesh_index=each.mesh_index,
        texture_index=each.texture_index if shared.mipmaps is not None else torch.zeros_like(each.texture_index),
        attributes=each.heat if "attributes" in outputs else None,
        exposure=each.exposure,
        outputs=outputs,
        packed=packed,
        backend=backend,
    )


def render_round(workload: Workload, backend: str | None, outputs: Sequence[str]) -> Round:
    """A round of pictures."""

    def run(number: int) -> Mapping[str, Tensor]:
        rendered = render_call(workload, workload.ring[number], backend, outputs)
        return {name: getattr(rendered, name) for name in outputs}

    return run


def gradient_weights(side: int) -> Tensor:
    """By what the pixels of each linear picture are weighed, [side, side, 4] float64, -0.3 to 0.7."""
    return torch.rand(side, side, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.3


def gradient_round(workload: Workload, backend: str | None) -> Round:
    """A round of linear pictures and of the gradients of a fixed weighing of their pixels."""
    weights = gradient_weights(workload.size.side)

    def run(number: int) -> Mapping[str, Tensor]:
        each = workload.ring[number]
        leaves = {name: getattr(each, name).detach().requires_grad_() for name in GRADIENTS}
        linear = render_call(workload, replace(each, **leaves), backend, PICTURES["gradient"]).linear
        given = torch.autograd.grad(linear, list(leaves.values()), weights.to(linear).expand_as(linear))
        return {"linear": linear.detach()} | {f"grad_{name}": part for name, part in zip(leaves, given, strict=True)}

    return run


def clip_positions(each: ViewSet) -> Tensor:
    """Clip positions [N, V, 4] of the pictures' vertices, on which `kernels.rasterize` and peers like it start."""
    columns = each.world_to_clip.transpose(1, 2)
    return torch.baddbmm(columns[:, 3:], each.vertices[each.mesh_index], columns[:, :3])


def rasterize_call(workload: Workload, each: ViewSet, backend: str | None) -> dict[str, Tensor]:
    """One call of `rasterize` on one input set."""
    side = workload.size.side
    fragments = rasterize(clip_positions(each), workload.shared.faces, (side, side), backend=backend)
    return {name: getattr(fragments, name) for name in PICTURES["rasterize"]}


def deform_round(workload: Workload, backend: str | None, precision: str = "fp32") -> Round:
    """A round of B different people: all shapes at once, then skinning."""
    shared = workload.shared
    basis = _laid_out(torch.cat([shared.identity_basis, shared.expression_basis]), backend)

    def run(number: int) -> Mapping[str, Tensor]:
        each: MeshSet = workload.ring[number]
        skinning = (shared.skin_joints, shared.skin_weights, each.joint_transforms)
        given = (shared.template[None], basis, each.coefficients, *skinning)
        return {"vertices": deform(*given, precision=precision, backend=backend)}

    return run


def pairs_round(workload: Workload, backend: str | None) -> Round:
    """A round of people x expressions: the identity part once per person, the expression part once per expression."""
    shared = workload.shared
    identity_basis, expression_basis = (
        _laid_out(basis, backend) for basis in (shared.identity_basis, shared.expression_basis)
    )
    nothing = torch.zeros_like(shared.template[None])

    def run(number: int) -> Mapping[str, Tensor]:
        each: MeshSet = workload.ring[number]
        shaped = deform(shared.template[None], identity_basis, each.identity, backend=backend)
        offsets = deform(nothing, expression_basis, each.expression, backend=backend)
        skinning = (shared.skin_joints, shared.skin_weights, each.joint_transforms)
        pairs = (each.identity_index, each.expression_index)
        return {"vertices": deform_pairs(shaped, offsets, *pairs, *skinning, backend=backend)}

    return run


def head_round(workload: Workload, backend: str) -> Round:
    """A round of the head itself: a row per person, and of expression and pose one per mesh."""
    head = Head.default().on(workload.device)

    def run(number: int) -> Mapping[str, Tensor]:
        each: MeshSet = workload.ring[number]
        poses = dict(zip(POSES, each.axis_angle.unbind(1), strict=True))
        given = poses | {"expression": each.expression[each.expression_index], "person_index": each.identity_index}
        with use_backend(backend):
            return {"vertices": head(each.identity, **given).vertices}

    return run


def _laid_out(basis: Tensor, backend: str | None) -> Tensor:
    """The basis as a backend reads it fastest; a head does that once."""
    return planar_basis(basis) if backend == "triton" else basis


def graph_round(workload: Workload) -> Round:
    """A round of pictures replayed from a CUDA graph; the inputs of a set are copied into those that it reads."""
    from pain3d.kernels.rendering.texels import pack_texels
    from pain3d.rendering.renderer import record_cuda_graph

    outputs, chain = PICTURES[workload.case], workload.shared.mipmaps
    packed = None if chain is None else pack_texels(chain.texels)  # once, as the textures stay
    read = map_tensors(workload.ring[0], torch.clone)
    replay, rendered = record_cuda_graph(lambda: render_call(workload, read, "triton", outputs, packed))
    kept = _by_dtype(read)
    given = [_by_dtype(each) for each in workload.ring]

    def run(number: int) -> Mapping[str, Tensor]:
        for dtype, tensors in kept.items():
            torch._foreach_copy_(tensors, given[number][dtype])  # one launch for all
        replay()
        return {name: getattr(rendered, name) for name in outputs}

    return run


def _by_dtype(each: ViewSet) -> dict[torch.dtype, list[Tensor]]:
    """The set's tensors that hold anything."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for field in fields(each):
        tensor = getattr(each, field.name)
        if tensor.numel():
            groups.setdefault(tensor.dtype, []).append(tensor)
    return groups


@dataclass
class Backend:
    """A backend of ours, by name, through the public ops."""

    name: str
    backend: str
    cases: Sequence[str]
    kind: str  # of device: cpu, cuda or both
    note: str
    slow: bool = False
    ours: bool = True
    antialiased: bool | None = True
    graph: bool = False
    precision: str = "fp32"

    def why_not(self, device: str) -> str | None:
        """Which device or library is missing."""
        if self.kind not in (device, "both"):
            return "no CUDA device" if self.kind == "cuda" else "runs on the CPU only"
        if self.backend == "triton" and find_spec("triton") is None:
            return "triton is not installed"
        return None

    def start(self, case: str, workload: Workload) -> Round:
        """Nothing to prepare but the round."""
        if case == "deform":
            return deform_round(workload, self.backend, self.precision)
        if case == "deform_pairs":
            return pairs_round(workload, self.backend)
        if case == "head":
            return head_round(workload, self.backend)
        if case == "gradient":
            return gradient_round(workload, self.backend)
        if case == "rasterize":
            return lambda number: rasterize_call(workload, workload.ring[number], self.backend)
        if self.graph:
            return graph_round(workload)
        return render_round(workload, self.backend, PICTURES[case])

    def close(self) -> None:
        """Nothing was taken."""


ALL = ("deform", "deform_pairs", "head", *PICTURES)
WITHOUT_HEAT = tuple(case for case in ALL if case != "heatmaps")  # half a minute of the reference for nothing to learn
BACKENDS: tuple[Implementation, ...] = (
    Backend("reference", "reference", WITHOUT_HEAT, "both", "plain torch: the definition", slow=True),
    Backend("cpu", "cpu", ALL, "cpu", "numba, a picture per thread"),
    Backend("triton", "triton", ALL, "cuda", "Triton kernels"),
    Backend("triton-tf32", "triton", ("deform",), "cuda", "Triton kernels, shapes summed in TF32", precision="tf32"),
    Backend("triton-graph", "triton", ("latency",), "cuda", "Triton kernels, replayed from a CUDA graph", graph=True),
)
