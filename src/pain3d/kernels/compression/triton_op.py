"""Knows a JPEG's loss as a custom op: `pain3d::jpeg_loss`, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient
from pain3d.kernels.compression.reference import kernel_tables


@custom_op("jpeg_loss")
def jpeg_loss_triton(image: Tensor, quality: Tensor) -> Tensor:
    """Return [B, H, W, 3] uint8; see `pain3d.kernels.jpeg_loss`."""
    from pain3d.kernels.compression.kernel import launch_jpeg_loss

    lossy = image.new_empty(image.shape)
    with on_device(image):
        launch_jpeg_loss(image.contiguous(), quality.contiguous(), kernel_tables(image.device), lossy)
    return lossy


@jpeg_loss_triton.register_fake
def _(image: Tensor, quality: Tensor) -> Tensor:
    return image.new_empty(image.shape)


refuse_gradient(jpeg_loss_triton, "jpeg_loss")
