"""The gradients of the fused render on a GPU (or in its interpreter): the reference's, from every output to all."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import build_mipmaps, render
from pain3d.kernels.rendering.bundles import Request
from pain3d.kernels.rendering.custom_op import DIFFERENTIABLE, FLOATS_OUT, flat_arguments, render_backward_op, render_op
from pain3d.kernels.rendering.example import example_inputs, example_scene
from pain3d.kernels.rendering.topology import prepare_topology
from pain3d.kernels.rendering.triton_backward import Upstream, launch_render_backward
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Fill torch.empty with NaN, so that what nobody wrote shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def inputs_of(size: int = 8, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Small: the interpreter takes seconds where a GPU takes microseconds. A texture of float16 numbers, as packed."""
    options = {"batch": 2, "subdivisions": 1, "texture_size": 8} | changes
    inputs = example_inputs(size, DEVICE, seed=seed, **options)
    chain = build_mipmaps(inputs["texture"], backend="reference")
    return inputs | {"texture": chain._replace(texels=chain.texels.half().float())}


def upstream_of(tensor: Tensor) -> Tensor:
    return torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)).to(tensor.device)


def gradients(
    inputs: dict[str, Any],
    outputs: tuple[str, ...],
    backend: str = "triton",
    dtype: torch.dtype = torch.float32,
    **asked: Any,
) -> dict[str, Tensor]:
    """To everything that has one."""
    given, leaves = dict(inputs), {}
    for name in set(DIFFERENTIABLE) & inputs.keys():
        tensor = inputs[name].texels if name == "texture" else inputs[name]
        leaves[name] = tensor.to(dtype, copy=True).requires_grad_()
        given[name] = inputs[name]._replace(texels=leaves[name]) if name == "texture" else leaves[name]
    rendered = render(**given, outputs=outputs, backend=backend, **asked)
    total = torch.zeros((), dtype=torch.float64, device=DEVICE)
    for name in outputs:
        made = getattr(rendered, name).double()
        total = total + (torch.where(made.isfinite(), made, 0.0) * upstream_of(made)).sum()
    total.backward()
    return {name: leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for name, leaf in leaves.items()}


def compared(inputs: dict[str, Any], outputs: tuple[str, ...], **asked: Any) -> dict[str, Tensor]:
    """Gradients, held against those of the reference in float64."""
    found = gradients(inputs, outputs, **asked)
    exact = gradients(inputs, outputs, "reference", torch.float64, **asked)
    for name, tensor in exact.items():
        # worst seen 5e-6 of the greatest (camera_position, in which the gradients of a gloss cancel; the reference in
        # float32 is 6e-6 off), interpreter; a GPU's roots and divisions add as much as in `shade`, four times that
        allowed = 1e-4 * float(tensor.abs().max()) if tensor.numel() else 0.0
        torch.testing.assert_close(
            found[name].double(), tensor, rtol=0, atol=allowed, msg=lambda text, name=name: f"{name}: {text}"
        )
    return found


@cache
def whole() -> dict[str, Tensor]:
    """From all outputs, once: not to be changed."""
    return compared(inputs_of(12), FLOATS_OUT, image_dtype="float32")


@pytest.mark.slow
def test_from_all_outputs_to_all_inputs():
    for name, tensor in whole().items():
        assert torch.isfinite(tensor).all() and tensor.abs().max() > 0, name


@pytest.mark.parametrize("output", ["linear", "depth"])
def test_from_one_output_alone(output: str):
    found = compared(inputs_of(9, 1), (output,))
    assert not found["attributes"].any()
    assert found["vertices"].any() and found["world_to_clip"].any() and found["sh"].any() == (output == "linear")


