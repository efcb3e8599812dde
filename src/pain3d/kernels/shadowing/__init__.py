"""Knows the room `shadowing`: which part of a lamp a point of a mesh sees past the mesh itself."""

from pain3d.kernels.shadowing.op import cast_shadows
from pain3d.kernels.shadowing.reference import Shadows, cast_shadows_reference

__all__ = ["Shadows", "cast_shadows", "cast_shadows_reference"]
