"""Knows `antialias` and its backward pass as torch custom ops of a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient

CHUNK = 2**23  # pixels: 400 MB of silhouettes


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


@custom_op("antialias_backward")
def antialias_backward(
    gradient: Tensor,
    colour: Tensor,
    face_ids: Tensor,
    depth: Tensor,
    vertices_clip: Tensor,
    faces: Tensor,
    adjacent_faces: Tensor,
    to_colour: bool,
    to_clip: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients to colour and vertices_clip of that to the antialiased colour; empty where not wanted.

    Views go through in chunks: what a pixel's silhouettes are takes 48 bytes of memory.
    """
    from pain3d.kernels.antialiasing.kernel_backward import Seen, launch_to_clip, launch_to_colour, launch_weigh
    from pain3d.kernels.rasterization.kernel import launch_snap

    of_colour, of_clip = _new(colour, vertices_clip, to_colour, to_clip)
    if colour.numel() == 0 or len(faces) == 0:
        return (of_colour.copy_(gradient) if to_colour else of_colour), of_clip.zero_()
    faces, adjacent_faces = faces.to(torch.int32).contiguous(), adjacent_faces.to(torch.int32).contiguous()
    (views, height, width), chunk = face_ids.shape, max(CHUNK // (face_ids.shape[1] * face_ids.shape[2]), 1)
    with on_device(colour):
        for first in range(0, views, chunk):
            part = slice(first, first + chunk)
            clip, upstream = vertices_clip[part].contiguous(), gradient[part].contiguous()
            screen = torch.empty(clip.shape, dtype=torch.int32, device=colour.device)
            launch_snap(clip, (height, width), screen)
            ids = face_ids[part].to(torch.int32).contiguous()
            seen = Seen(ids, depth[part].contiguous(), screen, faces, adjacent_faces)
            found = launch_weigh(upstream if to_clip else None, colour[part].contiguous() if to_clip else None, seen)
            if to_colour:
                launch_to_colour(upstream, found.weights, of_colour[part])
            if to_clip:
                launch_to_clip(seen, found, clip, of_clip[part])
    return of_colour, of_clip


@antialias_backward.register_fake
def _(
    gradient: Tensor,
    colour: Tensor,
    face_ids: Tensor,
    depth: Tensor,
    vertices_clip: Tensor,
    faces: Tensor,
    adjacent_faces: Tensor,
    to_colour: bool,
    to_clip: bool,
) -> tuple[Tensor, Tensor]:
    return _new(colour, vertices_clip, to_colour, to_clip)


def _new(colour: Tensor, vertices_clip: Tensor, to_colour: bool, to_clip: bool) -> tuple[Tensor, Tensor]:
    """Memory of the gradients, empty where nobody wants one."""
    return (
        colour.new_empty(colour.shape if to_colour else (0,)),
        vertices_clip.new_empty(vertices_clip.shape if to_clip else (0,)),
    )


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    to_colour, to_clip = ctx.needs_input_grad[0], ctx.needs_input_grad[3]
    of_colour, of_clip = antialias_backward(gradient, *ctx.saved_tensors, to_colour, to_clip)
    return of_colour if to_colour else None, None, None, of_clip if to_clip else None, None, None


antialias_op.register_autograd(_backward, setup_context=_keep)
refuse_gradient(antialias_backward, "antialias", twice=True)


def antialias_triton(
    colour: Tensor, face_ids: Tensor, depth: Tensor, vertices_clip: Tensor, faces: Tensor, adjacent_faces: Tensor
) -> Tensor:
    """`pain3d.kernels.antialias` for float32 tensors; two launches."""
    result: Tensor = antialias_op(colour, face_ids, depth, vertices_clip, faces, adjacent_faces)
    return result
