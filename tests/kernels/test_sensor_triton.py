"""What only sensor noise on a GPU promises: the reference's bytes at any size and block."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pain3d.kernels import add_sensor_noise
from pain3d.kernels.sensor import noise_table
from pain3d.kernels.sensor.example import example_inputs
from pain3d.kernels.sensor.kernel import launch_add_sensor_noise
from pain3d.kernels.sensor.reference import mixed_keys
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")


@settings(max_examples=15)
@given(
    batch=st.integers(0, 3),
    height=st.integers(0, 19),
    width=st.integers(1, 37),
    shot=st.floats(0, 1e-2),
    read=st.floats(0, 1e-2),
    key=st.integers(-(2**63), 2**63 - 1),
)
def test_any_size_equals_the_reference(batch: int, height: int, width: int, shot: float, read: float, key: int):
    generator = torch.Generator().manual_seed(batch)
    image = torch.randint(256, (batch, height, width, 3), dtype=torch.uint8, generator=generator).to(DEVICE)
    one = torch.ones(batch, device=DEVICE)
    keys = torch.full((batch,), key, device=DEVICE)
    found = add_sensor_noise(image, shot * one, read * one, keys, backend="triton")
    assert torch.equal(found, add_sensor_noise(image, shot * one, read * one, keys, backend="reference"))


def test_any_block_gives_the_same_bytes():
    inputs = example_inputs(11, DEVICE)
    expected = add_sensor_noise(**inputs, backend="triton")
    for block in (128, 4096):
        noisy = torch.full_like(expected, 77)
        table, keys = noise_table(inputs["shot"], inputs["read"]), mixed_keys(inputs["keys"])
        launch_add_sensor_noise(inputs["image"], table, keys, noisy, block=block)
        assert torch.equal(noisy, expected)


def test_strides_of_every_kind():
    inputs = example_inputs(8, DEVICE)
    expected = add_sensor_noise(**inputs, backend="triton")
    turned = {
        "image": inputs["image"].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        "shot": inputs["shot"].repeat_interleave(2)[::2],
        "read": inputs["read"].repeat_interleave(2)[::2],
        "keys": inputs["keys"].repeat_interleave(2)[::2],
    }
    assert torch.equal(add_sensor_noise(**turned, backend="triton"), expected)


def test_custom_op_is_registered_soundly():
    torch.library.opcheck(torch.ops.pain3d.add_sensor_noise.default, tuple(example_inputs(4, DEVICE).values()))


def test_a_backward_pass_is_refused():
    inputs = example_inputs(4, DEVICE)
    inputs["shot"].requires_grad_()
    assert not add_sensor_noise(**inputs, backend="triton").requires_grad
    with pytest.raises(RuntimeError, match=r"does not require grad"):
        add_sensor_noise(**inputs, backend="triton").sum().backward()
