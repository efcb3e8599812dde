"""Knows the room `deform`: blend shapes, linear blend skinning, projection, vertex normals."""

from pain3d.kernels.deformation.layout import planar_basis
from pain3d.kernels.deformation.op import deform, deform_pairs, deform_to_clip, vertex_normals
from pain3d.kernels.deformation.reference import (
    deform_pairs_reference,
    deform_reference,
    to_clip,
    vertex_normals_reference,
)

__all__ = [
    "deform",
    "deform_pairs",
    "deform_pairs_reference",
    "deform_reference",
    "deform_to_clip",
    "planar_basis",
    "to_clip",
    "vertex_normals",
    "vertex_normals_reference",
]
