"""Knows the room `sample_texture`: bilinear and trilinear look-ups, and the mip chain they read."""

from pain3d.kernels.texturing.op import build_mipmaps, sample_texture
from pain3d.kernels.texturing.reference import Mipmaps, build_mipmaps_reference, sample_texture_reference

__all__ = ["Mipmaps", "build_mipmaps", "build_mipmaps_reference", "sample_texture", "sample_texture_reference"]
