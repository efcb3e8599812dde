"""Gradients of the fused render: the reference's against finite differences, numba's against the reference's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import Mipmaps, build_mipmaps, render
from pain3d.kernels.rendering.colour import encode_srgb_float
from pain3d.kernels.rendering.cpu_surface_backward import srgb_slope
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


def gradients(inputs: dict[str, Any], backend: str | None, outputs: tuple[str, ...], names: tuple[str, ...] = LEAVES):
    """Gradients by name of a random weighing of the outputs."""
    leaves = leaves_of(inputs, names)
    made = render(**(inputs | leaves), outputs=outputs, image_dtype="float32", backend=backend)
    generator, loss = torch.Generator().manual_seed(0), torch.zeros((), dtype=torch.float64)
    for name in outputs:
        output = getattr(made, name)
        weights = torch.rand(output.shape, generator=generator, dtype=torch.float64) - 0.3
        loss = loss + (torch.where(torch.isfinite(output), output, 0.0).double() * weights).sum()
    loss.backward()
    return {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}


def in_double(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
        for name, value in inputs.items()
    }


def compared(inputs: dict[str, Any], outputs: tuple[str, ...] = OUTPUTS) -> None:
    """Numba's gradients lie as near to those of the float64 reference as the float32 reference's do.

    Relative to the norm of each gradient, over 24 seeds: worst seen 1.3e-5 (numba 8.2e-6), at a narrow gloss, which
    enlarges every rounding (README of `shade`). Of what moves the look-up 2.6e-3, of both alike: a point within a
    rounding of a texel's centre lies between other texels, and the slope of a bilinear look-up jumps there.
    """
    found, expected = gradients(inputs, "cpu", outputs), gradients(in_double(inputs), "reference", outputs)
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32 and gradient.shape == inputs[name].shape
        allowed = 5e-3 if name in ("vertices", "uvs", "world_to_clip") else 3e-5
        difference = (gradient.double() - expected[name]).norm()
        assert difference <= allowed * expected[name].norm(), (name, difference / expected[name].norm())


@pytest.mark.parametrize("outputs", [("linear",), ("image",), ("attributes",), ("barycentrics", "depth"), OUTPUTS])
@pytest.mark.parametrize(("seed", "texture_size"), [(0, 32), (1, 128), (2, 1)])
def test_numba_gives_the_gradients_of_the_reference(seed: int, texture_size: int, outputs: tuple[str, ...]):
    compared(example_inputs(40, seed=seed, texture_size=texture_size), outputs)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (17, 131), (33, 20)])
def test_any_size(size: tuple[int, int]):
    """131 is more than a block."""
    compared(example_inputs(8) | {"size": size})


def test_dense_meshes_and_shared_rows():
    """Faces smaller than pixels, so that walks cross many; one occlusion, weights and up for all meshes."""
    inputs = example_inputs(24, subdivisions=4, batch=5, meshes=3)
    shared = {name: inputs[name][:1] for name in ("occlusion", "detail_weights", "up")}
    compared(inputs | shared | {"texture_index": torch.tensor([1, 0, 1, 1, 0])})


@pytest.mark.parametrize("empty", ["pictures", "pixels", "faces", "attributes"])
def test_nothing_gives_zeros(empty: str):
    inputs = example_inputs(16)
    if empty == "pictures":
        per_view = (*PER_VIEW, "mesh_index", "texture_index")
        inputs |= {name: inputs[name][:0] for name in per_view}
    elif empty == "pixels":
        inputs["size"] = (0, 5)
    elif empty == "faces":
        inputs |= {name: inputs[name][:0] for name in ("faces", "adjacent_faces", "uv_faces", "face_labels")}
    else:
        inputs["attributes"] = inputs["attributes"][..., :0]
    found = gradients(inputs, "cpu", OUTPUTS)
    for name, gradient in found.items():
        assert gradient.shape == inputs[name].shape and torch.isfinite(gradient).all()
        if empty in ("pictures", "pixels") or (empty == "faces" and name != "background"):
            assert (gradient == 0).all()


PER_VIEW = ("world_to_clip", "camera_position", "exposure", "background", "sh", "key_direction", "key_colour")


def test_bits_depend_on_neither_threads_nor_batch(monkeypatch: pytest.MonkeyPatch):
    inputs = example_inputs(40, batch=7, meshes=2)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(gradients(inputs, "cpu", OUTPUTS))
        monkeypatch.setattr("pain3d.kernels.rendering.cpu_backward.GROUP_BYTES", 1)  # as many pictures as threads
        torch.set_num_threads(2)
        found.append(gradients(inputs, "cpu", OUTPUTS))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, other[name]) for name, one in found[0].items())
    leaves = leaves_of(inputs)
    render(**(inputs | leaves), outputs=("linear",)).linear.sum().backward()
    for n in range(7):
        alone = inputs | {name: inputs[name][n : n + 1] for name in (*PER_VIEW, "mesh_index", "texture_index")}
        single = leaves_of(alone)
        render(**(alone | single), outputs=("linear",)).linear.sum().backward()
        assert all(torch.equal(single[name].grad[0], leaves[name].grad[n]) for name in PER_VIEW)


@pytest.mark.parametrize("name", LEAVES)
def test_a_gradient_asked_for_alone_is_that_among_all(name: str):
    inputs = example_inputs(24, batch=2)
    alone = gradients(inputs, "cpu", OUTPUTS, (name,))[name]
    assert torch.equal(alone, gradients(inputs, "cpu", OUTPUTS)[name])


def test_mipmaps_may_be_the_leaf():
    inputs = example_inputs(24, batch=2)
    chain = build_mipmaps(inputs["texture"])
    found = []
    for backend in ("cpu", "reference"):
        texels = chain.texels.clone().requires_grad_()
        given = inputs | {"texture": Mipmaps(texels, chain.height, chain.width)}
        render(**given, outputs=("linear",), backend=backend).linear.square().sum().backward()
        found.append(texels.grad)
    assert (found[0] - found[1]).norm() <= 3e-5 * found[1].norm()
    assert (found[0] == 0).all(-1).float().mean() > 0.1  # what nobody looked at


def test_what_needs_no_gradient_goes_the_plain_way(monkeypatch: pytest.MonkeyPatch):
    inputs = example_inputs(16, batch=1)
    expected = render(**inputs, outputs=("linear", "image"))
    monkeypatch.setattr("pain3d.kernels.rendering.cpu_autograd.render_with_gradient", None)  # a call would raise
    plain = render(**inputs, outputs=("linear", "image"))
    with torch.no_grad():
        silent = render(**(inputs | leaves_of(inputs)), outputs=("linear", "image"))
    bytes_ = render(**(inputs | leaves_of(inputs)), outputs=("image",))
    assert torch.equal(plain.linear, expected.linear) and torch.equal(silent.linear, expected.linear)
    assert torch.equal(bytes_.image, expected.image)


def test_outputs_are_those_without_a_gradient():
    inputs = example_inputs(24, batch=2)
    every = ("image", "alpha", "face_ids", "barycentrics", "depth", "attributes", "labels", "linear")
    asked = {"outputs": every, "image_dtype": "float32", "layout": "NCHW"}
    plain, followed = render(**inputs, **asked), render(**(inputs | leaves_of(inputs)), **asked)
    for name in every:
        one, other = getattr(plain, name), getattr(followed, name)
        assert torch.equal(one, other) and other.requires_grad == (name in REACHED)


def test_a_second_derivative_is_refused():
    inputs = example_inputs(8, batch=1)
    leaves = leaves_of(inputs, ("vertices",))
    linear = render(**(inputs | leaves), outputs=("linear",)).linear
    (gradient,) = torch.autograd.grad(linear.square().sum(), leaves["vertices"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_vertices_out_of_sight_leave_no_trace():
    """Some behind the camera, one not a number: faces that are not drawn, and no NaN in anybody's gradient."""
    inputs = example_inputs(24, batch=2)
    inputs["vertices"] = inputs["vertices"].clone()
    inputs["vertices"][:, 5] = torch.nan
    inputs["vertices"][:, 9] *= 100
    for name, gradient in gradients(inputs, "cpu", ("depth", "attributes")).items():
        assert torch.isfinite(gradient).all(), name


def test_the_slope_of_the_curve_without_a_power():
    light = torch.linspace(0, 1, 20_001, dtype=torch.float64)[1:]
    power = 1.055 / 2.4 * light ** (1 / 2.4 - 1)
    expected = torch.where(light <= 0.0031308, 12.92, power)
    found = torch.tensor([float(srgb_slope(x)) for x in light.float().numpy()], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)  # worst seen 7e-7
