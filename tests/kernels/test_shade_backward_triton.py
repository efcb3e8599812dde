"""The gradients of shading on a GPU (or in Triton's interpreter): those of the formula, as close as float32 allows."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import shade
from pain3d.kernels.shading.example import example_inputs
from pain3d.kernels.shading.reference import MIN_COSINE, MIN_ROUGHNESS, Lights, unit
from pain3d.kernels.shading.triton_op import NAMES, shade_backward_op
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")
POINTWISE = tuple(name for name in NAMES if name not in Lights._fields)
EPSILON = 2.0**-24


def upstream(inputs: dict[str, Tensor], seed: int = 0) -> Tensor:
    return torch.randn(inputs["albedo"].shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def gradients(inputs: dict[str, Tensor], gradient: Tensor, backend: str) -> dict[str, Tensor]:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    shade(**leaves, backend=backend).backward(gradient)
    return {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}


def of_each_point(inputs: dict[str, Tensor], gradient: Tensor) -> dict[str, Tensor]:
    """Gradients in float64 to the inputs of each point, [B, P, ...]: its light, too, belongs to it alone."""
    batch, points = inputs["albedo"].shape[:2]
    alone = {}
    for name, tensor in inputs.items():
        wide = tensor if name in POINTWISE else tensor[:, None].expand(batch, points, *tensor.shape[1:])
        alone[name] = wide.reshape(batch * points, *wide.shape[2:]).double()
        if name in POINTWISE:
            alone[name] = alone[name][:, None]
    found = gradients(alone, gradient.reshape(-1, 1, 3).double(), "reference")
    return {name: tensor.reshape(batch, points, -1) for name, tensor in found.items()}


def growth(inputs: dict[str, Tensor]) -> Tensor:
    """How much one rounding grows in the gloss, [B, P]: see `assert_follows_the_formula` of test_shade_triton.py."""
    exact = {name: tensor.double() for name, tensor in inputs.items()}
    key, n, v = exact["key_direction"][:, None], unit(exact["normal"]), unit(exact["view_direction"])
    half = key + v
    alpha = exact["roughness"].clamp(MIN_ROUGHNESS, 1) ** 2
    spread = 1 - (n * unit(half)).sum(-1).clamp(0, 1) ** 2 * (1 - alpha * alpha)
    n_l, n_v = ((n * other).sum(-1).clamp(min=MIN_COSINE) for other in (key, v))
    return 1 / spread / half.norm(dim=-1).clamp(min=1e-6) + 1 / n_l + 1 / n_v


def roundings(inputs: dict[str, Tensor], gradient: Tensor) -> float:
    """Return how many roundings of float32, each grown as it may, lie between the gradients and the formula's."""
    found, exact = gradients(inputs, gradient, "triton"), of_each_point(inputs, gradient)
    dark = inputs | {name: torch.zeros_like(inputs[name]) for name in ("sh", "albedo")}
    gloss, many = of_each_point(dark, gradient), growth(inputs)
    worst = 0.0
    for name in NAMES:
        scale = exact[name].abs().amax(-1) + gloss[name].abs().amax(-1) * many  # [B, P]
        if name in POINTWISE:
            away = (found[name].reshape(exact[name].shape) - exact[name]).abs().amax(-1)
            allowed = scale.amax() * torch.ones_like(scale)
        else:
            away = (found[name].flatten(1) - exact[name].sum(1)).abs().amax(-1)
            allowed = scale.sum(1)
        worst = max(worst, float((away / (EPSILON * (allowed + 1e-30))).amax()))
    return worst


@pytest.mark.slow
@settings(max_examples=6)
@given(points=st.integers(1, 300), spread=st.sampled_from([1.0, 4.0]), smooth=st.booleans(), seed=st.integers(0, 999))
def test_any_number_of_points_follows_the_formula(points: int, spread: float, smooth: bool, seed: int):
    """Normals and eyes about the light, then in all directions; roughness 0.1 to 0.9, then from 0."""
    inputs = example_inputs(points, seed=seed)
    toward = torch.tensor([0.0, 0.0, 1.0])
    for name in ("normal", "view_direction"):
        inputs[name] = toward + spread * (inputs[name] - toward)
    if smooth:
        inputs["roughness"] = inputs["roughness"] - 0.1
    inputs = {name: tensor.to(DEVICE) for name, tensor in inputs.items()}
    # worst seen 21 in the interpreter; a GPU's roots and divisions add as much as in the forward pass, three times that
    assert roundings(inputs, upstream(inputs, seed)) < 150


