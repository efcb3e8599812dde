"""Knows the public face of the room `shade`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, check_dtypes, check_shapes, forms_of
from pain3d.kernels.shading.reference import Lights, SurfacePoints, shade_reference
from pain3d.kernels.shading.triton_op import shade_triton

AVAILABLE = ("reference", "triton")
FORMS = forms_of(SurfacePoints, Lights)


def shade(
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
    *,
    backend: str | None = None,
) -> Tensor:
    """Light a surface: diffuse under the environment and the key light, plus a gloss of both.

    The formula is in the room's README. The dimensions between the batch and the channels (``...``) are free: [B, H, W,
    3] for images, [B, P, 3] for points.

    Args:
        albedo: [B, ..., 3] linear, 0–1.
        normal: [B, ..., 3], outwards, any length (normalised here).
        view_direction: [B, ..., 3], from the surface to the eye, any length (normalised here).
        sh: [B, 9, 3] real spherical harmonics of the environment's radiance, by l then m, world axes.
        key_direction: [B, 3] unit vector from the surface to the key light.
        key_colour: [B, 3] irradiance of the key light on a surface that faces it.
        occlusion: [B, ...], 0 (closed) to 1 (open): scales the environment's diffuse light and all gloss.
        specular: [B, ...] scale of the gloss, 1 for skin.
        roughness: [B, ...], 0–1, clamped from below at 0.05.
        scatter: [B, ...], 0 (none) to 1 (skin): how far light reaches past the terminator, red farthest.
        backend: ``"reference"``, ``"triton"`` (float32) or None for the default order.

    Returns:
        [B, ..., 3] linear RGB radiance, at least 0 for inputs in range.

    Gradients: to all ten tensors, 0 where a term is clamped; with ``triton`` once, not of gradients.

    Raises:
        ValueError: A shape or dtype does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    points = SurfacePoints(albedo, normal, view_direction, occlusion, specular, roughness, scatter)
    lights = Lights(sh, key_direction, key_colour)
    tensors = dict(zip(FORMS, (*points, *lights), strict=True))
    check_shapes(**{name: (tensor, FORMS[name][0]) for name, tensor in tensors.items()})
    check_dtypes(FLOATS, **tensors)
    available = AVAILABLE if albedo.dtype == torch.float32 else ("reference",)  # the kernel is float32 only
    chosen = resolve_backend("shade", backend, available, *points, *lights, with_gradient=("triton",))
    if chosen == "triton":
        return shade_triton(points, lights)
    return shade_reference(points, lights)
