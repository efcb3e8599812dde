"""Knows the fused `render` on a CPU as a function of torch's autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pain3d.kernels.rendering.bundles import FORMS, Rendered, RenderInputs, Request, scene_of, tensors_of
from pain3d.kernels.rendering.cpu import render_cpu
from pain3d.kernels.rendering.cpu_backward import Given, differentiate_cpu


def render_with_gradient(scene: RenderInputs, request: Request) -> Rendered:
    """As `render_cpu`, differentiable; the image as NHWC and float32 for any dtype but bytes."""
    names = tuple(dict.fromkeys(request.outputs))
    tensors = tensors_of(scene).values()
    made = _Render.apply(request._replace(outputs=names), scene.texture[1:], scene.size, *tensors)  # type: ignore[no-untyped-call]
    return Rendered(**dict(zip(names, made, strict=True)))


class _Render(torch.autograd.Function):
    """Keeps the inputs alone: the backward computes everything anew."""

    @staticmethod
    def forward(
        ctx: Any, request: Request, sides: tuple[int, int], size: tuple[int, int], *tensors: Tensor | None
    ) -> Any:
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        ctx.rest = request, sides, size
        made = render_cpu(_scene(tensors, sides, size), request.outputs)._asdict()
        if made["image"] is not None and request.image_dtype != "uint8":
            made["image"] = made["image"].to(torch.float32) / 255
        answers = tuple(made[name] for name in request.outputs)
        ctx.mark_non_differentiable(*[answer for answer in answers if not answer.is_floating_point()])
        return answers

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        request, sides, size = ctx.rest
        given = dict.fromkeys(Given._fields) | {
            name: gradient for name, gradient in zip(request.outputs, gradients, strict=True) if name in Given._fields
        }
        needed = {name for name, wanted in zip(FORMS, ctx.needs_input_grad[3:], strict=True) if wanted}
        made = differentiate_cpu(_scene(ctx.saved_tensors, sides, size), given, needed)
        return (None, None, None, *(made.get(name) for name in FORMS))


def _scene(tensors: tuple[Tensor | None, ...], sides: tuple[int, int], size: tuple[int, int]) -> RenderInputs:
    return scene_of(dict(zip(FORMS, tensors, strict=True)), sides, size)
