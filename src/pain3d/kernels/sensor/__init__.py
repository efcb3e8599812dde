"""Knows the room `sensor`: what a camera makes of finished pictures: blur, colour, tone and noise."""

from pain3d.kernels.sensor.op import develop
from pain3d.kernels.sensor.reference import develop_reference

__all__ = ["develop", "develop_reference"]
