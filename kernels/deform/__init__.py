"""Knows the room `deform`: blend shapes, linear blend skinning, vertex normals."""

from pain3d.kernels.deform.op import deform, vertex_normals
from pain3d.kernels.deform.reference import deform_reference, vertex_normals_reference

__all__ = ["deform", "deform_reference", "vertex_normals", "vertex_normals_reference"]
