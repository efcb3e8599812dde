"""Knows the room `backprojection`: pictures of a mesh, taken back to the texels of its texture."""

from pain3d.kernels.backprojection.edges import edge_confidence
from pain3d.kernels.backprojection.op import backproject
from pain3d.kernels.backprojection.reference import backproject_reference

__all__ = ["backproject", "backproject_reference", "edge_confidence"]
