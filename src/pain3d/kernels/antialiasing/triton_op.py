"""Knows `antialias` as a torch custom op of a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient


@custom_op("antialias")
def antialias_op(
    colour: Tensor, face_ids: Tensor, depth: Tensor, vertices_clip: Tensor, faces: Tensor, adjacent_faces: Tensor
) -> Tensor:
    """Return [B, H, W, C]; see `pain3d.kernels.antialias`."""
    from pain3d.kernels.antialiasing.kernel import launch_antialias
    from pain3d.kernels.rasterization.kernel import launch_snap

    if colour.numel() == 0 or len(faces) == 0:
        return colour.clone(memory_format=torch.contiguous_format)
    out = torch.empty(colour.shape, dtype=colour.dtype, device=colour.device)
    screen = torch.empty(vertices_clip.shape, dtype=torch.int32, device=colour.device)
    with on_device(colour):
        launch_snap(vertices_clip.contiguous(), (colour.shape[1], colour.shape[2]), screen)
        launch_antialias(
            colour.contiguous(),
            face_ids.to(torch.int32).contiguous(),
            depth.contiguous(),
            screen,
            faces.to(torch.int32).contiguous(),
            adjacent_faces.to(torch.int32).contiguous(),
            out,
        )
    return out


@antialias_op.register_fake
def _(
    colour: Tensor, face_ids: Tensor, depth: Tensor, vertices_clip: Tensor, faces: Tensor, adjacent_faces: Tensor
) -> Tensor:
    return torch.empty(colour.shape, dtype=colour.dtype, device=colour.device)


refuse_gradient(antialias_op, "antialias")


def antialias_triton(
    colour: Tensor, face_ids: Tensor, depth: Tensor, vertices_clip: Tensor, faces: Tensor, adjacent_faces: Tensor
) -> Tensor:
    """`pain3d.kernels.antialias` for float32 tensors, without gradients; two launches."""
    result: Tensor = antialias_op(colour, face_ids, depth, vertices_clip, faces, adjacent_faces)
    return result
