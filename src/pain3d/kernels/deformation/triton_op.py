"""Knows the custom ops of the room `deformation`: `pain3d::deform`, `deform_pairs`, `vertex_normals`."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._groups import remembered_groups
from pain3d.kernels._triton import custom_op, on_device
from pain3d.kernels.deformation.bundles import Skinning


@custom_op("deform")
def deform_triton(
    template: Tensor,
    basis: Tensor,
    coefficients: Tensor,
    skin_joints: Tensor | None,
    skin_weights: Tensor | None,
    joint_transforms: Tensor | None,
    template_index: Tensor | None,
    precision: str,
) -> Tensor:
    """Return vertices [B, V, 3], float32; see `pain3d.kernels.deform`."""
    from pain3d.kernels.deformation.kernel import Points, launch_deform

    vertices = template.new_empty(len(coefficients), basis.shape[1], 3)
    if template_index is None and len(template) > 1:
        template_index = torch.arange(len(template), device=template.device)
    with on_device(template):
        launch_deform(
            vertices,
            Points(template.contiguous(), None if template_index is None else template_index.contiguous()),
            basis=basis,
            coefficients=coefficients.contiguous(),
            skinning=bundled(skin_joints, skin_weights, joint_transforms),
            exact=precision == "fp32",
        )
    return vertices


@custom_op("deform_pairs")
def deform_pairs_triton(
    shaped: Tensor,
    offsets: Tensor,
    shaped_index: Tensor,
    offset_index: Tensor,
    skin_joints: Tensor | None,
    skin_weights: Tensor | None,
    joint_transforms: Tensor | None,
) -> Tensor:
    """Return vertices [B, V, 3], float32; see `pain3d.kernels.deform_pairs`."""
    from pain3d.kernels.deformation.kernel import Points, launch_deform

    vertices = shaped.new_empty(len(shaped_index), shaped.shape[1], 3)
    with on_device(shaped):
        launch_deform(
            vertices,
            Points(shaped.contiguous(), shaped_index.contiguous()),
            offsets=Points(offsets.contiguous(), offset_index.contiguous()),
            skinning=bundled(skin_joints, skin_weights, joint_transforms),
        )
    return vertices


@custom_op("vertex_normals")
def vertex_normals_triton(vertices: Tensor, faces: Tensor) -> Tensor:
    """Return unit normals [B, V, 3], float32; see `pain3d.kernels.vertex_normals`."""
    from pain3d.kernels.deformation.kernel import launch_normals

    vertices, faces = vertices.contiguous(), faces.contiguous()
    with on_device(vertices):
        starts, corners = remembered_groups(faces, vertices.shape[1])
        return launch_normals(vertices, faces, starts, corners // 3)


@deform_triton.register_fake
def _(
    template: Tensor,
    basis: Tensor,
    coefficients: Tensor,
    skin_joints: Tensor | None,
    skin_weights: Tensor | None,
    joint_transforms: Tensor | None,
    template_index: Tensor | None,
    precision: str,
) -> Tensor:
    return template.new_empty(coefficients.shape[0], basis.shape[1], 3)


@deform_pairs_triton.register_fake
def _(
    shaped: Tensor,
    offsets: Tensor,
    shaped_index: Tensor,
    offset_index: Tensor,
    skin_joints: Tensor | None,
    skin_weights: Tensor | None,
    joint_transforms: Tensor | None,
) -> Tensor:
    return shaped.new_empty(shaped_index.shape[0], shaped.shape[1], 3)


@vertex_normals_triton.register_fake
def _(vertices: Tensor, faces: Tensor) -> Tensor:
    return vertices.new_empty(vertices.shape)


def bundled(joints: Tensor | None, weights: Tensor | None, transforms: Tensor | None) -> Skinning | None:
    """Return the joints as the kernels take them, contiguous; None where there are none."""
    if joints is None or weights is None or transforms is None:
        return None
    return Skinning(joints.contiguous(), weights.contiguous(), transforms.contiguous())
