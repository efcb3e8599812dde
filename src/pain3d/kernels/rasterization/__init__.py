"""Knows the room `rasterize`: which face each pixel centre sees, and where on it."""

from pain3d.kernels.rasterization.op import rasterize
from pain3d.kernels.rasterization.reference import Fragments, rasterize_reference

__all__ = ["Fragments", "rasterize", "rasterize_reference"]
