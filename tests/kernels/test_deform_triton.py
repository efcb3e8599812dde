"""The Triton backend of the room `deformation` beyond the common contract: odd sizes, precision, layout, pairs."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d import Head
from pain3d.kernels import deform, vertex_normals
from pain3d.kernels.deformation import deform_pairs, planar_basis
from pain3d.kernels.deformation.bundles import Skinning
from pain3d.kernels.deformation.example import example_inputs, example_sphere
from pain3d.kernels.deformation.kernel import Points, Tile, launch_deform, launch_normals, vertex_faces
from pain3d.kernels.deformation.layout import is_planar
from pain3d.kernels.deformation.triton_op import deform_pairs_triton, deform_triton, vertex_normals_triton
from tests.kernels.rooms import deform_pairs_inputs, device_of

DEVICE = device_of("triton")
SMALL = Tile(16, 16, shapes=16, warps=4)
ROUNDING = 5e-7  # metres, of meshes within 1 m of the origin: worst seen 1.6e-7, three units in the last place of 0.5 m


def random_inputs(
    batch: int, count: int, shapes: int, width: int = 2, joints: int = 3, templates: int = 1, seed: int = 0
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    transforms = torch.eye(4).repeat(batch, joints, 1, 1)
    transforms[..., :3, :] += 0.1 * torch.randn(batch, joints, 3, 4, generator=generator)
    weights = torch.rand(count, width, generator=generator) + 0.1
    inputs = {
        "template": 0.3 * torch.randn(templates, count, 3, generator=generator).clamp(-2, 2),
        "basis": 0.003 * torch.randn(shapes, count, 3, generator=generator),
        "coefficients": torch.randn(batch, shapes, generator=generator),
        "skin_joints": torch.randint(joints, (count, width), generator=generator, dtype=torch.int32),
        "skin_weights": weights / weights.sum(1, keepdim=True),
        "joint_transforms": transforms,
        "template_index": torch.randint(templates, (batch,), generator=generator),
    }
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


def in_float64(inputs: dict[str, Any]) -> Tensor:
    doubled = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    return deform(**doubled, backend="reference")


def worst(result: Tensor, expected: Tensor) -> float:
    assert result.shape == expected.shape
    return float((result.double() - expected).abs().max()) if result.numel() else 0.0


def shaped_by(tile: Tile, inputs: dict[str, Any]) -> Tensor:
    """World vertices by the launcher, with a tile of our own."""
    out = torch.full((len(inputs["coefficients"]), inputs["basis"].shape[1], 3), torch.nan, device=DEVICE)
    launch_deform(
        out,
        Points(inputs["template"], inputs["template_index"]),
        basis=inputs["basis"],
        coefficients=inputs["coefficients"],
        skinning=Skinning(inputs["skin_joints"], inputs["skin_weights"], inputs["joint_transforms"]),
        tile=tile,
    )
    return out


@pytest.mark.parametrize(
    ("batch", "count", "shapes", "width", "templates"),
    [(1, 1, 1, 1, 1), (1, 33, 67, 5, 1), (3, 31, 0, 3, 2), (65, 65, 5, 4, 7), (130, 20, 33, 1, 130), (2, 129, 4, 0, 2)],
)
def test_sizes_that_are_no_multiple_of_a_tile(batch: int, count: int, shapes: int, width: int, templates: int):
    inputs = random_inputs(batch, count, shapes, width, templates=templates)
    assert worst(deform(**inputs, backend="triton"), in_float64(inputs)) < ROUNDING
    del inputs["template_index"]
    inputs["template"] = inputs["template"][:1]
    assert worst(deform(**inputs, backend="triton"), in_float64(inputs)) < ROUNDING


@settings(max_examples=12)
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
    batch: int, count: int, shapes: int, width: int, joints: int, templates: int, skinned: bool, seed: int
):
    inputs = random_inputs(batch, count, shapes, width, joints, templates, seed)
    if not skinned:
        inputs |= dict.fromkeys(("skin_joints", "skin_weights", "joint_transforms"))
        inputs = {name: value for name, value in inputs.items() if value is not None}
    assert worst(deform(**inputs, backend="triton"), in_float64(inputs)) < ROUNDING


def test_more_meshes_than_a_band():
    """Programs are numbered in bands of 32 tiles of meshes: one band and a bit, two tiles of vertices."""
    inputs = random_inputs(16 * 33 + 3, 20, 3, width=1, joints=1)
    assert worst(shaped_by(SMALL, inputs), in_float64(inputs)) < ROUNDING


def test_order_and_size_of_the_batch_change_nothing():
    inputs = random_inputs(100, 70, 40, templates=5)
    whole = deform(**inputs, backend="triton")
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    batched = ("coefficients", "joint_transforms", "template_index")
    turned = inputs | {name: inputs[name][order] for name in batched}
    assert torch.equal(deform(**turned, backend="triton"), whole[order])
    for start, end in ((0, 1), (3, 67), (36, 100)):  # below and above 64 meshes another tile is chosen
        part = inputs | {name: inputs[name][start:end] for name in batched}
        assert torch.equal(deform(**part, backend="triton"), whole[start:end])


def test_result_does_not_depend_on_the_layout_of_the_basis(monkeypatch: pytest.MonkeyPatch):
    def no_copy(basis: Tensor) -> Tensor:
        raise AssertionError("a planar basis was copied")

    inputs = random_inputs(3, 50, 67)
    plain = deform(**inputs, backend="triton")
    planar = planar_basis(inputs["basis"])
    assert torch.equal(planar, inputs["basis"])
    monkeypatch.setattr(sys.modules["pain3d.kernels.deformation.kernel"], "planar_basis", no_copy)
    assert torch.equal(deform(**(inputs | {"basis": planar}), backend="triton"), plain)
    fewer = inputs | {"coefficients": inputs["coefficients"][:, :33].contiguous()}
    expected = in_float64(fewer | {"basis": inputs["basis"][:33]})
    assert worst(deform(**(fewer | {"basis": planar[:33]}), backend="triton"), expected) < ROUNDING
    with pytest.raises(AssertionError, match="was copied"):
        deform(**inputs, backend="triton")


def test_what_counts_as_planar():
    basis = torch.randn(10, 6, 3)
    planar = planar_basis(basis)
    assert is_planar(planar) and is_planar(planar[:7]) and is_planar(planar[:, 2:5])
    assert not is_planar(basis)
    assert not is_planar(planar[1:]), "rows that begin between two quads"
    assert not is_planar(torch.randn(3, 6, 10).permute(2, 1, 0)), "rows of 10 floats: not all on 16 bytes"
    bare = torch.randn(3 * 6 * 12 - 2).as_strided((10, 6, 3), (1, 12, 72))
    assert not is_planar(bare), "the last quad reaches behind the end of the memory"
    assert not is_planar(planar_basis(basis.double()))
    assert planar_basis(basis[:0]).shape == (0, 6, 3) and not is_planar(planar_basis(basis[:0]))


def test_nothing_to_do():
    inputs = random_inputs(3, 5, 2)
    for batch, count in ((0, 5), (3, 0), (0, 0)):
        empty = random_inputs(batch, count, 2)
        assert deform(**empty, backend="triton").shape == (batch, count, 3)
        assert vertex_normals(torch.zeros(batch, count, 3, device=DEVICE), empty["skin_joints"].new_zeros(0, 3),
                              backend="triton").shape == (batch, count, 3)  # fmt: skip
    bare = {name: inputs[name] for name in ("template", "coefficients", "basis")}
    bare |= {"coefficients": bare["coefficients"][:, :0], "basis": bare["basis"][:0]}
    assert torch.equal(deform(**bare, backend="triton"), inputs["template"].expand(3, -1, -1))


def test_indices_out_of_range_are_not_read():
    """On a CUDA device op.py can't look at them."""
    inputs = random_inputs(4, 40, 3, templates=2)
    inputs["template_index"] = torch.tensor([0, -1, 2, 1 << 40], device=DEVICE)
    joints = inputs["skin_joints"]
    joints[:, 0], joints[:20, 1] = -5, 3
    names = ("template", "basis", "coefficients", "skin_joints", "skin_weights", "joint_transforms", "template_index")
    result = deform_triton(*(inputs[name] for name in names), "fp32")
    known = inputs | {"skin_joints": joints.clamp(0, 2), "template_index": torch.tensor([0, 0, 0, 0], device=DEVICE)}
    known["skin_weights"] = inputs["skin_weights"].where((joints >= 0) & (joints < 3), 0)
    expected = in_float64(known)
    assert worst(result[0], expected[0]) < ROUNDING
    assert result[:, :20].abs().max() == 0
    known["template"] = torch.zeros_like(inputs["template"])
    assert worst(result[1:], in_float64(known)[1:]) < ROUNDING

    pairs = deform_pairs_inputs(device=DEVICE)
    pairs["offset_index"] = torch.tensor([6, -1, 100, 0], dtype=torch.int32, device=DEVICE)
    result = deform_pairs_triton(*pairs.values())
    expected = deform_pairs(**(pairs | {"offsets": pairs["offsets"] * 0, "offset_index": pairs["offset_index"] * 0}))
    torch.testing.assert_close(result[:3], expected[:3], rtol=0, atol=2e-7)


