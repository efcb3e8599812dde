"""Gradients of the fused render: the reference's against finite differences, and what each output reaches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import render
from pain3d.kernels.rendering.colour import encode_srgb_float
from pain3d.kernels.rendering.example import example_inputs

# Whose every change moves no face to another pixel or level: central differences see their derivative.
STILL = ("occlusion", "detail_weights", "up", "attributes", "texture", "camera_position", "exposure", "background",
         "sh", "key_direction", "key_colour")  # fmt: skip
LEAVES = ("vertices", "uvs", "world_to_clip", *STILL)
GEOMETRY = {"vertices", "world_to_clip"}
REACHED = {
    "linear": {*LEAVES} - {"attributes"},
    "image": {*LEAVES} - {"attributes"},
    "barycentrics": GEOMETRY,
    "depth": GEOMETRY,
    "attributes": {*GEOMETRY, "attributes"},
}
OUTPUTS = tuple(REACHED)


def small(dtype: torch.dtype = torch.float64, size: int = 10) -> dict[str, Any]:
    inputs = example_inputs(size, dtype=dtype, batch=2, subdivisions=1, texture_size=8)
    inputs["texture"][..., [10, 14]] *= 0.2  # the shades' sum stays within 0 … 1, away from the bends
    inputs["detail_weights"] += 0.1
    return inputs


def leaves_of(inputs: dict[str, Any], names: tuple[str, ...] = LEAVES) -> dict[str, Tensor]:
    return {name: inputs[name].clone().requires_grad_() for name in names}


@pytest.mark.parametrize("output", ["linear", "attributes"])
def test_gradients_of_the_reference_equal_finite_differences(output: str):
    inputs = small()
    names = tuple(name for name in STILL if name in REACHED[output])

    def call(*values: Tensor) -> Tensor:
        given = inputs | dict(zip(names, values, strict=True))
        return getattr(render(**given, outputs=(output,), backend="reference"), output)

    leaves = list(leaves_of(inputs, names).values())
    assert torch.autograd.gradcheck(call, leaves, eps=1e-6, atol=1e-6, rtol=1e-4, fast_mode=True)


@pytest.mark.parametrize("output", OUTPUTS)
def test_each_output_reaches_what_it_is_made_of(output: str):
    """And nothing is dropped in silence: by default some backend answers that has the gradient."""
    inputs = small(torch.float32, 24)
    leaves = leaves_of(inputs)
    made = getattr(render(**(inputs | leaves), outputs=(output,), image_dtype="float32"), output)
    assert made.dtype == torch.float32
    weights = torch.rand(made.shape, generator=torch.Generator().manual_seed(0))
    (made.nan_to_num(posinf=0.0) * weights).sum().backward()
    reached = {name for name, leaf in leaves.items() if leaf.grad is not None and leaf.grad.abs().max() > 0}
    assert reached == REACHED[output]
    assert all(torch.isfinite(leaves[name].grad).all() for name in reached)


@pytest.mark.parametrize("output", ["image", "alpha", "face_ids", "labels"])
def test_bytes_and_ids_have_no_gradient(output: str):
    inputs = small(torch.float32)
    plain, given = (render(**each, outputs=(output,)) for each in (inputs, inputs | leaves_of(inputs)))
    found = getattr(given, output)
    assert not found.requires_grad and torch.equal(found, getattr(plain, output))


def test_a_gradient_that_triton_lacks_is_refused():
    inputs = small(torch.float32)
    with pytest.raises(RuntimeError, match="render can't run backend 'triton'"):
        render(**(inputs | leaves_of(inputs)), outputs=("depth",), backend="triton")


def test_a_float_image_has_the_slope_of_the_curve():
    light = torch.tensor([-0.5, 0.0, 0.001, 0.1, 0.5, 0.999, 1.5], dtype=torch.float64, requires_grad=True)
    encoded = encode_srgb_float(light)
    assert torch.equal(encoded, torch.round(encoded * 255) / 255) and encoded.dtype == torch.float32
    encoded.sum().backward()
    expected = [0.0, 12.92, 12.92, *(1.055 / 2.4 * x ** (1 / 2.4 - 1) for x in (0.1, 0.5, 0.999)), 0.0]
    torch.testing.assert_close(light.grad, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0)


def test_the_mip_level_is_fixed():
    """A level that followed the texture's area would give uvs a gradient even where all texels of a level are equal."""
    inputs = example_inputs(16, batch=1, dtype=torch.float64, texture_size=64)
    inputs["texture"] = inputs["texture"][:, :1, :1].expand(-1, 64, 64, -1)
    uvs = inputs["uvs"].clone().requires_grad_()
    render(**(inputs | {"uvs": uvs}), outputs=("linear",)).linear.sum().backward()
    assert uvs.grad is not None and (uvs.grad.abs() < 1e-12).all()
