"""Knows the reflectance model: Lambert under spherical harmonics and one soft key light, with a GGX gloss.

The formula stands in this room's README; the constants below carry their reasons and are shared with
the fused `render`.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._shapes import FLOATS

# Real spherical harmonics by l then m, as functions of the unit vector (x, y, z).
Y00 = 0.5 / math.sqrt(math.pi)  # 0.282095
Y1 = math.sqrt(3 / (4 * math.pi))  # 0.488603: y, z, x
Y2 = math.sqrt(15 / (4 * math.pi))  # 1.092548: xy, yz, xz
Y20 = math.sqrt(5 / (16 * math.pi))  # 0.315392: 3z² - 1
Y22 = math.sqrt(15 / (16 * math.pi))  # 0.546274: x² - y²
# Radiance to irradiance, per l: the clamped cosine in the same basis (Ramamoorthi & Hanrahan 2001).
A0, A1, A2 = math.pi, 2 * math.pi / 3, math.pi / 4
# How far light reaches past the terminator, in n·l, where scatter is 1: in skin red travels farthest, so the edge of a
# shadow is warm; a hard line looks like plastic.
WRAP = (0.30, 0.16, 0.10)
SKIN_F0 = 0.028  # reflectance at normal incidence for the refractive index of skin, 1.4: ((1.4 - 1) / (1.4 + 1))²
MIN_ROUGHNESS = 0.05  # a smoother lobe is narrower than a pixel and only makes fireflies
HORIZON = 0.15  # n·v below which the ambient mirror fades: an interpolated normal that turns away would reflect all
MIN_COSINE = 1e-4  # an interpolated normal may point a little away from the eye
TINY_SQUARED = 1e-20  # squared length below which a vector is not normalised


class SurfacePoints(NamedTuple):
    """Points of a surface, any number per image; `pain3d.kernels.shade` says what each field is."""

    albedo: Annotated[Tensor, "B ... 3", FLOATS]
    normal: Annotated[Tensor, "B ... 3", FLOATS]
    view_direction: Annotated[Tensor, "B ... 3", FLOATS]
    occlusion: Annotated[Tensor, "B ...", FLOATS]
    specular: Annotated[Tensor, "B ...", FLOATS]
    roughness: Annotated[Tensor, "B ...", FLOATS]
    scatter: Annotated[Tensor, "B ...", FLOATS]


class Lights(NamedTuple):
    """B times the light of an environment and a key light."""

    sh: Annotated[Tensor, "B 9 3", FLOATS]
    key_direction: Annotated[Tensor, "B 3", FLOATS]
    key_colour: Annotated[Tensor, "B 3", FLOATS]


def sh_basis(direction: Tensor, degree: int = 2) -> Tensor:
    """The real spherical harmonics to degree 2, by l then m.

    Args:
        direction: [..., 3] unit vectors.
        degree: 1 or 2.

    Returns:
        [..., 4 or 9].

    Gradients: to direction.
    """
    x, y, z = direction.unbind(-1)
    harmonics = [torch.full_like(x, Y00), Y1 * y, Y1 * z, Y1 * x]
    if degree == 2:
        harmonics += [Y2 * x * y, Y2 * y * z, Y20 * (3 * z * z - 1), Y2 * x * z, Y22 * (x * x - y * y)]
    return torch.stack(harmonics, -1)


def unit(vector: Tensor) -> Tensor:
    """Return the vectors [..., 3] at unit length; one shorter than 1e-10 comes back shorter than 1."""
    return vector / (vector * vector).sum(-1, keepdim=True).clamp(min=TINY_SQUARED).sqrt()


def shade_reference(points: SurfacePoints, lights: Lights) -> Tensor:
    """Return linear RGB radiance [B, ..., 3]; see `pain3d.kernels.shade`."""
    shape = points.albedo.shape
    batch, count = shape[0], math.prod(shape[1:-1])
    albedo, normal, view_direction = (v.reshape(batch, count, 3) for v in points[:3])
    occlusion, specular, roughness, scatter = (v.reshape(batch, count, 1) for v in points[3:])
    n, v = unit(normal), unit(view_direction)
    sh, light, key = lights.sh, lights.key_direction[:, None], lights.key_colour[:, None]

    factors = sh.new_tensor([A0] + [A1] * 3 + [A2] * 5)
    irradiance = (sh_basis(n) @ (sh * factors[:, None])).clamp(min=0)
    cosine = (n * light).sum(-1, keepdim=True)
    wrap = scatter * scatter.new_tensor(WRAP)  # [B, P, 3]
    wrapped = (cosine + wrap).clamp(min=0) / (1 + wrap) ** 2
    diffuse = albedo / math.pi * (irradiance * occlusion + key * wrapped)

    rough = roughness.clamp(MIN_ROUGHNESS, 1)
    half = unit(light + v)
    n_l, n_v = cosine.clamp(min=0), (n * v).sum(-1, keepdim=True).clamp(MIN_COSINE, 1)
    n_h, v_h = (n * half).sum(-1, keepdim=True).clamp(0, 1), (v * half).sum(-1, keepdim=True).clamp(0, 1)
    alpha = rough * rough
    spread = n_h * n_h * (alpha * alpha - 1) + 1
    distribution = alpha * alpha / (math.pi * spread * spread)
    # Joint masking and shadowing over 4 (n·l) (n·v), approximated by a mix (Hammon 2017).
    visibility = 0.5 / (2 * n_l * n_v + alpha * (n_l + n_v - 2 * n_l * n_v))
    fresnel = SKIN_F0 + (1 - SKIN_F0) * (1 - v_h) ** 5
    gloss = key * (distribution * visibility * fresnel * n_l)

    mirrored = 2 * (n * v).sum(-1, keepdim=True) * n - v
    seen = (sh_basis(mirrored, degree=1) @ sh[:, :4]).clamp(min=0)  # l ≤ 1: what a rough surface mirrors
    grazing = (1 - rough).clamp(min=SKIN_F0)
    horizon = (n_v / HORIZON).clamp(max=1)
    ambient = seen * ((SKIN_F0 + (grazing - SKIN_F0) * (1 - n_v) ** 5) * (1 - rough) * horizon)
    return (diffuse + occlusion * specular * (gloss + ambient)).reshape(shape)