def truncated(value: Tensor) -> Tensor:
    """What a tensor core reads of a float32 in TF32."""
    return (value.contiguous().view(torch.int32) & -(1 << 13)).view(torch.float32)


def towards_zero(value: Tensor) -> Tensor:
    single = value.float()
    return torch.where(single.double().abs() > value.abs(), torch.nextafter(single, torch.zeros_like(single)), single)


def tensor_core_product(a: Tensor, b: Tensor, exact: bool) -> Tensor:
    """The kernel's matrix product as hardware does it: 8 products at a time, each step's sum cut to float32."""
    total = torch.zeros(len(a), b.shape[1])
    a_high, b_high = truncated(a), truncated(b)
    pairs = [(a - a_high, b_high), (a_high, b - b_high), (a_high, b_high)] if exact else [(a, b)]
    for first in range(0, len(b), 32):
        for left, right in pairs:
            for k in range(first, min(first + 32, len(b)), 8):
                step = truncated(left[:, k : k + 8]).double() @ truncated(right[k : k + 8]).double()
                total = towards_zero(total.double() + step)
    return total


def head_inputs(batch: int) -> dict[str, Tensor]:
    """Identities, and expressions with every unit between 0 and 1, beyond any real face; every 8th vertex."""
    head = Head.default()
    identities = head.identity_vector([head.sample_identity(0, person) for person in range(batch)])
    generator = torch.Generator().manual_seed(0)
    expressions = torch.rand(batch, len(head.expression_basis), generator=generator)
    return {
        "template": head.template[None, ::8],
        "basis": torch.cat([head.identity_basis, head.expression_basis])[:, ::8],
        "coefficients": torch.cat([identities, expressions], 1),
    }


