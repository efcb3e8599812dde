"""What only interpolation on a GPU promises: odd sizes, many channels, and indices that lead nowhere."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import interpolate
from pain3d.kernels.interpolation.example import example_inputs
from pain3d.kernels.interpolation.kernel import launch_interpolate
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")


def drawn(
    batch: int, height: int, width: int, vertices: int, faces: int, channels: int, seed: int
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, height, width)
    inputs = {
        "attributes": 2 * torch.rand(batch, vertices, channels, generator=generator) - 1,
        "faces": torch.randint(max(vertices, 1), (faces, 3), generator=generator, dtype=torch.int32),
        "face_ids": torch.randint(-1, max(faces, 1), shape, generator=generator, dtype=torch.int32),
        "barycentrics": torch.rand(*shape, 3, generator=generator),
    }
    if faces == 0:
        inputs["face_ids"].fill_(-1)
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


def assert_equals_reference(**inputs: Tensor) -> None:
    found = interpolate(**inputs, backend="triton")
    # worst seen 0, interpreter; products may be fused with sums on a GPU, for weights and values of at most 1
    torch.testing.assert_close(found, interpolate(**inputs, backend="reference"), rtol=0, atol=1e-6)


@settings(max_examples=25)
@given(
    batch=st.integers(1, 3),
    height=st.integers(0, 19),
    width=st.integers(1, 37),
    vertices=st.integers(1, 9),
    faces=st.integers(0, 7),
    channels=st.sampled_from([0, 1, 2, 3, 4, 5, 7, 33, 65]),
    shared=st.booleans(),
    wide=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_size_equals_the_reference(
    batch: int, height: int, width: int, vertices: int, faces: int, channels: int, shared: bool, wide: bool, seed: int
):
    inputs = drawn(batch, height, width, vertices, faces, channels, seed)
    if shared:
        inputs["attributes"] = inputs["attributes"][:1]
    if wide:
        inputs |= {"faces": inputs["faces"].long(), "face_ids": inputs["face_ids"].long()}
    assert_equals_reference(**inputs)


def test_no_faces_and_no_vertices_give_zeros():
    inputs = drawn(2, 5, 7, 0, 0, 3, 0)
    assert not interpolate(**inputs, backend="triton").any()


def test_any_block_gives_the_same_bits():
    inputs = drawn(2, 9, 13, 8, 6, 37, 1)
    expected = interpolate(**inputs, backend="triton")
    for block in (256, 4096):
        values = torch.full_like(expected, float("nan"))
        launch_interpolate(*inputs.values(), values, block=block)
        assert torch.equal(values, expected)


def test_strides_of_every_kind():
    inputs = drawn(3, 6, 11, 8, 6, 5, 2)
    expected = interpolate(**inputs, backend="triton")
    backwards = {
        "attributes": inputs["attributes"].permute(2, 1, 0).contiguous().permute(2, 1, 0),
        "faces": inputs["faces"].t().contiguous().t(),
        "face_ids": inputs["face_ids"].transpose(1, 2).contiguous().transpose(1, 2),
        "barycentrics": torch.cat([inputs["barycentrics"]] * 2, -1)[..., :3],
    }
    assert torch.equal(interpolate(**backwards, backend="triton"), expected)
    shared = inputs["attributes"][:1].expand(3, -1, -1)
    assert torch.equal(
        interpolate(**(inputs | {"attributes": shared}), backend="triton"),
        interpolate(**(inputs | {"attributes": inputs["attributes"][:1]}), backend="triton"),
    )


def surrounded(tensor: Tensor, by: float) -> Tensor:
    """Return a copy that lies in the middle of other memory, three times its size, full of one value."""
    memory = torch.full((3 * tensor.numel(),), by, dtype=tensor.dtype, device=tensor.device)
    inside = memory[tensor.numel() : 2 * tensor.numel()].view(tensor.shape)
    inside.copy_(tensor)
    return inside


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_faces_that_do_not_exist_read_nothing_and_give_zeros(dtype: torch.dtype):
    """Before and behind the faces lie more of them, so that a face read from there would be seen."""
    inputs = drawn(2, 4, 8, 5, 4, 3, 3)
    inputs = {name: tensor.to(dtype) if name[0] == "f" else tensor for name, tensor in inputs.items()}
    wrong = [4, 5, -2, -4, torch.iinfo(dtype).max, torch.iinfo(dtype).min]
    inputs["face_ids"][:, 1, : len(wrong)] = torch.tensor(wrong, dtype=dtype, device=DEVICE)
    inputs["attributes"].fill_(1)
    inputs["barycentrics"].fill_(1 / 3)
    inputs["faces"] = surrounded(inputs["faces"], 1)
    found = torch.ops.pain3d.interpolate(**inputs)
    exists = (inputs["face_ids"] >= 0) & (inputs["face_ids"] < 4)
    torch.testing.assert_close(found, exists[..., None].float().expand(-1, -1, -1, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_vertices_that_do_not_exist_read_nothing_and_give_zeros(dtype: torch.dtype):
    inputs = drawn(2, 4, 8, 5, 7, 3, 4)
    inputs = {name: tensor.to(dtype) if name[0] == "f" else tensor for name, tensor in inputs.items()}
    wrong = [5, -1, torch.iinfo(dtype).max, torch.iinfo(dtype).min]
    for face, vertex in enumerate(wrong):
        inputs["faces"][face, face % 3] = vertex
    inputs["attributes"] = surrounded(inputs["attributes"], float("nan"))
    found = torch.ops.pain3d.interpolate(**inputs)
    sound = inputs["face_ids"] >= len(wrong)
    assert sound.any() and not found[~sound].any()
    expected = interpolate(**(inputs | {"faces": inputs["faces"].clamp(0, 4)}), backend="reference")
    torch.testing.assert_close(found[sound], expected[sound], rtol=0, atol=1e-6)


def test_background_hides_whatever_its_barycentrics_hold():
    inputs = drawn(1, 6, 9, 5, 4, 2, 5)
    background = inputs["face_ids"] < 0
    inputs["barycentrics"][background] = float("nan")
    found = interpolate(**inputs, backend="triton")
    assert background.any() and not found[background].any() and torch.isfinite(found).all()


def test_infinite_values_stay_with_their_faces():
    inputs = drawn(1, 6, 9, 5, 4, 2, 6)
    inputs["attributes"][0, 0] = float("inf")
    found = interpolate(**inputs, backend="triton")
    touched = (inputs["faces"] == 0).any(1)[inputs["face_ids"].clamp(min=0).long()] & (inputs["face_ids"] >= 0)
    assert torch.isinf(found[touched]).all() and torch.isfinite(found[~touched]).all()


def test_indices_out_of_range_are_named_where_they_can_be_seen():
    inputs = example_inputs()
    inputs["face_ids"][0, 0, 0] = len(inputs["faces"])
    with pytest.raises(ValueError, match=r"face_ids must lie in -1 … 4 \(faces\), got"):
        interpolate(**inputs, backend="triton" if DEVICE == "cpu" else "reference")


def test_custom_op_is_registered_soundly():
    inputs = example_inputs(4, DEVICE)
    interpolate(**inputs, backend="triton")
    torch.library.opcheck(torch.ops.pain3d.interpolate.default, tuple(inputs.values()))


def test_double_precision_is_the_references():
    inputs = example_inputs(4, DEVICE, torch.float64)
    assert torch.equal(interpolate(**inputs), interpolate(**inputs, backend="reference"))
    with pytest.raises(ValueError, match=r"interpolate has no backend 'triton' \(available: reference\)"):
        interpolate(**inputs, backend="triton")
