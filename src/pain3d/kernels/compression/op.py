"""Knows the public face of the room `compression`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import check_dtypes, check_shapes
from pain3d.kernels.compression.reference import jpeg_loss_reference
from pain3d.kernels.compression.triton_op import jpeg_loss_triton


def jpeg_loss(image: Tensor, quality: Tensor, *, backend: str | None = None) -> Tensor:
    """Return pictures as a JPEG of them gives them back: baseline, chroma halved both ways (4:2:0), no file between.

    Args:
        image: [B, H, W, 3] uint8 RGB.
        quality: [B] int32 or int64, 1–100 as the Independent JPEG Group counts it; what is beyond is clamped.
        backend: ``"reference"``, ``"triton"`` or None for the default order; all write the same bytes.

    Returns:
        [B, H, W, 3] uint8: the bytes that libjpeg-turbo's TurboJPEG would decode from what it encoded.

    Gradients: none (bytes).

    Source: ITU T.81 (1992) and T.871 (2011).

    Raises:
        ValueError: A shape or dtype does not fit.
        RuntimeError: The asked backend can't run on these inputs.
    """
    check_shapes(image=(image, "B H W 3"), quality=(quality, "B"))
    check_dtypes((torch.uint8,), image=image)
    check_dtypes((torch.int32, torch.int64), quality=quality)
    chosen = resolve_backend("jpeg_loss", backend, ("reference", "triton"), image, quality, differentiable=False)
    if chosen == "triton":
        lossy: Tensor = jpeg_loss_triton(image, quality)
        return lossy
    return jpeg_loss_reference(image, quality)