# worst seen in 32 meshes, all vertices, emulated: 1.4e-7 m; 1.14e-4 m (identity alone 4.1e-5, expression alone 1.13e-4)
HEAD_ERRORS = pytest.mark.parametrize(("precision", "allowed"), [("fp32", 3e-7), ("tf32", 2e-4)])


@HEAD_ERRORS
def test_error_at_head_scale_on_emulated_tensor_cores(precision: str, allowed: float):
    inputs = head_inputs(8)
    product = tensor_core_product(inputs["coefficients"], inputs["basis"].flatten(1), precision == "fp32")
    result = inputs["template"] + product.reshape(8, -1, 3)
    error = worst(result, in_float64(inputs))
    assert error < allowed
    if precision == "tf32":
        assert error > 1e-6, "the emulation cuts nothing"


@HEAD_ERRORS
def test_error_at_head_scale(precision: str, allowed: float):
    inputs = {name: tensor.to(DEVICE) for name, tensor in head_inputs(8).items()}
    inputs["basis"] = planar_basis(inputs["basis"])
    assert worst(deform(**inputs, precision=precision, backend="triton"), in_float64(inputs)) < allowed


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be one of fp32, tf32, got 'bf16'"):
        deform(**example_inputs(0), precision="bf16")


@pytest.mark.parametrize("backend", ["reference", "cpu", "triton"])
def test_pairs_equal_the_sum_of_their_parts(backend: str):
    """The cross product of 2 identities and 3 expressions, as the docstring has it."""
    device = DEVICE if backend == "triton" else "cpu"
    inputs = {name: tensor.to(device) for name, tensor in random_inputs(6, 45, 9).items()}
    template, basis, coefficients = inputs["template"], inputs["basis"], inputs["coefficients"]
    shaped = deform(template, basis[:5], coefficients[:2, :5], backend=backend)
    offsets = deform(torch.zeros_like(template), basis[5:], coefficients[:3, 5:], backend=backend)
    pairs = torch.cartesian_prod(torch.arange(2, device=device), torch.arange(3, device=device))
    skinning = (inputs["skin_joints"], inputs["skin_weights"], inputs["joint_transforms"])
    result = deform_pairs(shaped, offsets, *pairs.unbind(1), *skinning, backend=backend)
    added = shaped[pairs[:, 0]] + offsets[pairs[:, 1]]
    nothing = (basis[:0], coefficients[:, :0])
    assert torch.equal(result, deform(added, *nothing, *skinning, backend=backend))
    whole = torch.cat([coefficients[pairs[:, 0], :5], coefficients[pairs[:, 1], 5:]], 1)
    assert worst(result, in_float64(inputs | {"coefficients": whole})) < ROUNDING
    unskinned = deform_pairs(shaped, offsets, *pairs.int().unbind(1), backend=backend)
    assert torch.equal(unskinned, added)