@pytest.mark.slow
@pytest.mark.parametrize(("image_dtype", "layout"), [("float32", "NCHW"), ("bfloat16", "NHWC")])
def test_dtype_and_layout_of_the_image(image_dtype: str, layout: str):
    inputs = inputs_of(7)
    plain = gradients(inputs, ("image",), image_dtype="float32")
    image = render(**inputs, image_dtype="float32", backend="triton").image
    names = [name in ("sh", "vertices") for name in DIFFERENTIABLE]
    gradient = upstream_of(image.double()).float()
    if layout == "NCHW":
        gradient = gradient.permute(0, 3, 1, 2).contiguous()
    if image_dtype == "bfloat16":
        gradient = gradient.bfloat16()
    scene, request = scene_of(inputs), Request(("image",), image_dtype, layout)
    found = dict(
        zip(
            DIFFERENTIABLE,
            render_backward_op(None, gradient, None, None, None, *flat_arguments(scene, request), names),
            strict=True,
        )
    )
    for name in ("sh", "vertices"):
        allowed = float(plain[name].abs().max()) * (0.0 if image_dtype == "float32" else 2.0**-8)  # upstream is rounded
        torch.testing.assert_close(found[name], plain[name], rtol=0, atol=allowed)


def scene_of(inputs: dict[str, Any]) -> Any:
    scene = example_scene(inputs | {"texture": torch.zeros(2, 8, 8, 16, device=DEVICE)})
    return scene._replace(texture=inputs["texture"])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 2), (0, 4)])
def test_any_size(size: tuple[int, int]):
    compared(inputs_of(4, batch=1) | {"size": size}, ("linear", "depth"))


@pytest.mark.parametrize("kind", ["one row", "one colour", "shared"])
def test_backgrounds_of_any_size(kind: str):
    inputs = inputs_of(6)
    background = torch.rand(2, 1, 40, 3, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    inputs["background"] = {"one row": background, "one colour": background[:, :, :1], "shared": background[:1, :, :2]}[
        kind
    ]
    if kind == "shared":
        inputs["background"] = inputs["background"].expand(2, -1, -1, -1)
    compared(inputs, ("linear",))


def test_one_mesh_row_for_all_and_arguments_left_out():
    inputs = inputs_of(8)
    for name in ("occlusion", "up"):
        inputs[name] = inputs[name][:1]
    del inputs["detail_weights"], inputs["exposure"], inputs["attributes"]
    found = compared(inputs, ("linear",))
    assert found["occlusion"].shape[0] == 1


def test_nobody_sees_anything():
    inputs = inputs_of(6)
    inputs["vertices"] = inputs["vertices"] + 100
    found = compared(inputs, ("linear",))
    assert found["background"].any() and not found["vertices"].any() and not found["texture"].any()


def test_no_faces_at_all():
    inputs = inputs_of(5, batch=1)
    for name in ("faces", "uv_faces", "adjacent_faces", "face_labels"):
        inputs[name] = inputs[name][:0]
    found = compared(inputs, ("linear", "depth"))
    assert {name for name, tensor in found.items() if tensor.any()} == {"background"}


def test_meshes_and_textures_that_do_not_exist_have_no_part():
    scene = scene_of(inputs_of(6))
    views = scene.views._replace(
        mesh_index=torch.tensor([0, 7], device=DEVICE), texture_index=torch.tensor([-3, 1], device=DEVICE)
    )
    ones = torch.ones(2, 6, 14, 4, device=DEVICE)
    upstream = Upstream(ones, None, None, ones[..., 0].contiguous(), None)
    request = Request(("linear", "depth"))
    found = launch_render_backward(scene._replace(views=views), request, upstream, frozenset(DIFFERENTIABLE))
    assert all(tensor.isfinite().all() for tensor in found.values())
    assert not found["texture"].any() and not found["vertices"][1].any() and found["vertices"][0].any()
    assert not found["sh"][1].any() and found["background"][1].any()


def test_vertices_that_are_not_numbers_spoil_what_they_spoil_in_the_reference():
    inputs = inputs_of(6)
    inputs["vertices"] = inputs["vertices"].clone()
    inputs["vertices"][0, :5] = torch.nan
    found, exact = (gradients(inputs, ("linear", "depth"), backend) for backend in ("triton", "reference"))
    for name, tensor in exact.items():
        assert bool(found[name].isfinite().all()) == bool(tensor.isfinite().all()), name


def test_upstream_of_any_strides_and_tables_that_are_not_read():
    inputs = inputs_of(5)
    scene = scene_of(inputs)
    linear = upstream_of(torch.empty(2, 5, 13, 4, device=DEVICE))
    found = []
    for gradient in (linear, linear.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)):
        sh = inputs["sh"].clone().requires_grad_()
        prepared = prepare_topology(scene.triangles, inputs["vertices"].shape[1])
        options = {"prepared": prepared, "outputs": ("linear",), "backend": "triton"}
        render(**(inputs | {"sh": sh}), **options).linear.backward(gradient)
        found.append(sh.grad)
    assert torch.equal(*found) and found[0].any()


