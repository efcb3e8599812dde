"""The gradients of antialiasing on a GPU (or in its interpreter): the reference's, of spheres and of nonsense."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import antialias
from pain3d.kernels.antialiasing.example import example_inputs
from pain3d.kernels.antialiasing.kernel_backward import Seen, launch_to_clip, launch_to_colour, launch_weigh
from pain3d.kernels.antialiasing.triton_op import antialias_backward
from pain3d.kernels.rasterization.kernel import launch_snap
from tests.kernels.rooms import device_of
from tests.kernels.test_antialias_triton import QUAD, nonsense, of_picture

DEVICE = device_of("triton")
FLOATS = ("colour", "depth", "vertices_clip")


def upstream(inputs: dict[str, Any], seed: int = 0) -> Tensor:
    return torch.randn(inputs["colour"].shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def gradients(
    inputs: dict[str, Any], gradient: Tensor, backend: str = "triton", dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    given = inputs | {name: inputs[name].to(dtype, copy=True) for name in FLOATS}
    colour, clip = given["colour"].requires_grad_(), given["vertices_clip"].requires_grad_()
    antialias(**given, backend=backend).backward(gradient.to(dtype))
    of_clip = torch.zeros_like(clip) if clip.grad is None else clip.grad  # of nothing the reference has no graph
    assert colour.grad is not None
    return colour.grad, of_clip


def compared(inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Gradients, held against those of the reference in float64."""
    gradient = upstream(inputs)
    found = gradients(inputs, gradient)
    of_colour, of_clip = gradients(inputs, gradient, "reference", torch.float64)
    # worst seen 2.0e-7 for upstream up to 4, interpreter: the shares are divided in float32, then as many products
    torch.testing.assert_close(found[0].double(), of_colour, rtol=0, atol=2e-6)
    # worst seen 2e-7 of the greatest, interpreter: an edge's slope and where the line cuts it are divided in float32
    allowed = 2e-6 * float(of_clip.abs().max()) if of_clip.numel() else 0.0
    torch.testing.assert_close(found[1].double(), of_clip, rtol=0, atol=allowed)
    return found


@pytest.mark.parametrize("size", [0, 1, 3])
def test_spheres_from_few_large_to_many_small_faces(size: int):
    of_colour, of_clip = compared(example_inputs(size, DEVICE))
    assert (of_clip[..., :2].abs() > 0).any(-1).float().mean() > 0.1
    assert not of_clip[..., 2].any()
    assert of_colour.shape[-1] == 3


@pytest.mark.parametrize("seed", range(4))
def test_walks_over_nonsense(seed: int):
    """Pixels that take more than themselves of all sides, silhouettes behind the start, faces that are not there."""
    compared(nonsense(seed))


@pytest.mark.parametrize("offset", [0.0, 1 / 16, 0.5, 15 / 16])
@pytest.mark.parametrize("side", ["left", "top"])
def test_a_half_plane_at_the_corners_of_its_ramp(offset: float, side: str):
    """At 1/2 both pixels take nothing, and at 0 and 1 a half: where the formula has kinks."""
    bounds = {"left": -40.0, "right": 60.0, "bottom": -40.0, "top": 60.0, side: 7 + offset}
    corners = torch.tensor([[bounds[x], bounds[y]] for y, x in (("bottom", "left"), ("bottom", "right"),
                                                               ("top", "right"), ("top", "left"))])  # fmt: skip
    clip = torch.cat([corners / 8 - 1, torch.zeros(4, 1), torch.ones(4, 1)], 1)[None]
    compared(of_picture(clip, QUAD, (16, 16), 1))


@pytest.mark.parametrize(("size", "channels"), [((1, 1), 1), ((1, 9), 5), ((9, 1), 1), ((5, 17), 4)])
def test_any_size(size: tuple[int, int], channels: int):
    inputs = example_inputs(1, DEVICE)
    compared(of_picture(inputs["vertices_clip"].cpu(), inputs["faces"].cpu(), size, channels))


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
    gradient = upstream(inputs)
    of_colour, of_clip = antialias_backward(gradient, *inputs.values(), True, True)
    assert torch.equal(of_colour, gradient) and torch.equal(of_clip, torch.zeros_like(inputs["vertices_clip"]))


