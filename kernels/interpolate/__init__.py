"""Knows the room `interpolate`: values at vertices become values at pixels."""

from pain3d.kernels.interpolate.op import interpolate
from pain3d.kernels.interpolate.reference import interpolate_reference

__all__ = ["interpolate", "interpolate_reference"]
