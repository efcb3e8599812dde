"""Knows the room `shade`: the light that leaves a surface point towards the eye."""

from pain3d.kernels.shading.op import shade
from pain3d.kernels.shading.reference import sh_basis, shade_reference

__all__ = ["sh_basis", "shade", "shade_reference"]
