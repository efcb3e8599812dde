"""The gradients of interpolation with Triton, and how pixels are summed for faces and vertices."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import interpolate
from pain3d.kernels._groups import group
from pain3d.kernels.interpolation import kernel_backward
from pain3d.kernels.interpolation.example import example_inputs
from pain3d.kernels.interpolation.kernel_backward import launch_corner_sums
from pain3d.kernels.interpolation.kernel_gather import UNSEEN, Walk, launch_boxes, launch_gather
from pain3d.kernels.interpolation.triton_op import interpolate_backward
from tests.kernels.gradients import assert_near, gradients, in_float64, upstream_of
from tests.kernels.rooms import device_of
from tests.kernels.test_interpolate_triton import drawn

DEVICE = device_of("triton")
LEARNT = ("attributes", "barycentrics")
FAST, EXACT = partial(interpolate, backend="triton"), partial(interpolate, backend="reference")
# of the greatest entry, fp32: sums of up to 1,600 pixels or 65 channels; worst seen 3e-7
ROUNDING = 2e-6


def large_faces(size: int = 40, channels: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Three faces whose boxes a warp does not walk alone, and one of a pixel, between them background."""
    inputs = drawn(2, size, size, 6, 4, channels, seed)
    inputs["face_ids"].clamp_(max=2)
    inputs["face_ids"][0, size // 2, size // 3] = 3
    return inputs


@settings(max_examples=10)
@given(
    batch=st.integers(0, 3),
    height=st.integers(0, 19),
    width=st.integers(1, 37),
    vertices=st.integers(1, 9),
    faces=st.integers(0, 300),
    channels=st.sampled_from([0, 1, 2, 3, 4, 5, 7, 33]),
    shared=st.booleans(),
    wide=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_size_has_the_references_gradients(
    batch: int, height: int, width: int, vertices: int, faces: int, channels: int, shared: bool, wide: bool, seed: int
):
    inputs = drawn(batch, height, width, vertices, faces, channels, seed)
    if shared:
        inputs["attributes"] = drawn(1, 1, 1, vertices, 1, channels, seed)["attributes"]
    if wide:
        inputs |= {"faces": inputs["faces"].long(), "face_ids": inputs["face_ids"].long()}
    assert_near(gradients(FAST, inputs, LEARNT), gradients(EXACT, in_float64(inputs), LEARNT), ROUNDING)


def test_large_faces_have_the_references_gradients():
    inputs = large_faces()
    assert_near(gradients(FAST, inputs, LEARNT), gradients(EXACT, in_float64(inputs), LEARNT), ROUNDING)


def test_two_runs_are_bit_equal_and_a_picture_alone_has_the_same_bits():
    inputs = large_faces()
    first, second = gradients(FAST, inputs, LEARNT), gradients(FAST, inputs, LEARNT)
    alone = {name: value if name == "faces" else value[1:] for name, value in inputs.items()}
    upstream = [part[1:] for part in upstream_of(FAST(**inputs))]
    single = gradients(FAST, alone, LEARNT, upstream)
    for name in LEARNT:
        assert torch.equal(first[name], second[name]) and torch.equal(first[name][1:], single[name])


@pytest.mark.parametrize("shared", [False, True])
def test_views_in_chunks(monkeypatch: pytest.MonkeyPatch, shared: bool):
    inputs = drawn(5, 6, 9, 7, 5, 3, 1)
    if shared:
        inputs["attributes"] = inputs["attributes"][:1]
    monkeypatch.setattr(kernel_backward, "BYTES", 2 * 4 * 3 * 5 * 3)  # two views
    assert_near(gradients(FAST, inputs, LEARNT), gradients(EXACT, in_float64(inputs), LEARNT), ROUNDING)


def test_only_what_is_wanted_is_computed():
    inputs = drawn(2, 5, 9, 7, 5, 3, 1)
    both = gradients(FAST, inputs, LEARNT)
    for name in LEARNT:
        assert torch.equal(gradients(FAST, inputs, [name])[name], both[name])
    upstream = upstream_of(FAST(**inputs))[0]
    one, other = interpolate_backward(upstream, *inputs.values(), True, False)
    assert torch.equal(one, both["attributes"]) and other.shape == (0,)
    one, other = interpolate_backward(upstream, *inputs.values(), False, True)
    assert torch.equal(other, both["barycentrics"]) and one.shape == (0,)


def test_a_gradient_of_any_stride_has_the_same_bits():
    inputs = drawn(2, 5, 9, 7, 5, 4, 1)
    upstream = upstream_of(FAST(**inputs))
    expected = gradients(FAST, inputs, LEARNT, upstream)
    turned = [upstream[0].permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)]
    found = gradients(FAST, inputs, LEARNT, turned)
    assert all(torch.equal(found[name], expected[name]) for name in LEARNT)
    flat = gradients(FAST, inputs, LEARNT, [torch.ones(1, device=DEVICE).expand(upstream[0].shape)])
    exact = gradients(EXACT, in_float64(inputs), LEARNT, [torch.ones_like(upstream[0])])
    assert_near(flat, exact, ROUNDING)


def test_background_and_faces_that_do_not_exist_take_no_gradient():
    inputs = drawn(1, 4, 8, 5, 4, 3, 3)
    inputs["faces"][1, 2] = 5
    inputs["faces"][2, 0] = -1
    inputs["face_ids"][0, 0, :4] = torch.tensor([4, -2, 2**31 - 1, -(2**31)], device=DEVICE)
    sound = (inputs["face_ids"] == 0) | (inputs["face_ids"] == 3)
    upstream = torch.where(sound[..., None], torch.randn(1, 4, 8, 3, device=DEVICE), torch.nan)
    attributes, barycentrics = interpolate_backward(upstream, *inputs.values(), True, True)
    assert not barycentrics[~sound].any()
    known = inputs | {"faces": inputs["faces"].clamp(0, 4), "face_ids": inputs["face_ids"].where(sound, -1)}
    exact = gradients(EXACT, in_float64(known), LEARNT, [upstream.nan_to_num(0.0)])
    assert_near({"attributes": attributes, "barycentrics": barycentrics}, exact, ROUNDING)


def test_a_second_derivative_is_refused():
    inputs = drawn(1, 4, 8, 5, 4, 3, 3)
    inputs["attributes"].requires_grad_()
    inputs["barycentrics"].requires_grad_()
    (slope,) = torch.autograd.grad(FAST(**inputs).sum(), inputs["attributes"], create_graph=True)
    with pytest.raises(RuntimeError, match="interpolate has no second derivative with backend 'triton'"):
        slope.sum().backward()


def test_custom_ops_are_registered_soundly():
    inputs = example_inputs(4, DEVICE)
    upstream = torch.randn(2, 4, 8, 4, device=DEVICE)
    for wanted in ((True, True), (False, True)):
        torch.library.opcheck(torch.ops.pain3d.interpolate_backward.default, (upstream, *inputs.values(), *wanted))
    for name in LEARNT:
        inputs[name].requires_grad_()
    torch.library.opcheck(torch.ops.pain3d.interpolate.default, tuple(inputs.values()))


def test_compiled_with_its_backward_pass():
    inputs = example_inputs(4, DEVICE)
    expected = gradients(FAST, inputs, LEARNT)
    torch._dynamo.reset()
    found = gradients(torch.compile(FAST, fullgraph=True, backend="aot_eager"), inputs, LEARNT)
    assert all(torch.equal(found[name], expected[name]) for name in LEARNT)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_boxes_are_where_a_face_is_seen(dtype: torch.dtype):
    ids = torch.randint(-2, 9, (3, 13, 21), generator=torch.Generator().manual_seed(0), dtype=dtype).to(DEVICE)
    ids[ids == 5] = 4
    boxes = launch_boxes(ids, 8).boxes.tolist()
    for view in range(3):
        for face in range(8):
            rows, columns = (ids[view].cpu() == face).nonzero(as_tuple=True)
            seen = [-int(columns.min()), -int(rows.min()), int(columns.max()), int(rows.max())] if len(rows) else None
            assert boxes[view][face] == (seen or [UNSEEN] * 4)


def test_a_gather_sums_the_rows_of_each_item():
    indices = torch.tensor([[2, 0, 7], [0, 0, 3], [-1, 0, 9]], device=DEVICE)
    groups = group(indices, 5)
    assert groups.starts.dtype == groups.members.dtype == torch.int32
    around = [groups.members[groups.starts[i] : groups.starts[i + 1]].tolist() for i in range(5)]
    assert around == [[1, 3, 4, 7], [], [0], [5], []]
    for channels in (0, 1, 3, 37):
        rows = torch.randn(2, 9, channels, device=DEVICE)
        expected = torch.stack([rows[:, members].sum(1) for members in around], 1)
        for block in (64, 512):
            found = launch_gather(rows, groups, block=block)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_any_walk_has_the_same_sums_and_writes_no_further():
    inputs = large_faces(channels=5)
    gradient = torch.randn(2, 40, 40, 5, device=DEVICE)
    seen = launch_boxes(inputs["face_ids"], 4)
    given_ = (gradient, inputs["barycentrics"], inputs["faces"], seen, 6)
    expected = launch_corner_sums(*given_)
    found = launch_corner_sums(*given_, walks=(Walk(2, 1, 32, 8, False, 1), Walk(4, 2, 16, 16, True, 1)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)  # of sums up to 60, in another order
