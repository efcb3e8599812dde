"""The gradients of deformation and normals with numba and Triton, against the reference's in float64."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pain3d.kernels import deform, vertex_normals
from pain3d.kernels.deformation import deform_pairs, planar_basis
from pain3d.kernels.deformation.backward_op import deform_backward, deform_pairs_backward, vertex_normals_backward
from pain3d.kernels.deformation.bundles import Skinning
from pain3d.kernels.deformation.example import example_inputs
from pain3d.kernels.deformation.kernel_backward import launch_to_weights
from tests.kernels.gradients import assert_near, gradients, in_float64, upstream_of
from tests.kernels.rooms import deform_pairs_inputs, device_of, normals_inputs
from tests.kernels.test_deform_triton import random_inputs

DEVICE = device_of("triton")
BACKENDS = ("cpu", "triton")
both = pytest.mark.parametrize("backend", BACKENDS)
LEARNT = ("template", "basis", "coefficients", "skin_weights", "joint_transforms")
PAIRS = ("shaped", "offsets", "skin_weights", "joint_transforms")
# of the greatest entry of a gradient, fp32: worst seen 4e-7 (transforms: sums over all vertices of a joint)
ROUNDING = 2e-6
NORMALS = 2e-6  # likewise, worst seen 2e-7 on a sphere; more where the crosses around a vertex cancel


def on(backend: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to(device_of(backend)) for name, value in inputs.items()}


def assert_is_the_references(op: Any, inputs: dict[str, Any], names: tuple[str, ...], backend: str) -> None:
    there = on(backend, inputs)
    exact = gradients(partial(op, backend="reference"), in_float64(there), names)
    assert_near(gradients(partial(op, backend=backend), there, names), exact, ROUNDING)


@both
@settings(max_examples=10)
@given(
    batch=st.integers(0, 70),
    count=st.integers(0, 70),
    shapes=st.integers(0, 70),
    width=st.integers(0, 5),
    joints=st.integers(1, 7),
    templates=st.integers(1, 4),
    skinned=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_size(
    backend: str, batch: int, count: int, shapes: int, width: int, joints: int, templates: int, skinned: bool, seed: int
):
    inputs = random_inputs(batch, count, shapes, width, joints, templates, seed)
    if not skinned:
        inputs = {name: value for name, value in inputs.items() if "joint" not in name and "skin" not in name}
    assert_is_the_references(deform, inputs, LEARNT if skinned else LEARNT[:3], backend)


@both
@pytest.mark.parametrize("templates", [1, 5])
def test_templates_without_an_index(backend: str, templates: int):
    inputs = random_inputs(5, 33, 7, templates=templates)
    del inputs["template_index"]
    assert_is_the_references(deform, inputs, LEARNT, backend)
    bare = {name: inputs[name] for name in LEARNT[:3]}
    assert_is_the_references(deform, bare, LEARNT[:3], backend)


@both
@pytest.mark.parametrize("skinned", [False, True])
def test_pairs(backend: str, skinned: bool):
    inputs = deform_pairs_inputs()
    if not skinned:
        inputs = {name: value for name, value in inputs.items() if "joint" not in name and "skin" not in name}
    assert_is_the_references(deform_pairs, inputs, PAIRS if skinned else PAIRS[:2], backend)


@both
@settings(max_examples=10)
@given(
    batch=st.integers(0, 3),
    count=st.integers(1, 40),
    faces=st.integers(0, 90),
    wide=st.booleans(),
    seed=st.integers(0, 1000),
)
@example(batch=2, count=2, faces=6, wide=False, seed=1)  # no face has an area
def test_normals_of_any_mesh(backend: str, batch: int, count: int, faces: int, wide: bool, seed: int):
    """Faces at random: some touch a vertex twice, and have no area."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {
        "vertices": torch.randn(batch, count, 3, generator=generator),
        "faces": torch.randint(count, (faces, 3), generator=generator, dtype=torch.int64 if wide else torch.int32),
    }
    there = on(backend, inputs)
    lengths = torch.ones(())
    if faces and batch:  # gradients grow as 1 / |sum|, and with them what rounding of the sum does to its direction
        corners = there["vertices"].double()[:, there["faces"].long()]
        crossed = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        sums = torch.zeros(batch, count, 3, dtype=torch.float64, device=crossed.device)
        sizes = sums[..., 0].clone()
        for corner in range(3):
            sums.index_add_(1, there["faces"][:, corner].long(), crossed)
            sizes.index_add_(1, there["faces"][:, corner].long(), crossed.norm(dim=-1))
        lengths = (sizes / sums.norm(dim=-1).clamp(min=1e-9)).max()
    exact = gradients(partial(vertex_normals, backend="reference"), in_float64(there), ["vertices"])
    found = gradients(partial(vertex_normals, backend=backend), there, ["vertices"])
    assert_near(found, exact, NORMALS * float(lengths.clamp(min=1)))


