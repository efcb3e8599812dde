"""The gradients of visibility, from barycentrics and depth to vertices_clip, with numba and Triton.

Their measure is the reference in float64, which has the value of snapped corners and the derivative of unsnapped ones.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import rasterize
from pain3d.kernels.rasterization import kernel_backward
from pain3d.kernels.rasterization.example import example_inputs
from pain3d.kernels.rasterization.triton_op import rasterize_backward
from tests.kernels.gradients import assert_near, gradients, in_float64, upstream_of
from tests.kernels.rooms import device_of
from tests.kernels.test_rasterize_triton import clip_of, soup

DEVICE = device_of("triton")
FAST, EXACT = partial(rasterize, backend="triton"), partial(rasterize, backend="reference")
both = pytest.mark.parametrize("backend", ["cpu", "triton"])
# of the greatest entry. triton, fp32 from exact integers: worst seen 1.7e-7, and a GPU's division may add 2 units in
# the last place; cpu sums in float64 and rounds once
ROUNDING = {"triton": 1e-6, "cpu": 1e-7}


def upstream(inputs: dict[str, Any]) -> list[Tensor]:
    """Random gradients to barycentrics and depth, of any size on background."""
    return upstream_of(rasterize(**inputs, backend="reference"))


def soup_inputs(seed: int, size: tuple[int, int] = (24, 32), device: str = "cpu") -> dict[str, Any]:
    clip, faces = soup(seed)
    return {"vertices_clip": clip.to(device), "faces": faces.to(device), "size": size, "cull": False}


def on(device: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()}


def assert_is_the_references(inputs: dict[str, Any], backend: str) -> None:
    weights = upstream(inputs)
    exact = gradients(EXACT, in_float64(inputs), ["vertices_clip"], weights)
    there = on(device_of(backend), inputs)
    weights = [part.to(device_of(backend)) for part in weights]
    found = gradients(partial(rasterize, backend=backend), there, ["vertices_clip"], weights)
    found, exact = ({"vertices_clip": slopes["vertices_clip"].cpu()} for slopes in (found, exact))
    assert not found["vertices_clip"][..., 2].any()
    # x and y per unit of w: thousands of times as large as w's own; each is held to its own greatest entry
    for part in (slice(0, 2), slice(3, 4)):
        assert_near(*({"vertices_clip": slopes["vertices_clip"][..., part]} for slopes in (found, exact)),
                    allowed=ROUNDING[backend])  # fmt: skip


@both
@pytest.mark.parametrize("seed", range(2))
def test_a_head_like_mesh_and_a_soup_of_all_sizes(backend: str, seed: int):
    assert_is_the_references(example_inputs(2, seed=seed), backend)
    assert_is_the_references(soup_inputs(seed), backend)


@both
@pytest.mark.parametrize(("faces", "size"), [(1, (37, 5)), (300, (1, 29)), (3, (45, 43))])
def test_odd_sizes(backend: str, faces: int, size: tuple[int, int]):
    clip, corners = soup(faces, count=faces, views=3)
    assert_is_the_references({"vertices_clip": clip, "faces": corners.int(), "size": size, "cull": False}, backend)


@both
@pytest.mark.parametrize("nothing", ["views", "faces", "vertices", "pixels"])
def test_nothing_to_draw(backend: str, nothing: str):
    inputs = on(device_of(backend), soup_inputs(0))
    if nothing == "views":
        inputs["vertices_clip"] = inputs["vertices_clip"][:0]
    elif nothing == "pixels":
        inputs["size"] = (0, 7)
    else:
        inputs["faces"] = inputs["faces"][:0]
    if nothing == "vertices":
        inputs["vertices_clip"] = inputs["vertices_clip"][:, :0]
    found = gradients(partial(rasterize, backend=backend), inputs, ["vertices_clip"])["vertices_clip"]
    assert found.shape == inputs["vertices_clip"].shape and not found.any()


@both
def test_two_runs_are_bit_equal_and_a_view_alone_has_the_same_bits(backend: str):
    inputs = soup_inputs(3, device=device_of(backend))
    op = partial(rasterize, backend=backend)
    weights = upstream(inputs)
    first, second = (gradients(op, inputs, ["vertices_clip"], weights)["vertices_clip"] for _ in range(2))
    alone = inputs | {"vertices_clip": inputs["vertices_clip"][1:]}
    single = gradients(op, alone, ["vertices_clip"], [part[1:] for part in weights])["vertices_clip"]
    assert torch.equal(first, second) and torch.equal(first[1:], single)


def test_any_number_of_threads_gives_the_same_bits():
    inputs, before = soup_inputs(3), torch.get_num_threads()
    op, weights = partial(rasterize, backend="cpu"), upstream(inputs)
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(gradients(op, inputs, ["vertices_clip"], weights)["vertices_clip"])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_double_precision_on_the_cpu_is_the_references():
    inputs = in_float64(soup_inputs(2))
    weights = upstream(inputs)
    found, exact = (
        gradients(partial(rasterize, backend=backend), inputs, ["vertices_clip"], weights)["vertices_clip"]
        for backend in ("cpu", "reference")
    )
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-13 * float(exact.abs().max()))  # float64 throughout


@both
def test_background_and_dropped_faces_take_no_gradient(backend: str):
    corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.5], [0.9, 0.9], [0.9, -0.9], [-0.9, 0.9]])
    clip = clip_of(corners).to(device_of(backend)).requires_grad_()
    with torch.no_grad():
        clip[0, 3, 3] = -1.0
        clip[0, 4, 0] = torch.nan
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]], device=clip.device)
    found = rasterize(clip, faces, (16, 16), backend=backend)
    seen = found.face_ids >= 0
    assert seen.any() and not seen.all()
    nothing = torch.full_like(found.barycentrics, torch.nan)
    weights = [torch.where(seen[..., None], 1.5, nothing), torch.where(seen, 1.0, nothing[..., 0])]
    (slope,) = torch.autograd.grad([found.barycentrics, found.depth], clip, weights)
    assert slope[0, :3].isfinite().all() and slope[0, :3].any() and not slope[0, 3:].any()


@both
@pytest.mark.parametrize("part", [0, 1])
def test_one_gradient_alone(backend: str, part: int):
    inputs = soup_inputs(1, device=device_of(backend))
    weights = [torch.zeros_like(weight) if place != part else weight for place, weight in enumerate(upstream(inputs))]
    expected = gradients(partial(rasterize, backend=backend), inputs, ["vertices_clip"], weights)
    leaf = inputs["vertices_clip"].requires_grad_()
    result = rasterize(**inputs, backend=backend)[1 + part]
    (found,) = torch.autograd.grad(result, leaf, weights[part])
    torch.testing.assert_close(found, expected["vertices_clip"], rtol=0, atol=0)


def test_a_gradient_of_any_stride_has_the_same_bits():
    inputs = soup_inputs(1, device=DEVICE)
    weights = upstream(inputs)
    expected = gradients(FAST, inputs, ["vertices_clip"], weights)["vertices_clip"]
    turned = [weight.transpose(1, 2).contiguous().transpose(1, 2) for weight in weights]
    inputs["faces"] = inputs["faces"].t().contiguous().t()
    assert torch.equal(gradients(FAST, inputs, ["vertices_clip"], turned)["vertices_clip"], expected)


def test_views_in_chunks(monkeypatch: pytest.MonkeyPatch):
    inputs = soup_inputs(5, device=DEVICE)
    weights = upstream(inputs)
    whole = gradients(FAST, inputs, ["vertices_clip"], weights)["vertices_clip"]
    monkeypatch.setattr(kernel_backward, "BYTES", 1)
    assert torch.equal(gradients(FAST, inputs, ["vertices_clip"], weights)["vertices_clip"], whole)


@both
def test_a_second_derivative_is_refused(backend: str):
    inputs = example_inputs(0, device_of(backend))
    leaf = inputs["vertices_clip"].requires_grad_()
    result = rasterize(**inputs, backend=backend).barycentrics
    (slope,) = torch.autograd.grad(result.square().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match=r"second derivative|once_differentiable"):
        slope.sum().backward()


def test_custom_ops_are_registered_soundly():
    inputs = example_inputs(0, DEVICE)
    clip, faces, size = inputs["vertices_clip"], inputs["faces"], inputs["size"]
    face_ids = rasterize(**inputs).face_ids
    weights = [weight.to(DEVICE) for weight in upstream(inputs)]
    for given in (weights, [weights[0], None], [None, weights[1]]):
        torch.library.opcheck(torch.ops.pain3d.rasterize_backward.default, (*given, clip, faces, face_ids))
    # The fourth check adds all results to the first, whole numbers here, and fails; with compile, see the next test.
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    given = (clip.requires_grad_(), faces, *size, True)
    torch.library.opcheck(torch.ops.pain3d.rasterize.default, given, test_utils=checks)
    assert not rasterize_backward(None, None, clip.detach(), faces, face_ids).any()


def test_compiled_with_its_backward_pass():
    inputs = example_inputs(1, DEVICE)
    expected = gradients(FAST, inputs, ["vertices_clip"])["vertices_clip"]
    torch._dynamo.reset()
    compiled = torch.compile(FAST, fullgraph=True, backend="aot_eager")
    assert torch.equal(gradients(compiled, inputs, ["vertices_clip"])["vertices_clip"], expected)
