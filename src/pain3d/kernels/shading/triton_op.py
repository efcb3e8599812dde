"""Knows shading as a custom op: `pain3d::shade`, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient
from pain3d.kernels.shading.reference import Lights, SurfacePoints

NAMES = (*SurfacePoints._fields, *Lights._fields)
SCHEMA = f"({', '.join(f'Tensor {name}' for name in NAMES)}) -> Tensor"


def shade_triton(points: SurfacePoints, lights: Lights) -> Tensor:
    """Return linear RGB radiance [B, ..., 3], float32; see `pain3d.kernels.shade`."""
    light: Tensor = shade_op(*points, *lights)
    return light


@custom_op("shade", schema=SCHEMA)
def shade_op(*tensors: Tensor) -> Tensor:
    """The fields of `SurfacePoints` and `Lights`, in order."""
    from pain3d.kernels.shading.kernel import launch_shade

    points, lights = SurfacePoints(*tensors[:-3]), Lights(*tensors[-3:])
    shape = points.albedo.shape
    batch, count = shape[0], math.prod(shape[1:-1])
    light = torch.empty_like(points.albedo, memory_format=torch.contiguous_format)
    vectors = (tensor.reshape(batch, count, 3).contiguous() for tensor in points[:3])
    scalars = (tensor.reshape(batch, count).contiguous() for tensor in points[3:])
    flat = SurfacePoints(*vectors, *scalars)
    with on_device(light):
        launch_shade(flat, Lights(*(tensor.contiguous() for tensor in lights)), light.view(batch, count, 3))
    return light


@shade_op.register_fake
def _(albedo: Tensor, *tensors: Tensor) -> Tensor:
    return torch.empty_like(albedo, memory_format=torch.contiguous_format)


refuse_gradient(shade_op, "shade")
