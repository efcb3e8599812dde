"""Knows shading as a custom op: `pain3d::shade`, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pain3d.kernels._triton import on_device, refuse_gradient
from pain3d.kernels.shading.kernel import launch_shade


@torch.library.custom_op("pain3d::shade", mutates_args=())
def shade_triton(
    albedo: Tensor,
    normal: Tensor,
    view_direction: Tensor,
    sh: Tensor,
    key_direction: Tensor,
    key_colour: Tensor,
    occlusion: Tensor,
    specular: Tensor,
    roughness: Tensor,
    scatter: Tensor,
) -> Tensor:
    """Return linear RGB radiance [B, ..., 3], float32; see `pain3d.kernels.shade`."""
    light = torch.empty_like(albedo, memory_format=torch.contiguous_format)
    batch, points = albedo.shape[0], math.prod(albedo.shape[1:-1])
    vectors = [tensor.reshape(batch, points, 3).contiguous() for tensor in (albedo, normal, view_direction)]
    scalars = [tensor.reshape(batch, points).contiguous() for tensor in (occlusion, specular, roughness, scatter)]
    lights = [tensor.contiguous() for tensor in (sh, key_direction, key_colour)]
    with on_device(albedo):
        launch_shade(light.view(batch, points, 3), *vectors, *lights, *scalars)
    return light


@shade_triton.register_fake
def _(
    albedo: Tensor,
    normal: Tensor,
    view_direction: Tensor,
    sh: Tensor,
    key_direction: Tensor,
    key_colour: Tensor,
    occlusion: Tensor,
    specular: Tensor,
    roughness: Tensor,
    scatter: Tensor,
) -> Tensor:
    return torch.empty_like(albedo, memory_format=torch.contiguous_format)


refuse_gradient(shade_triton, "shade")
