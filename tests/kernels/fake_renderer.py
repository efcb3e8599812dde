"""Runs the forward of `pain3d.Renderer` on fake tensors of a CUDA device that need not exist; prints what was seen.

One line of JSON per case: the ops with how often each ran, and the objections (see `fake_device.py`).
"""

from __future__ import annotations

import copy
import json

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import pain3d
from pain3d.device import map_tensors
from pain3d.rendering.renderer import RENDERER_OUTPUTS
from pain3d.skin import surface

SCRIPT = __file__
OUTPUTS = tuple(name for name in RENDERER_OUTPUTS if name != "linear")


def contiguous(tensor: Tensor) -> Tensor:
    """`tensor.contiguous()`, by an op alone: a torch without CUDA refuses it for fake tensors of such a device."""
    return tensor if tensor.is_contiguous() else torch.clone(tensor, memory_format=torch.contiguous_format)


def main() -> None:
    """Observe a still, a posed and a wrinkled forward, twice each: constants are made at the first."""
    # Beside this file, which runs as a script: its folder is on the path.
    from compile_offline import isolate
    from fake_device import BY_OPS, observe

    isolate()
    head = pain3d.Head.default()
    cameras = pain3d.Camera.orbit(yaw_degrees=(-40, 0, 40), size=24)
    people = head.identity_vector([head.sample_identity(0, number) for number in range(3)])
    cases = {"still": {}, "posed": {"neck_pose": torch.full((3, 3), 0.1)}}
    renderer = pain3d.Renderer(head, 24)
    made = {name: renderer.inputs(cameras, people, pain3d.ActionUnits(AU4=3), pose) for name, pose in cases.items()}
    wrinkled = surface(head, pain3d.sample_skin(0, 0, age=80, sex=0.5, ancestry=(1, 0, 0)))
    made["wrinkled"] = renderer.inputs(cameras, people, pain3d.ActionUnits(AU4=3), surface=wrinkled)
    five = pain3d.ActionUnits(AU4=3), *(pain3d.ActionUnits(AU26=n) for n in range(4))
    whose = {"surface": wrinkled, "mesh_index": torch.tensor([4, 0, 2]), "person_index": torch.tensor([0, 0, 2, 1, 1])}
    made["people x expressions"] = renderer.inputs(cameras, people, five, **whose)
    if not torch.backends.cuda.is_built():
        for name, method in (BY_OPS | {"contiguous": contiguous}).items():
            setattr(Tensor, name, method)
    mode = FakeTensorMode()
    for name, given in made.items():
        parts = (head.__dict__, given)
        tensors: list[Tensor] = []
        map_tensors(parts, lambda tensor, kept=tensors: kept.append(tensor) or tensor)

        def forward(tensors: list[Tensor], parts=parts) -> pain3d.View:
            remaining = iter(tensors)
            head_there, given_there = map_tensors(parts, lambda _: next(remaining))
            there = copy.copy(head)
            there.__dict__.update(head_there)
            return pain3d.Renderer(there, 24, outputs=OUTPUTS).forward(given_there)

        _, again = observe(forward, {"tensors": tensors}, mode)
        print(json.dumps({"case": name, "ops": dict(sorted(again.ops.items())), "objections": again.objections}))


if __name__ == "__main__":
    main()