@both
def test_normals_of_a_sphere(backend: str):
    inputs = on(backend, normals_inputs(2))
    exact = gradients(partial(vertex_normals, backend="reference"), in_float64(inputs), ["vertices"])
    assert_near(gradients(partial(vertex_normals, backend=backend), inputs, ["vertices"]), exact, 1e-6)


CASES = [
    pytest.param(deform, example_inputs(), LEARNT, id="deform"),
    pytest.param(deform_pairs, deform_pairs_inputs(), PAIRS, id="deform_pairs"),
    pytest.param(vertex_normals, normals_inputs(), ("vertices",), id="vertex_normals"),
]
every_op = pytest.mark.parametrize(("op", "inputs", "names"), CASES)


@both
@every_op
def test_two_runs_are_bit_equal(op: Any, inputs: dict[str, Any], names: tuple[str, ...], backend: str):
    first, second = (gradients(partial(op, backend=backend), on(backend, inputs), names) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in names)


@every_op
def test_any_number_of_threads_gives_the_same_bits(op: Any, inputs: dict[str, Any], names: tuple[str, ...]):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(gradients(partial(op, backend="cpu"), inputs, names))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0][name], found[1][name]) for name in names)


@both
@every_op
def test_only_what_is_wanted_is_computed(op: Any, inputs: dict[str, Any], names: tuple[str, ...], backend: str):
    fast, there = partial(op, backend=backend), on(backend, inputs)
    together = gradients(fast, there, names)
    for name in names:
        assert torch.equal(gradients(fast, there, [name])[name], together[name])


@both
@every_op
def test_a_gradient_of_any_stride_has_the_same_bits(
    op: Any, inputs: dict[str, Any], names: tuple[str, ...], backend: str
):
    fast, there = partial(op, backend=backend), on(backend, inputs)
    upstream = upstream_of(fast(**there))
    expected = gradients(fast, there, names, upstream)
    turned = [upstream[0].permute(2, 0, 1).contiguous().permute(1, 2, 0)]
    strided = {name: torch.stack([value, value], -1)[..., 0] for name, value in there.items()}
    for inputs_ in (there, strided):
        found = gradients(fast, inputs_, names, turned)
        assert all(torch.equal(found[name], expected[name]) for name in names)


@both
def test_a_mesh_alone_has_the_same_bits(backend: str):
    """Of what is computed for each mesh; products of matrices with Triton are torch's."""
    inputs, names = on(backend, example_inputs()), ["joint_transforms"]
    fast = partial(deform, backend=backend)
    upstream = upstream_of(fast(**inputs))
    batched = ("coefficients", "joint_transforms", "template_index")
    alone = inputs | {name: inputs[name][1:2] for name in batched}
    names += ["coefficients"] if backend == "cpu" else []
    whole = gradients(fast, inputs, names, upstream)
    single = gradients(fast, alone, names, [upstream[0][1:2]])
    assert all(torch.equal(single[name][0], whole[name][1]) for name in names)
    normals, vertices = partial(vertex_normals, backend=backend), on(backend, normals_inputs())
    upstream = upstream_of(normals(**vertices))
    whole = gradients(normals, vertices, ["vertices"], upstream)
    one = vertices | {"vertices": vertices["vertices"][1:]}
    assert torch.equal(gradients(normals, one, ["vertices"], [upstream[0][1:]])["vertices"], whole["vertices"][1:])


@both
def test_a_planar_basis_has_the_same_gradients(backend: str):
    inputs = on(backend, random_inputs(3, 20, 11))
    exact = gradients(partial(deform, backend="reference"), in_float64(inputs), LEARNT)
    planar = inputs | {"basis": planar_basis(inputs["basis"])}
    assert_near(gradients(partial(deform, backend=backend), planar, LEARNT), exact, ROUNDING)


@both
@every_op
def test_a_second_derivative_is_refused(op: Any, inputs: dict[str, Any], names: tuple[str, ...], backend: str):
    there = on(backend, inputs)
    leaf = there[names[0]].requires_grad_()
    try:
        result = op(**there, backend=backend)
        (slope,) = torch.autograd.grad(result.square().sum(), leaf, create_graph=True)
        with pytest.raises(RuntimeError, match=r"second derivative|once_differentiable"):
            slope.sum().backward()
    finally:
        leaf.requires_grad_(False)


