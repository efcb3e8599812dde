"""Knows `rasterize` and its backward pass as custom ops on Triton kernels: what they allocate, the chunks of views."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._groups import remembered_groups
from pain3d.kernels._triton import custom_op, on_device, refuse_gradient
from pain3d.kernels.rasterization.reference import Fragments
from pain3d.kernels.rasterization.workspace import allocate_workspace


def rasterize_triton(vertices_clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool) -> Fragments:
    """`pain3d.kernels.rasterize` for CUDA tensors (or CPU tensors in Triton's interpreter)."""
    return Fragments(*_rasterize(vertices_clip, faces, size[0], size[1], cull))


def rasterize_chunks(
    vertices_clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool, chunk: int | None = None
) -> Fragments:
    """Return the fragments of all views, `chunk` of them at a time: None is what the workspace holds."""
    from pain3d.kernels.rasterization.kernel import launch_fragments, launch_snap, launch_visibility

    (views, vertices), device = vertices_clip.shape[:2], vertices_clip.device
    fragments = Fragments(
        torch.empty(views, *size, dtype=torch.int32, device=device),
        torch.empty(views, *size, 3, dtype=torch.float32, device=device),
        torch.empty(views, *size, dtype=torch.float32, device=device),
    )
    if fragments.face_ids.numel() == 0:
        return fragments
    clip, corners = vertices_clip.contiguous(), faces.contiguous()
    with on_device(clip):
        workspace = allocate_workspace(views, vertices, len(corners), size, device, chunk)
        for first, last, epoch in workspace.passes(views):
            screen = workspace.screen[: last - first]
            launch_snap(clip[first:last], size, screen)
            launch_visibility(screen, corners, size, cull, workspace.keys, epoch, workspace.queue)
            launch_fragments(workspace.keys, screen, corners, epoch, *(output[first:last] for output in fragments))
    return fragments


@custom_op("rasterize")
def _rasterize(
    vertices_clip: Tensor, faces: Tensor, height: int, width: int, cull: bool
) -> tuple[Tensor, Tensor, Tensor]:
    face_ids, barycentrics, depth = rasterize_chunks(vertices_clip, faces, (height, width), cull)
    return face_ids, barycentrics, depth


@_rasterize.register_fake
def _(vertices_clip: Tensor, faces: Tensor, height: int, width: int, cull: bool) -> tuple[Tensor, Tensor, Tensor]:
    size = (len(vertices_clip), height, width)
    return (
        vertices_clip.new_empty(size, dtype=torch.int32),
        vertices_clip.new_empty((*size, 3)),
        vertices_clip.new_empty(size),
    )


@custom_op("rasterize_backward")
def rasterize_backward(
    to_barycentrics: Tensor | None, to_depth: Tensor | None, vertices_clip: Tensor, faces: Tensor, face_ids: Tensor
) -> Tensor:
    """Return the gradient [B, V, 4] to vertices_clip of those to barycentrics and depth; None is 0."""
    from pain3d.kernels.rasterization.kernel_backward import launch_to_clip

    if to_barycentrics is not None:
        to_barycentrics = to_barycentrics.contiguous()
    to_depth, faces = None if to_depth is None else to_depth.contiguous(), faces.contiguous()
    with on_device(vertices_clip):
        corners = remembered_groups(faces, vertices_clip.shape[1])
        clip, seen = vertices_clip.contiguous(), face_ids.contiguous()
        return launch_to_clip(to_barycentrics, to_depth, clip, faces, seen, corners)


@rasterize_backward.register_fake
def _(
    to_barycentrics: Tensor | None, to_depth: Tensor | None, vertices_clip: Tensor, faces: Tensor, face_ids: Tensor
) -> Tensor:
    return vertices_clip.new_empty(vertices_clip.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(inputs[0], inputs[1], output[0])


def _backward(ctx: Any, _: None, to_barycentrics: Tensor | None, to_depth: Tensor | None) -> tuple[Tensor | None, ...]:
    return rasterize_backward(to_barycentrics, to_depth, *ctx.saved_tensors), None, None, None, None


_rasterize.register_autograd(_backward, setup_context=_keep)
refuse_gradient(rasterize_backward, "rasterize", twice=True)
