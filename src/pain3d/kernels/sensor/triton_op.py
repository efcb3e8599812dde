"""Knows a camera as a custom op: `pain3d::develop`, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient
from pain3d.kernels.sensor.reference import byte_codes, mixed_keys, optics_of, tone_table


@custom_op("develop")
def develop_triton(image: Tensor, sensor: Tensor, keys: Tensor) -> Tensor:
    """Return [B, H, W, 3] uint8; see `pain3d.kernels.develop`."""
    from pain3d.kernels.sensor.kernel import launch_develop

    developed = image.new_empty(image.shape)
    with on_device(image):
        codes, optics, table = byte_codes(image.device), optics_of(sensor), tone_table(sensor)
        launch_develop(image.contiguous(), codes, optics, table, mixed_keys(keys).contiguous(), developed)
    return developed


@develop_triton.register_fake
def _(image: Tensor, sensor: Tensor, keys: Tensor) -> Tensor:
    return image.new_empty(image.shape)


refuse_gradient(develop_triton, "develop")
