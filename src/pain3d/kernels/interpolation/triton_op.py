"""Knows interpolation as a custom op: `pain3d::interpolate`, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient


@custom_op("interpolate")
def interpolate_triton(attributes: Tensor, faces: Tensor, face_ids: Tensor, barycentrics: Tensor) -> Tensor:
    """Return [B, H, W, C], float32; see `pain3d.kernels.interpolate`."""
    from pain3d.kernels.interpolation.kernel import launch_interpolate

    values = attributes.new_empty(*face_ids.shape, attributes.shape[-1])
    with on_device(attributes):
        launch_interpolate(
            attributes.contiguous(), faces.contiguous(), face_ids.contiguous(), barycentrics.contiguous(), values
        )
    return values


@interpolate_triton.register_fake
def _(attributes: Tensor, faces: Tensor, face_ids: Tensor, barycentrics: Tensor) -> Tensor:
    return attributes.new_empty(*face_ids.shape, attributes.shape[-1])


refuse_gradient(interpolate_triton, "interpolate")
