"""Knows the room `sensor`: the noise of a camera, on the bytes of finished pictures."""

from pain3d.kernels.sensor.op import add_sensor_noise
from pain3d.kernels.sensor.reference import add_sensor_noise_reference, noise_table

__all__ = ["add_sensor_noise", "add_sensor_noise_reference", "noise_table"]
