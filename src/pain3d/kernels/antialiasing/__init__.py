"""Knows the room `antialias`: soft silhouettes from geometry, and who neighbours whom on a mesh."""

from pain3d.kernels.antialiasing.op import antialias, face_adjacency
from pain3d.kernels.antialiasing.reference import antialias_reference, face_adjacency_reference

__all__ = ["antialias", "antialias_reference", "face_adjacency", "face_adjacency_reference"]