@pytest.mark.slow
def test_two_runs_are_bit_equal_and_chunks_add_up():
    inputs = inputs_of(8, batch=3)
    scene, request = scene_of(inputs), Request(("linear", "depth"))
    made = render(**inputs, outputs=request.outputs, backend="triton")
    upstream = Upstream(upstream_of(made.linear), None, None, upstream_of(made.depth), None)
    runs = [
        launch_render_backward(scene, request, upstream, frozenset(DIFFERENTIABLE), chunk=chunk)
        for chunk in (None, None, 2)
    ]
    for name in DIFFERENTIABLE:
        assert torch.equal(runs[0][name], runs[1][name]), name
        greatest = float(runs[0][name].abs().max())
        # sums over views: one rounding after each chunk, and steps of texels that follow from fewer views
        torch.testing.assert_close(runs[0][name], runs[2][name], rtol=0, atol=2e-6 * greatest)


@pytest.mark.slow
def test_wanted_alone_is_what_it_is_among_all():
    inputs = inputs_of(6)
    scene, request = scene_of(inputs), Request(("linear",))
    made = render(**inputs, outputs=("linear",), backend="triton")
    given = (upstream_of(made.linear), None, None, None, None, *flat_arguments(scene, request))
    everything = render_backward_op(*given, [True] * len(DIFFERENTIABLE))
    for wanted in ({"texture"}, {"vertices"}, {"sh", "background"}, {"uvs", "up", "exposure"}):
        found = render_backward_op(*given, [name in wanted for name in DIFFERENTIABLE])
        for name, one, other in zip(DIFFERENTIABLE, found, everything, strict=True):
            assert torch.equal(one, other) if name in wanted else one.numel() == 0, name


@pytest.mark.slow
def test_custom_ops_are_registered_soundly():
    scene = scene_of(inputs_of(4, batch=1))
    request = Request(("image", "linear"), "float32", "NCHW")
    arguments = flat_arguments(scene, request)
    torch.library.opcheck(render_op.overload, arguments, test_utils=("test_schema", "test_faketensor"))
    made = render(**inputs_of(4, batch=1), outputs=("linear",), backend="triton").linear
    given = (upstream_of(made), None, None, None, None, *arguments, [True] * len(DIFFERENTIABLE))
    torch.library.opcheck(render_backward_op.overload, given, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.slow
def test_compiled_without_a_graph_break():
    found = []
    torch._dynamo.reset()

    def loss(sh: Tensor, vertices: Tensor) -> Tensor:
        return (
            render(**(inputs | {"sh": sh, "vertices": vertices}), outputs=("linear",), backend="triton")
            .linear.square()
            .sum()
        )

    inputs = inputs_of(5)
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        leaves = [inputs[name].clone().requires_grad_() for name in ("sh", "vertices")]
        function(*leaves).backward()
        found.append([leaf.grad for leaf in leaves])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_gradient_of_a_gradient_is_refused():
    inputs = inputs_of(4, batch=1)
    sh = inputs["sh"].requires_grad_()
    linear = render(**inputs, outputs=("linear",), backend="triton").linear
    (first,) = torch.autograd.grad(linear.sum(), sh, create_graph=True)
    with pytest.raises(RuntimeError, match="render has no second derivative with backend 'triton'"):
        first.sum().backward()