def test_faces_of_each_vertex():
    faces = torch.tensor([[2, 0, 1], [0, 0, 3], [-1, 0, 9], [1, 2, 5]], device=DEVICE)
    for dtype in (torch.int32, torch.int64):
        starts, members = vertex_faces(faces.to(dtype), 6)
        assert starts.dtype == members.dtype == torch.int32 and len(members) == 12
        around = [members[starts[v] : starts[v + 1]].tolist() for v in range(6)]
        assert around == [[0, 1, 1, 2], [0, 3], [0, 3], [1], [], [3]]


@pytest.mark.parametrize(("meshes", "block"), [(1, 16), (4, 64), (8, 32)])
def test_normals_for_odd_sizes(meshes: int, block: int):
    points, faces = example_sphere(1)
    generator = torch.Generator().manual_seed(0)
    vertices = (points * (1 + 0.2 * torch.rand(5, len(points), 1, generator=generator))).to(DEVICE)
    faces = faces[torch.randperm(len(faces), generator=generator)].long().to(DEVICE)
    single = vertices.float()
    normals = launch_normals(single, faces, *vertex_faces(faces, len(points)), meshes=meshes, block=block)
    # worst seen 1.8e-7
    torch.testing.assert_close(normals.double(), vertex_normals(single.double(), faces), rtol=0, atol=1e-6)
    assert torch.equal(vertex_normals(single.flip(0), faces, backend="triton"), normals.flip(0))


def test_a_face_with_an_index_out_of_range_has_no_normal():
    vertices = torch.randn(2, 4, 3, device=DEVICE)
    faces = torch.tensor([[0, 1, 2], [1, 2, 4], [-1, 0, 2], [3, 1 << 30, 0]], dtype=torch.int32, device=DEVICE)
    normals = vertex_normals_triton(vertices, faces)
    assert torch.equal(normals, vertex_normals(vertices, faces[:1], backend="triton"))
    assert (normals[:, 3] == 0).all()


def test_custom_ops_keep_their_promises():
    inputs = example_inputs(0, DEVICE)
    skinning = (inputs["skin_joints"], inputs["skin_weights"], inputs["joint_transforms"])
    shapes = (inputs["template"], inputs["basis"], inputs["coefficients"])
    points, faces = example_sphere(0)
    nothing = (None, None, None)
    ops = torch.ops.pain3d
    torch.library.opcheck(ops.deform.default, (*shapes, *skinning, inputs["template_index"], "fp32"))
    torch.library.opcheck(ops.deform.default, (inputs["template"][:1], *shapes[1:], *nothing, None, "tf32"))
    torch.library.opcheck(ops.deform_pairs.default, tuple(deform_pairs_inputs(0, DEVICE).values()))
    torch.library.opcheck(ops.vertex_normals.default, (points.float()[None].to(DEVICE), faces.to(DEVICE)))


@pytest.mark.skipif(DEVICE != "cuda", reason="the interpreter has no device to wait for")
def test_nothing_waits_for_the_device():
    inputs = random_inputs(70, 90, 10)
    faces = torch.randint(90, (50, 3), device=DEVICE)

    def everything() -> None:
        vertices = deform(**inputs, backend="triton")
        deform_pairs(vertices, vertices, inputs["template_index"], inputs["template_index"], backend="triton")
        vertex_normals(vertices, faces, backend="triton")

    everything()
    torch.cuda.set_sync_debug_mode("error")
    try:
        everything()
    finally:
        torch.cuda.set_sync_debug_mode("default")