def test_two_runs_and_any_block_give_the_same_bits():
    inputs = example_inputs(2, DEVICE)
    gradient = upstream(inputs)
    expected = gradients(inputs, gradient)
    again = gradients(inputs, gradient)
    alone = gradients(
        {name: tensor[1:] if tensor.dim() > 2 else tensor for name, tensor in inputs.items()}, gradient[1:]
    )
    screen = torch.empty(inputs["vertices_clip"].shape, dtype=torch.int32, device=DEVICE)
    launch_snap(inputs["vertices_clip"].contiguous(), gradient.shape[1:3], screen)
    faces, adjacent = (inputs[name].to(torch.int32).contiguous() for name in ("faces", "adjacent_faces"))
    seen = Seen(inputs["face_ids"], inputs["depth"], screen, faces, adjacent)
    found = launch_weigh(gradient, inputs["colour"], seen, pixels=256)
    of_colour, of_clip = torch.full_like(gradient, torch.nan), torch.full_like(inputs["vertices_clip"], torch.nan)
    launch_to_colour(gradient, found.weights, of_colour, pixels=256)
    launch_to_clip(seen, found, inputs["vertices_clip"], of_clip, pixels=256)
    for one, two, third, fourth in zip(expected, again, alone, (of_colour, of_clip), strict=True):
        assert torch.equal(one, two) and torch.equal(one[1:], third) and torch.equal(one, fourth)


def test_what_is_not_finite_stays_in_its_picture():
    inputs = example_inputs(1, DEVICE)
    gradient = upstream(inputs)
    plain = gradients(inputs, gradient)
    gradient[0] = torch.nan
    of_colour, of_clip = gradients(inputs, gradient)
    assert of_colour[0].isnan().all() and of_clip[0, :, 0].isnan().all()
    assert torch.equal(of_colour[1], plain[0][1]) and torch.equal(of_clip[1], plain[1][1])


def test_what_nobody_wants_is_empty_and_strides_are_free():
    inputs = example_inputs(1, DEVICE)
    gradient = upstream(inputs)
    of_colour, of_clip = gradients(inputs, gradient)
    turned = gradient.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    strided = {name: torch.stack([tensor, tensor], -1)[..., 0] for name, tensor in inputs.items()}
    found = antialias_backward(turned, *strided.values(), True, False)
    assert torch.equal(found[0], of_colour) and found[1].numel() == 0
    found = antialias_backward(turned, *strided.values(), False, True)
    assert found[0].numel() == 0 and torch.equal(found[1], of_clip)


def test_custom_ops_are_registered_soundly():
    inputs = example_inputs(0, DEVICE)
    given = {name: tensor.requires_grad_() if name in FLOATS else tensor for name, tensor in inputs.items()}
    torch.library.opcheck(torch.ops.pain3d.antialias.default, tuple(given.values()))
    still = tuple(tensor.detach() for tensor in inputs.values())
    torch.library.opcheck(torch.ops.pain3d.antialias_backward.default, (upstream(inputs), *still, True, True))


def test_compiled_without_a_graph_break():
    found = []
    torch._dynamo.reset()
    plain = partial(antialias, backend="triton")
    for function in (plain, torch.compile(plain, fullgraph=True, backend="aot_eager")):
        inputs = example_inputs(1, DEVICE)
        colour, clip = inputs["colour"].requires_grad_(), inputs["vertices_clip"].requires_grad_()
        function(**inputs).square().sum().backward()
        found.append((colour.grad, clip.grad))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_gradient_of_a_gradient_is_refused():
    inputs = example_inputs(0, DEVICE)
    colour = inputs["colour"].requires_grad_()
    (first,) = torch.autograd.grad(antialias(**inputs, backend="triton").sum(), colour, create_graph=True)
    with pytest.raises(RuntimeError, match="antialias has no second derivative with backend 'triton'"):
        first.sum().backward()