def test_extremes_stay_finite_where_the_reference_does():
    """Zero normals and eyes, roughness out of range, eye opposite to the light or behind, a sky that is clamped."""
    inputs = example_inputs(64, DEVICE)
    inputs["normal"][:, :8] = 0
    inputs["normal"][:, 8:12] *= 1e-12
    inputs["normal"][:, 12:16] *= 1e12
    inputs["view_direction"][:, 16:20] = 0
    inputs["view_direction"][:, 20:28] *= -1
    inputs["view_direction"][:, 28] = -inputs["key_direction"]
    inputs["normal"][:, 29] = -inputs["key_direction"]
    inputs["view_direction"][:, 30] = inputs["normal"][:, 30] = inputs["key_direction"]
    for value, start in ((0.0, 32), (-1.0, 40), (7.0, 48)):
        inputs["roughness"][:, start : start + 8] = value
    inputs["sh"][:, 0] = -3
    found = gradients(inputs, upstream(inputs), "triton")
    for name, tensor in gradients(inputs, upstream(inputs), "reference").items():
        assert torch.isfinite(tensor).all() and torch.isfinite(found[name]).all(), name
    assert not found["roughness"][:, 32:56].any(), "clamped"
    assert not found["sh"][:, 4:].any(), "a sky that takes light away is black, and stays black"


@pytest.mark.parametrize("middle", [(), (3, 5), (0,), (4, 0)])
def test_dimensions_in_the_middle_are_free(middle: tuple[int, ...]):
    flat, count = example_inputs(24, DEVICE), torch.Size(middle).numel()
    shaped, some = dict(flat), dict(flat)
    for name in POINTWISE:
        some[name] = flat[name][:, :count]
        shaped[name] = some[name].reshape(2, *middle, *flat[name].shape[2:])
    gradient = upstream(some)
    one, other = (
        gradients(shaped, gradient.reshape(shaped["albedo"].shape), "triton"),
        gradients(some, gradient, "triton"),
    )
    for name in NAMES:
        assert one[name].shape == shaped[name].shape
        assert torch.equal(one[name].reshape(other[name].shape), other[name])


def test_two_runs_are_bit_equal_and_an_image_alone_is_that_of_the_batch():
    inputs = example_inputs(200, DEVICE)
    gradient = upstream(inputs)
    first, second = (gradients(inputs, gradient, "triton") for _ in range(2))
    alone = gradients({name: tensor[1:] for name, tensor in inputs.items()}, gradient[1:], "triton")
    for name in NAMES:
        assert torch.equal(first[name], second[name]), name
        if name in POINTWISE:
            assert torch.equal(first[name][1:], alone[name]), name


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_wants_is_empty_and_changes_nothing(name: str):
    inputs = example_inputs(5, DEVICE)
    gradient = upstream(inputs)
    everything = gradients(inputs, gradient, "triton")
    found = shade_backward_op(gradient, *(inputs[other] for other in NAMES), [other == name for other in NAMES])
    for other, tensor in zip(NAMES, found, strict=True):
        assert torch.equal(tensor, everything[other]) if other == name else tensor.numel() == 0


def test_upstream_of_any_strides():
    inputs = example_inputs(12, DEVICE)
    gradient = upstream(inputs)
    turned = gradient.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    shared = torch.ones((), device=DEVICE).expand(gradient.shape)
    for one, other in ((gradient, turned), (shared.contiguous(), shared)):
        found = gradients(inputs, one, "triton"), gradients(inputs, other, "triton")
        assert all(torch.equal(found[0][name], found[1][name]) for name in NAMES)


@pytest.mark.slow
def test_custom_ops_are_registered_soundly():
    inputs = example_inputs(5, DEVICE)
    tensors = tuple(inputs[name].requires_grad_() for name in NAMES)
    torch.library.opcheck(torch.ops.pain3d.shade.default, tensors)
    still = tuple(tensor.detach() for tensor in tensors)
    wanted = [True, False] * 5
    torch.library.opcheck(torch.ops.pain3d.shade_backward.default, (upstream(inputs), *still, wanted))


def test_compiled_without_a_graph_break():
    inputs = example_inputs(6, DEVICE)
    expected = gradients(inputs, torch.ones_like(inputs["albedo"]), "triton")
    torch._dynamo.reset()
    compiled = torch.compile(partial(shade, backend="triton"), fullgraph=True, backend="aot_eager")
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    compiled(**leaves).sum().backward()
    for name in NAMES:
        assert torch.equal(leaves[name].grad, expected[name]), name


def test_a_gradient_of_a_gradient_is_refused():
    inputs = example_inputs(4, DEVICE)
    albedo = inputs["albedo"].requires_grad_()
    (first,) = torch.autograd.grad(shade(**inputs, backend="triton").sum(), albedo, create_graph=True)
    with pytest.raises(RuntimeError, match="shade has no second derivative with backend 'triton'"):
        first.sum().backward()
