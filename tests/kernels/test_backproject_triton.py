"""What only back-projection on a GPU promises: the reference at any size and block; indices that lead nowhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import backproject
from pain3d.kernels.backprojection.bundles import Limits, Surface, Views, view_numbers
from pain3d.kernels.backprojection.example import example_inputs
from pain3d.kernels.backprojection.kernel import launch_backproject
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")


def small(channels: int, size: int = 9, texels: int = 13, views: int = 2, seed: int = 0) -> dict[str, Any]:
    return example_inputs(size, DEVICE, seed=seed, views=views, channels=channels, texels=texels)


@pytest.mark.parametrize(
    ("channels", "size", "texels", "wide", "own"),
    [(0, 9, 13, False, False), (1, 5, 4, True, False), (3, 33, 21, False, True), (20, 9, 13, True, True)],
)
def test_any_size_equals_the_reference(channels: int, size: int, texels: int, wide: bool, own: bool) -> None:
    inputs = small(channels, size, texels)
    if wide:
        inputs |= {name: inputs[name].long() for name in ("faces", "texel_faces")}
    if own:
        inputs |= {name: inputs[name].expand(2, -1, -1) for name in ("vertices", "normals")}
        inputs["vertices"] = inputs["vertices"] * torch.tensor([1.0, 1.001], device=DEVICE)[:, None, None]
    expected = backproject(**inputs, power=3.5, least_cosine=0.1, tolerance=0.004, backend="reference")
    found = backproject(**inputs, power=3.5, least_cosine=0.1, tolerance=0.004, backend="triton")
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=4e-5)  # as `rooms.py` has it: worst seen 6e-6 here


def bundles(inputs: dict[str, Any]) -> tuple[Views, Surface]:
    pictures, depth, confidence, world_to_clip, position = list(inputs.values())[:5]
    meshes = torch.cat([inputs["vertices"], inputs["normals"]], 2)
    views = Views(pictures, depth, confidence, view_numbers(world_to_clip, position))
    return views, Surface(meshes, inputs["faces"], inputs["texel_faces"], inputs["texel_barycentrics"])


def launched(views: Views, surface: Surface, block: int) -> tuple[Tensor, Tensor]:
    shape = (len(views.pictures), *surface.texel_faces.shape)
    colours = torch.full((*shape, views.pictures.shape[-1]), torch.nan, device=DEVICE)
    weights = torch.full(shape, torch.nan, device=DEVICE)
    launch_backproject(views, surface, Limits(2.0, 0.2, 0.0005), colours, weights, block=block)
    return colours, weights


def test_any_block_gives_the_same_bits() -> None:
    views, surface = bundles(small(5))
    expected = launched(views, surface, 1024)
    for block in (64, 4096):
        assert all(torch.equal(a, b) for a, b in zip(launched(views, surface, block), expected, strict=True))


def test_a_face_or_vertex_that_is_not_there_is_no_surface() -> None:
    views, surface = bundles(small(2))
    colours, weights = launched(views, surface, 1024)
    faces, texel_faces = surface.faces.clone(), surface.texel_faces.clone()
    texel_faces[0, :4] = 10**6
    texel_faces[1, :4] = -7
    lost = int(texel_faces[5, 5])
    faces[lost, 1] = 10**6
    found = launched(views, surface._replace(faces=faces, texel_faces=texel_faces), 1024)
    gone = texel_faces == lost
    gone[:2, :4] = True
    for one, other in zip(found, (colours, weights), strict=True):
        assert not one[:, gone].any() and torch.equal(one[:, ~gone], other[:, ~gone])


def test_custom_op_is_registered_soundly() -> None:
    views, surface = bundles(small(3, 5, 5))
    torch.library.opcheck(torch.ops.pain3d.backproject.default, (*views, *surface, [2.0, 0.2, 0.0005]))


def test_a_gradient_is_not_given() -> None:
    inputs = small(3, 5, 5)
    inputs["pictures"].requires_grad_()
    for backend in ("reference", "triton"):
        assert not backproject(**inputs, backend=backend)[0].requires_grad
