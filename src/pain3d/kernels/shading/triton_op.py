"""Knows shading as custom ops: `pain3d::shade` and its backward, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient
from pain3d.kernels.shading.reference import Lights, SurfacePoints

NAMES = (*SurfacePoints._fields, *Lights._fields)
ARGUMENTS = ", ".join(f"Tensor {name}" for name in NAMES)
BACKWARD = f"(Tensor gradient, {ARGUMENTS}, bool[] wanted) -> ({', '.join(['Tensor'] * len(NAMES))})"


def shade_triton(points: SurfacePoints, lights: Lights) -> Tensor:
    """Return linear RGB radiance [B, ..., 3], float32; see `pain3d.kernels.shade`."""
    light: Tensor = shade_op(*points, *lights)
    return light


@custom_op("shade", schema=f"({ARGUMENTS}) -> Tensor")
def shade_op(*tensors: Tensor) -> Tensor:
    """The fields of `SurfacePoints` and `Lights`, in order."""
    from pain3d.kernels.shading.kernel import launch_shade

    points, lights = _flat(tensors)
    light = torch.empty_like(tensors[0], memory_format=torch.contiguous_format)
    with on_device(light):
        launch_shade(points, lights, light.view(points.albedo.shape))
    return light


@shade_op.register_fake
def _(albedo: Tensor, *tensors: Tensor) -> Tensor:
    return torch.empty_like(albedo, memory_format=torch.contiguous_format)


@custom_op("shade_backward", schema=BACKWARD)
def shade_backward_op(gradient: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """Return the gradients of the ten inputs from that of the light; where `wanted` is False, an empty tensor."""
    from pain3d.kernels.shading.kernel_backward import launch_shade_backward

    tensors, wanted = arguments[:-1], arguments[-1]
    points, lights = _flat(tensors)
    grads = _new_gradients(tensors, wanted)
    many = len(points)
    flat = tuple(
        grad.view(point.shape) if want else None
        for grad, point, want in zip(grads[:many], points, wanted[:many], strict=True)
    )
    with on_device(gradient):
        upstream = gradient.reshape(points.albedo.shape).contiguous()
        of_lights = launch_shade_backward(upstream, points, lights, flat, tuple(wanted[many:]))
    found = zip(grads[many:], of_lights, strict=True)
    return (*grads[:many], *(empty if summed is None else summed for empty, summed in found))


@shade_backward_op.register_fake
def _(gradient: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    return _new_gradients(arguments[:-1], arguments[-1])


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad)
    grads = shade_backward_op(gradient, *ctx.saved_tensors, wanted)
    return tuple(grad if want else None for grad, want in zip(grads, wanted, strict=True))


shade_op.register_autograd(_backward, setup_context=_keep)
refuse_gradient(shade_backward_op, "shade", twice=True)


def _flat(tensors: Sequence[Tensor]) -> tuple[SurfacePoints, Lights]:
    """The bundles as the kernels take them: contiguous, the dimensions in the middle made one."""
    points, lights = tensors[: len(SurfacePoints._fields)], tensors[len(SurfacePoints._fields) :]
    batch, count = points[0].shape[0], math.prod(points[0].shape[1:-1])
    vectors = (tensor.reshape(batch, count, 3).contiguous() for tensor in points[:3])
    scalars = (tensor.reshape(batch, count).contiguous() for tensor in points[3:])
    return SurfacePoints(*vectors, *scalars), Lights(*(tensor.contiguous() for tensor in lights))


def _new_gradients(tensors: Sequence[Tensor], wanted: Sequence[bool]) -> tuple[Tensor, ...]:
    """Memory of gradients of these shapes, empty where nobody wants one."""
    return tuple(tensor.new_empty(tensor.shape if want else (0,)) for tensor, want in zip(tensors, wanted, strict=True))