def test_indices_out_of_range_take_no_gradient():
    """On a CUDA device op.py can't look at them."""
    inputs = random_inputs(4, 40, 3, templates=2)
    inputs["template_index"] = torch.tensor([0, -1, 2, 1 << 40], device=DEVICE)
    joints = inputs["skin_joints"]
    joints[:, 0], joints[:20, 1] = -5, 3
    upstream = torch.randn(4, 40, 3, device=DEVICE)
    order = (*LEARNT[:3], "skin_joints", "skin_weights", "joint_transforms", "template_index")
    found = deform_backward(upstream, *(inputs[name] for name in order), "fp32", [True] * 5)
    outside = (joints < 0) | (joints > 2)
    assert not found[3][outside].any() and found[3][~outside].any()
    known = inputs | {"skin_joints": joints.clamp(0, 2)}
    known["skin_weights"] = inputs["skin_weights"].where(~outside, 0)
    first = {name: known[name][:1] if name in ("coefficients", "joint_transforms", "template_index") else known[name]
             for name in known}  # fmt: skip
    exact = gradients(partial(deform, backend="reference"), in_float64(first), LEARNT, [upstream[:1]])
    assert_near({"template": found[0]}, exact, ROUNDING)
    assert_near({"joint_transforms": found[4][:1]}, exact, ROUNDING)

    vertices = torch.randn(2, 4, 3, device=DEVICE)
    faces = torch.tensor([[0, 1, 2], [1, 2, 4], [-1, 0, 2], [3, 1 << 30, 0]], dtype=torch.int32, device=DEVICE)
    wanted = torch.randn(2, 4, 3, device=DEVICE)
    slopes = vertex_normals_backward(wanted, vertices, faces)
    assert torch.equal(slopes, vertex_normals_backward(wanted, vertices, faces[:1])) and not slopes[:, 3].any()


def test_weights_are_summed_over_slices_of_meshes():
    inputs = random_inputs(9, 20, 0, width=3, joints=2)
    gradient, shaped = torch.randn(2, 9, 20, 3, device=DEVICE)
    skinning = Skinning(inputs["skin_joints"], inputs["skin_weights"], inputs["joint_transforms"])
    whole = launch_to_weights(gradient, shaped, skinning)
    for meshes in (1, 4):
        torch.testing.assert_close(launch_to_weights(gradient, shaped, skinning, meshes=meshes), whole, rtol=0,
                                   atol=1e-5)  # of sums up to 20, in another order  # fmt: skip


def test_custom_ops_are_registered_soundly():
    inputs = {name: value.to(DEVICE) for name, value in example_inputs(0).items()}
    skinning = (inputs["skin_joints"], inputs["skin_weights"], inputs["joint_transforms"])
    shapes, nothing = (inputs["template"], inputs["basis"], inputs["coefficients"]), (None, None, None)
    upstream = torch.randn(4, 12, 3, device=DEVICE)
    ops, index = torch.ops.pain3d, inputs["template_index"]
    check = torch.library.opcheck
    check(ops.deform_backward.default, (upstream, *shapes, *skinning, index, "fp32", [True] * 5))
    own = shapes[0][index]
    check(ops.deform_backward.default,
          (upstream, own, *shapes[1:], *nothing, None, "tf32", [True, False, True, False, False]))  # fmt: skip
    pairs = tuple(value.to(DEVICE) for value in deform_pairs_inputs(0).values())
    check(ops.deform_pairs_backward.default, (upstream, *pairs, [False, True, True, False]))
    mesh = tuple(value.to(DEVICE) for value in normals_inputs(0).values())
    check(ops.vertex_normals_backward.default, (torch.randn_like(mesh[0]), *mesh))
    for name in LEARNT:
        inputs[name].requires_grad_()
    check(ops.deform.default, (*shapes, *skinning, index, "fp32"))
    check(ops.vertex_normals.default, (mesh[0].requires_grad_(), mesh[1]))
    pairs[0].requires_grad_(), pairs[6].requires_grad_()
    check(ops.deform_pairs.default, pairs)
    assert deform_pairs_backward(upstream, *pairs, [False] * 4)[0].shape == (0,)


@every_op
def test_compiled_with_its_backward_pass(op: Any, inputs: dict[str, Any], names: tuple[str, ...]):
    fast, there = partial(op, backend="triton"), on("triton", inputs)
    expected = gradients(fast, there, names)
    torch._dynamo.reset()
    found = gradients(torch.compile(fast, fullgraph=True, backend="aot_eager"), there, names)
    assert all(torch.equal(found[name], expected[name]) for name in names)
