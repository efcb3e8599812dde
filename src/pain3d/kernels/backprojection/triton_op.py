"""Knows back-projection as a custom op: `pain3d::backproject`, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient
from pain3d.kernels.backprojection.bundles import Limits, Surface, Views


@custom_op("backproject")
def backproject_triton(
    pictures: Tensor,
    depth: Tensor,
    confidence: Tensor,
    numbers: Tensor,
    meshes: Tensor,
    faces: Tensor,
    texel_faces: Tensor,
    texel_barycentrics: Tensor,
    limits: list[float],
) -> tuple[Tensor, Tensor]:
    """Return colours [N, S, T, C] and weights [N, S, T], float32; tensors and numbers of the room's bundles."""
    from pain3d.kernels.backprojection.kernel import launch_backproject

    views = Views(*(tensor.contiguous() for tensor in (pictures, depth, confidence, numbers)))
    surface = Surface(*(tensor.contiguous() for tensor in (meshes, faces, texel_faces, texel_barycentrics)))
    shape = (len(pictures), *texel_faces.shape)
    colours, weights = pictures.new_empty(*shape, pictures.shape[-1]), pictures.new_empty(shape)
    with on_device(pictures):
        launch_backproject(views, surface, Limits(*limits), colours, weights)
    return colours, weights


@backproject_triton.register_fake
def _(
    pictures: Tensor,
    depth: Tensor,
    confidence: Tensor,
    numbers: Tensor,
    meshes: Tensor,
    faces: Tensor,
    texel_faces: Tensor,
    texel_barycentrics: Tensor,
    limits: list[float],
) -> tuple[Tensor, Tensor]:
    shape = (len(pictures), *texel_faces.shape)
    return pictures.new_empty(*shape, pictures.shape[-1]), pictures.new_empty(shape)


refuse_gradient(backproject_triton, "backproject")
