"""What only a camera on a GPU promises: the reference's bytes at any size and block."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pain3d.kernels import develop
from pain3d.kernels.sensor.example import example_inputs
from pain3d.kernels.sensor.kernel import launch_develop
from pain3d.kernels.sensor.reference import byte_codes, mixed_keys, optics_of, tone_table
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")


@settings(max_examples=8)
@given(
    batch=st.integers(0, 3),
    height=st.integers(0, 19),
    width=st.integers(1, 37),
    noise=st.tuples(st.floats(0, 1e-2), st.floats(0, 1e-2)),
    tone=st.tuples(st.just(0.0) | st.floats(0.19, 0.5), st.floats(0.5, 1.5), st.floats(0, 2)),
    key=st.integers(-(2**63), 2**63 - 1),
)
def test_any_size_equals_the_reference(
    batch: int, height: int, width: int, noise: tuple[float, float], tone: tuple[float, float, float], key: int
):
    generator = torch.Generator().manual_seed(batch)
    image = torch.randint(256, (batch, height, width, 3), dtype=torch.uint8, generator=generator).to(DEVICE)
    keys = torch.full((batch,), key, device=DEVICE)
    sensor = torch.tensor([[*noise, *tone]] * batch, device=DEVICE).reshape(batch, 5)
    found = develop(image, sensor, keys, backend="triton")
    assert torch.equal(found, develop(image, sensor, keys, backend="reference"))


def test_any_block_gives_the_same_bytes():
    inputs = example_inputs(11, DEVICE)
    expected = develop(**inputs, backend="triton")
    for block in (32, 1024):
        noisy = torch.full_like(expected, 77)
        optics, table = optics_of(inputs["sensor"]), tone_table(inputs["sensor"])
        codes, keys = byte_codes(noisy.device), mixed_keys(inputs["keys"])
        launch_develop(inputs["image"], codes, optics, table, keys, noisy, block=block)
        assert torch.equal(noisy, expected)


def test_strides_of_every_kind():
    inputs = example_inputs(8, DEVICE)
    expected = develop(**inputs, backend="triton")
    turned = {
        "image": inputs["image"].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        "sensor": inputs["sensor"].T.contiguous().T,
        "keys": inputs["keys"].repeat_interleave(2)[::2],
    }
    assert torch.equal(develop(**turned, backend="triton"), expected)


def test_custom_op_is_registered_soundly():
    torch.library.opcheck(torch.ops.pain3d.develop.default, tuple(example_inputs(4, DEVICE).values()))


def test_a_backward_pass_is_refused():
    inputs = example_inputs(4, DEVICE)
    inputs["sensor"].requires_grad_()
    assert not develop(**inputs, backend="triton").requires_grad
    with pytest.raises(RuntimeError, match=r"does not require grad"):
        develop(**inputs, backend="triton").sum().backward()
