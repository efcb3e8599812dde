"""Antialiasing on a GPU (or in Triton's interpreter): the walk of the reference, on meshes and on nonsense."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import antialias, face_adjacency, rasterize
from pain3d.kernels.antialiasing.example import example_inputs
from pain3d.kernels.antialiasing.kernel import launch_antialias
from pain3d.kernels.antialiasing.triton_op import antialias_op
from pain3d.kernels.deformation.example import example_sphere
from pain3d.kernels.rasterization.kernel import launch_snap
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")
QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]])
TOLERANCE = 5e-7  # worst seen 0 in the interpreter; a GPU's division and fused multiply-adds round a mix of 0–1 anew


def compared(inputs: dict[str, Any]) -> Tensor:
    fast, slow = (antialias(**inputs, backend=backend) for backend in ("triton", "reference"))
    torch.testing.assert_close(fast, slow, rtol=0, atol=TOLERANCE)
    return fast


def of_picture(clip: Tensor, faces: Tensor, size: tuple[int, int], channels: int = 3) -> dict[str, Any]:
    """What a mesh looks like, in random colours."""
    fragments = rasterize(clip, faces, size, backend="reference")
    colour = torch.rand(len(clip), *size, channels, generator=torch.Generator().manual_seed(0))
    inputs = {
        "colour": colour,
        "face_ids": fragments.face_ids,
        "depth": fragments.depth,
        "vertices_clip": clip,
        "faces": faces,
        "adjacent_faces": face_adjacency(faces),
    }
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


@pytest.mark.parametrize("size", [0, 1, 3])
def test_spheres_from_few_large_to_many_small_faces(size: int):
    inputs = example_inputs(size, DEVICE)
    mixed = compared(inputs)
    assert (mixed != inputs["colour"]).any(-1).float().mean() > 0.05


def nonsense(seed: int) -> dict[str, Any]:
    """A crumpled mesh with holes, back faces and depths at random: walks that start outside their face too."""
    generator = torch.Generator().manual_seed(seed)
    points, faces = example_sphere(1)
    depth = 3 - points[:, 2]
    clip = torch.stack([2.5 * points[:, 0], 2.5 * points[:, 1], depth, depth], -1).float()
    clip = clip + 0.3 * torch.randn(2, *clip.shape, generator=generator)
    clip[1, :3, 3] = -1.0  # behind the camera
    clip[1, 5:8] = clip[1, 5]  # no area
    face_ids = rasterize(clip, faces, (17, 19), cull=False, backend="reference").face_ids
    face_ids[torch.rand(face_ids.shape, generator=generator) < 0.2] = -1
    lost = torch.rand(face_ids.shape, generator=generator) < 0.1
    face_ids[lost] = torch.randint(len(faces), face_ids.shape, generator=generator, dtype=torch.int32)[lost]
    adjacent = face_adjacency(faces)
    adjacent[torch.rand(adjacent.shape, generator=generator) < 0.1] = -1
    distance = torch.randint(1, 4, face_ids.shape, generator=generator).float()  # with equals
    distance[face_ids < 0] = torch.inf
    inputs = {
        "colour": torch.rand(*face_ids.shape, 2, generator=generator),
        "face_ids": face_ids,
        "depth": distance,
        "vertices_clip": clip,
        "faces": faces,
        "adjacent_faces": adjacent,
    }
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


@pytest.mark.parametrize("seed", range(4))
def test_walks_over_nonsense(seed: int):
    inputs = nonsense(seed)
    assert (compared(inputs) != inputs["colour"]).any(-1).float().mean() > 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (5, 17)])
@pytest.mark.parametrize("channels", [1, 5])
def test_any_size(size: tuple[int, int], channels: int):
    points, faces = example_sphere(1)
    clip = torch.cat([points[:, :2] * 0.8, torch.zeros(len(points), 1), torch.ones(len(points), 1)], 1)[None]
    compared(of_picture(clip.float(), faces, size, channels))


@pytest.mark.parametrize("empty", ["faces", "pixels", "channels", "images"])
def test_nothing_to_mix(empty: str):
    inputs = example_inputs(0, DEVICE)
    if empty == "faces":
        inputs["faces"], inputs["adjacent_faces"] = inputs["faces"][:0], inputs["adjacent_faces"][:0]
        inputs["face_ids"] = torch.full_like(inputs["face_ids"], -1)
    for name in ("colour", "face_ids", "depth"):
        inputs[name] = inputs[name][:, :0] if empty == "pixels" else inputs[name]
        inputs[name] = inputs[name][:0] if empty == "images" else inputs[name]
    if empty == "images":
        inputs["vertices_clip"] = inputs["vertices_clip"][:0]
    if empty == "channels":
        inputs["colour"] = inputs["colour"][..., :0]
    assert torch.equal(compared(inputs), inputs["colour"])


@pytest.mark.parametrize("offset", [0.0, 1 / 16, 0.5, 15 / 16])
@pytest.mark.parametrize("side", ["left", "top"])
def test_half_plane_gives_the_exact_ramp(offset: float, side: str):
    bounds = {"left": -40.0, "right": 60.0, "bottom": -40.0, "top": 60.0, side: 7 + offset}
    corners = torch.tensor([[bounds[x], bounds[y]] for y, x in (("bottom", "left"), ("bottom", "right"),
                                                               ("top", "right"), ("top", "left"))])  # fmt: skip
    clip = torch.cat([corners / 8 - 1, torch.zeros(4, 1), torch.ones(4, 1)], 1)[None]
    inputs = of_picture(clip, QUAD, (16, 16), 1)
    inputs["colour"] = (inputs["face_ids"] >= 0).float()[..., None]
    soft = antialias(**inputs, backend="triton").cpu()[0, ..., 0]
    centres = torch.arange(16).float()
    across = (centres + 1 - (7 + offset)).clamp(0, 1).expand(16, 16)
    down = (centres - 8 + offset).clamp(0, 1)[:, None].expand(16, 16)
    assert torch.equal(soft, across if side == "left" else down)  # multiples of 1/16 are exact


def test_a_walk_gives_up_after_as_many_faces_as_the_reference():
    """A fan of 65 slivers, less than a pixel wide: some walks meet its border after 31 or 32 faces, some after more."""
    angles = torch.linspace(-1, 1, 66)
    rim = torch.stack([0.1 * angles + 0.06, 0.5 * torch.ones(66)], 1)
    flat = torch.cat([torch.tensor([[0.06, -0.9]]), rim])
    clip = torch.cat([flat, torch.zeros(67, 1), torch.ones(67, 1)], 1)[None]
    fan = torch.stack([torch.zeros(65, dtype=torch.int64), torch.arange(2, 67), torch.arange(1, 66)], 1)
    inputs = of_picture(clip, fan, (16, 16))
    mixed = (compared(inputs) != inputs["colour"]).any(-1)
    assert mixed.sum() == 11  # 6 where walks end after 31 faces, 15 after 34: the limit takes part


@pytest.mark.parametrize("pixels", [128, 4096])
def test_bits_do_not_depend_on_the_block(pixels: int):
    inputs = example_inputs(2, DEVICE)
    expected = antialias(**inputs, backend="triton")
    screen = torch.empty(inputs["vertices_clip"].shape, dtype=torch.int32, device=DEVICE)
    launch_snap(inputs["vertices_clip"].contiguous(), expected.shape[1:3], screen)
    out = torch.full_like(expected, torch.nan)
    faces, adjacent = (inputs[name].to(torch.int32).contiguous() for name in ("faces", "adjacent_faces"))
    launch_antialias(inputs["colour"], inputs["face_ids"], inputs["depth"], screen, faces, adjacent, out, pixels)
    assert torch.equal(out, expected)


def test_custom_op_is_well_formed():
    inputs = example_inputs(0, DEVICE)
    torch.library.opcheck(antialias_op.overload, tuple(inputs.values()))
    with pytest.raises(ValueError, match="antialias has no backend 'triton'"):
        antialias(**(inputs | {"colour": inputs["colour"].double()}), backend="triton")
