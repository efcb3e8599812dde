"""Knows the room `compression`: what a JPEG loses of a picture."""

from pain3d.kernels.compression.op import jpeg_loss
from pain3d.kernels.compression.reference import jpeg_loss_reference

__all__ = ["jpeg_loss", "jpeg_loss_reference"]
