"""Knows the room `sensor`: the noise of a camera, on the bytes of finished pictures."""

from pain3d.kernels.sensor.op import sensor
from pain3d.kernels.sensor.reference import noise_table, sensor_reference

__all__ = ["noise_table", "sensor", "sensor_reference"]
