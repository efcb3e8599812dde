"""Knows the gradients of the room `deformation` as custom ops: `pain3d::deform_backward` and so on.

Products of matrices are torch's; their bits are those of two equal calls, and depend on the batch. Sums have one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pain3d.kernels._groups import group, remembered_groups
from pain3d.kernels._triton import custom_op, on_device, refuse_gradient
from pain3d.kernels.deformation.triton_op import (
    bundled,
    deform_pairs_triton,
    deform_triton,
    vertex_normals_triton,
)


@custom_op("deform_backward")
def deform_backward(
    gradient: Tensor,
    template: Tensor,
    basis: Tensor,
    coefficients: Tensor,
    skin_joints: Tensor | None,
    skin_weights: Tensor | None,
    joint_transforms: Tensor | None,
    template_index: Tensor | None,
    precision: str,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients to template, basis, coefficients, skin_weights and joint_transforms; float32.

    One that is not wanted is empty. `gradient` [B, V, 3] is that to the vertices.
    """
    to_template, to_basis, to_coefficients, *to_skin = wanted
    joints = (skin_joints, skin_weights, joint_transforms)
    with on_device(template):
        shaped = None
        if any(to_skin):
            shaped = deform_triton.function(template, basis, coefficients, None, None, None, template_index, precision)
        slopes, to_weights, to_transforms = _skin_slopes(gradient, shaped, *joints, any(wanted[:3]), *to_skin)
        flat = slopes.flatten(1)
        return (
            _to_rows(slopes, template_index, len(template)) if to_template else gradient.new_empty(0),
            (coefficients.t() @ flat).view(basis.shape) if to_basis else gradient.new_empty(0),
            # by coordinate: so neither layout of a basis is copied to another
            (slopes.permute(2, 0, 1) @ basis.permute(2, 1, 0)).sum(0) if to_coefficients else gradient.new_empty(0),
            to_weights,
            to_transforms,
        )


@custom_op("deform_pairs_backward")
def deform_pairs_backward(
    gradient: Tensor,
    shaped: Tensor,
    offsets: Tensor,
    shaped_index: Tensor,
    offset_index: Tensor,
    skin_joints: Tensor | None,
    skin_weights: Tensor | None,
    joint_transforms: Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients to shaped, offsets, skin_weights and joint_transforms; likewise."""
    to_shaped, to_offsets, *to_skin = wanted
    joints = (skin_joints, skin_weights, joint_transforms)
    with on_device(shaped):
        summed = None
        if any(to_skin):
            summed = deform_pairs_triton.function(shaped, offsets, shaped_index, offset_index, None, None, None)
        slopes, to_weights, to_transforms = _skin_slopes(gradient, summed, *joints, any(wanted[:2]), *to_skin)
        return (
            _to_rows(slopes, shaped_index, len(shaped)) if to_shaped else gradient.new_empty(0),
            _to_rows(slopes, offset_index, len(offsets)) if to_offsets else gradient.new_empty(0),
            to_weights,
            to_transforms,
        )


@custom_op("vertex_normals_backward")
def vertex_normals_backward(gradient: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """Return the gradient [B, V, 3] to vertices of that to their normals, float32."""
    from pain3d.kernels.deformation.kernel_normals import launch_normals_backward

    vertices, faces = vertices.contiguous(), faces.contiguous()
    with on_device(vertices):
        corners = remembered_groups(faces, vertices.shape[1])
        return launch_normals_backward(gradient.contiguous(), vertices, faces, corners)


def _skin_slopes(
    gradient: Tensor,
    shaped: Tensor | None,  # [B, V, 3]; None where neither of the last two is wanted
    skin_joints: Tensor | None,
    skin_weights: Tensor | None,
    joint_transforms: Tensor | None,
    to_shaped: bool,
    to_weights: bool,
    to_transforms: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients to what is skinned, to the weights and to the transforms; empty where not wanted."""
    from pain3d.kernels.deformation import kernel_backward

    gradient = gradient.contiguous()
    skinning = bundled(skin_joints, skin_weights, joint_transforms)
    if skinning is None:
        return gradient, gradient.new_empty(0), gradient.new_empty(0)
    slopes = kernel_backward.launch_to_shaped(gradient, skinning) if to_shaped else gradient
    if shaped is None:
        return slopes, gradient.new_empty(0), gradient.new_empty(0)
    slots = remembered_groups(skinning.joints, skinning.transforms.shape[1])
    return (
        slopes,
        kernel_backward.launch_to_weights(gradient, shaped, skinning) if to_weights else gradient.new_empty(0),
        kernel_backward.launch_to_transforms(gradient, shaped, skinning, slots)
        if to_transforms
        else gradient.new_empty(0),
    )


def _to_rows(slopes: Tensor, which: Tensor | None, rows: int) -> Tensor:
    """Return [rows, V, 3]: what the meshes that have each row say of it; without `which`, its only mesh or all."""
    from pain3d.kernels.interpolation.kernel_gather import launch_gather

    if which is None:
        return slopes.clone() if rows > 1 or len(slopes) == 1 else slopes.sum(0, keepdim=True)
    flat = slopes.reshape(1, len(slopes), slopes.shape[1] * 3)
    return launch_gather(flat, group(which, rows)).view(rows, *slopes.shape[1:])


@deform_backward.register_fake
def _(gradient: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    template, basis, coefficients, _, skin_weights, joint_transforms, *_, wanted = inputs
    return _empty(wanted, template, basis, coefficients, skin_weights, joint_transforms)


@deform_pairs_backward.register_fake
def _(gradient: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    shaped, offsets, *_, skin_weights, joint_transforms, wanted = inputs
    return _empty(wanted, shaped, offsets, skin_weights, joint_transforms)


@vertex_normals_backward.register_fake
def _(gradient: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    return vertices.new_empty(vertices.shape)


def _empty(wanted: Sequence[bool], *like: Tensor | None) -> tuple[Tensor, ...]:
    first: Any = like[0]
    shapes = [tensor.shape if want and tensor is not None else (0,) for want, tensor in zip(wanted, like, strict=True)]
    return tuple(first.new_empty(shape) for shape in shapes)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    ctx.save_for_backward(*tensors)
    # None stays None: which of them were tensors, and what the others are
    ctx.others = [None if isinstance(value, Tensor) else (value,) for value in inputs]


def _kept(ctx: Any) -> list[Any]:
    tensors = iter(ctx.saved_tensors)
    return [next(tensors) if other is None else other[0] for other in ctx.others]


def _spread(ctx: Any, places: tuple[int, ...], op: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Return a gradient for each argument; `places` are those that may have one, in the order of the op's results."""
    wanted = [ctx.needs_input_grad[place] for place in places]
    found = dict(zip(places, op(gradient, *_kept(ctx), wanted), strict=True))
    return tuple(found[place] if need else None for place, need in enumerate(ctx.needs_input_grad))


def _deform_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return _spread(ctx, (0, 1, 2, 4, 5), deform_backward, gradient)


def _pairs_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return _spread(ctx, (0, 1, 5, 6), deform_pairs_backward, gradient)


def _normals_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return vertex_normals_backward(gradient, *_kept(ctx)), None


deform_triton.register_autograd(_deform_backward, setup_context=_keep)
deform_pairs_triton.register_autograd(_pairs_backward, setup_context=_keep)
vertex_normals_triton.register_autograd(_normals_backward, setup_context=_keep)
refuse_gradient(deform_backward, "deform", twice=True)
refuse_gradient(deform_pairs_backward, "deform_pairs", twice=True)
refuse_gradient(vertex_normals_backward, "vertex_normals", twice=True)
