"""Knows texture look-ups as custom ops, `pain3d::sample_texture` and its backward, for CUDA tensors.

(And for CPU tensors in Triton's interpreter.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._fixed_point import steps_for
from pain3d.kernels._triton import custom_op, on_device, refuse_gradient


@custom_op("sample_texture")
def sample_texture_triton(texels: Tensor, uv: Tensor, level: Tensor | None, height: int, width: int) -> Tensor:
    """Return [B, H, W, C], float32, from texels [B or 1, N, C] of a texture of height x width or of its mip chain.

    N is at least height * width, and without a level no more is read. See `pain3d.kernels.sample_texture`.
    """
    from pain3d.kernels.texturing.kernel import launch_sample_texture

    values = uv.new_empty(*uv.shape[:-1], texels.shape[-1])
    level = None if level is None else level.contiguous()
    with on_device(uv):
        launch_sample_texture(_dense(texels), uv.contiguous(), level, height, width, values)
    return values


@sample_texture_triton.register_fake
def _(texels: Tensor, uv: Tensor, level: Tensor | None, height: int, width: int) -> Tensor:
    return uv.new_empty(*uv.shape[:-1], texels.shape[-1])


@custom_op("sample_texture_backward")
def sample_texture_backward(
    gradient: Tensor,
    texels: Tensor,
    uv: Tensor,
    level: Tensor | None,
    height: int,
    width: int,
    to_texels: bool,
    to_uv: bool,
    to_level: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients to texels, uv and level of the gradient [B, H, W, C] to the values.

    Float32; one that is not wanted is empty. The sums of texels take 8 bytes a number while it runs.
    """
    from pain3d.kernels.texturing.kernel_backward import TextureGradients, launch_sample_texture_backward

    of_texels, of_uv, of_level = _new(texels, uv, to_texels, to_uv, to_level)
    if gradient.numel() == 0:
        return of_texels.zero_(), of_uv.zero_(), of_level.zero_()
    sums, steps = None, None
    if to_texels:
        groups = gradient.reshape(len(texels), -1)  # of the images that share a texture
        steps = steps_for(torch.linalg.vector_norm(groups, torch.inf, 1), groups.shape[1] // gradient.shape[-1])
        sums = torch.zeros(texels.shape, dtype=torch.int64, device=uv.device)
    level = None if level is None else level.contiguous()
    into = TextureGradients(
        sums, None if steps is None else steps.per_value, of_uv if to_uv else None, of_level if to_level else None
    )
    with on_device(uv):
        launch_sample_texture_backward(
            gradient.contiguous(), _dense(texels), uv.contiguous(), level, (height, width), into
        )
    if sums is not None and steps is not None:
        torch.mul(sums, steps.value[:, None, None], out=of_texels)
    return of_texels, of_uv, of_level


@sample_texture_backward.register_fake
def _(
    gradient: Tensor,
    texels: Tensor,
    uv: Tensor,
    level: Tensor | None,
    height: int,
    width: int,
    to_texels: bool,
    to_uv: bool,
    to_level: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return _new(texels, uv, to_texels, to_uv, to_level)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    texels, uv, level, ctx.height, ctx.width = inputs
    ctx.save_for_backward(texels, uv, level)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    texels, uv, level = ctx.saved_tensors
    wanted = [*ctx.needs_input_grad[:2], level is not None and ctx.needs_input_grad[2]]
    found = sample_texture_backward(gradient, texels, uv, level, ctx.height, ctx.width, *wanted)
    return (*(grad if want else None for grad, want in zip(found, wanted, strict=True)), None, None)


sample_texture_triton.register_autograd(_backward, setup_context=_keep)
refuse_gradient(sample_texture_backward, "sample_texture", twice=True)


def _dense(texels: Tensor) -> Tensor:
    """Contiguous within an image: an expanded batch stays as it is."""
    return texels.contiguous() if len(texels) == 0 or not texels[0].is_contiguous() else texels


def _new(texels: Tensor, uv: Tensor, to_texels: bool, to_uv: bool, to_level: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Memory of the gradients, empty where nobody wants one."""
    return (
        texels.new_empty(texels.shape if to_texels else (0,)),
        uv.new_empty(uv.shape if to_uv else (0,)),
        uv.new_empty(uv.shape[:-1] if to_level else (0,)),
    )
