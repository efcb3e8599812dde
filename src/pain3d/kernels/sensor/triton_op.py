"""Knows sensor noise as a custom op: `pain3d::add_sensor_noise`, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient
from pain3d.kernels.sensor.reference import mixed_keys, noise_table


@custom_op("add_sensor_noise")
def add_sensor_noise_triton(image: Tensor, shot: Tensor, read: Tensor, keys: Tensor) -> Tensor:
    """Return [B, H, W, 3] uint8; see `pain3d.kernels.add_sensor_noise`."""
    from pain3d.kernels.sensor.kernel import launch_add_sensor_noise

    noisy = image.new_empty(image.shape)
    with on_device(image):
        launch_add_sensor_noise(image.contiguous(), noise_table(shot, read), mixed_keys(keys).contiguous(), noisy)
    return noisy


@add_sensor_noise_triton.register_fake
def _(image: Tensor, shot: Tensor, read: Tensor, keys: Tensor) -> Tensor:
    return image.new_empty(image.shape)


refuse_gradient(add_sensor_noise_triton, "add_sensor_noise")
