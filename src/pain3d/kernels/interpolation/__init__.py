"""Knows the room `interpolate`: values at vertices become values at pixels."""

from pain3d.kernels.interpolation.op import interpolate
from pain3d.kernels.interpolation.reference import interpolate_reference

__all__ = ["interpolate", "interpolate_reference"]
