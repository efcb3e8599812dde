"""Knows the room `deformation`: blend shapes, linear blend skinning, vertex normals."""

from pain3d.kernels.deformation.layout import planar_basis
from pain3d.kernels.deformation.op import deform, deform_pairs, vertex_normals
from pain3d.kernels.deformation.reference import (
    deform_pairs_reference,
    deform_reference,
    vertex_normals_reference,
)

__all__ = [
    "deform",
    "deform_pairs",
    "deform_pairs_reference",
    "deform_reference",
    "planar_basis",
    "vertex_normals",
    "vertex_normals_reference",
]
