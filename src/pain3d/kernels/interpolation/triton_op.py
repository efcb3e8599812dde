"""Knows interpolation as custom ops: `pain3d::interpolate` and `interpolate_backward`, for CUDA tensors.

(And for CPU tensors in Triton's interpreter.)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pain3d.kernels._groups import remembered_groups
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


@custom_op("interpolate_backward")
def interpolate_backward(
    gradient: Tensor,
    attributes: Tensor,
    faces: Tensor,
    face_ids: Tensor,
    barycentrics: Tensor,
    to_attributes: bool,
    to_barycentrics: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients to attributes and barycentrics of the gradient [B, H, W, C] to the values.

    Float32; one that is not wanted is empty.
    """
    from pain3d.kernels.interpolation.kernel_backward import launch_to_barycentrics, launch_to_vertices

    of_attributes, of_barycentrics = attributes.new_empty(0), attributes.new_empty(0)
    gradient, faces, face_ids = gradient.contiguous(), faces.contiguous(), face_ids.contiguous()
    with on_device(attributes):
        if to_attributes:
            corners = remembered_groups(faces, attributes.shape[1])
            shared = len(attributes) != len(gradient)
            of_attributes = launch_to_vertices(gradient, barycentrics.contiguous(), faces, face_ids, corners, shared)
        if to_barycentrics:
            of_barycentrics = launch_to_barycentrics(gradient, attributes.contiguous(), faces, face_ids)
    return of_attributes, of_barycentrics


@interpolate_backward.register_fake
def _(
    gradient: Tensor,
    attributes: Tensor,
    faces: Tensor,
    face_ids: Tensor,
    barycentrics: Tensor,
    to_attributes: bool,
    to_barycentrics: bool,
) -> tuple[Tensor, Tensor]:
    return (
        attributes.new_empty(attributes.shape if to_attributes else (0,)),
        attributes.new_empty(barycentrics.shape if to_barycentrics else (0,)),
    )


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    attributes, _, _, barycentrics = ctx.needs_input_grad
    found = interpolate_backward(gradient, *ctx.saved_tensors, attributes, barycentrics)
    return found[0] if attributes else None, None, None, found[1] if barycentrics else None


interpolate_triton.register_autograd(_backward, setup_context=_keep)
refuse_gradient(interpolate_backward, "interpolate", twice=True)
