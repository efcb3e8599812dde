"""Knows how a strand of hair answers light: two lobes along it, and a wrapped diffuse part, at the vertices.

The model is that of Scheuermann 2004 ("Practical real-time hair rendering and shading"): Kajiya and Kay 1989 twice,
with tangents shifted as Marschner et al. 2003 measured: what is reflected at the surface, white, towards the root; what
has been through the strand, in its colour, towards the tip. The formula stands in the room's README.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pain3d.kernels.layering.bundles import LayerScene
from pain3d.kernels.shading.reference import A0, A1, A2, sh_basis, unit

# Shifts are slopes of the cuticle's scales: 3 degrees (Marschner: 2 to 4) tilt a reflection by twice that towards the
# root, and by three times that towards the tip of what was reflected inside.
FIRST_SHIFT, SECOND_SHIFT = -0.10, 0.16
FIRST_POWER, SECOND_POWER = 32, 8  # of sin²: lobes of 7 and 14 degrees, powers of two that need squarings alone
FIRST_STRENGTH = (
    0.060  # radiance per irradiance at the lobe's peak: Fresnel of 1.55 (0.046), over 7 degrees, on a fibre
)
SECOND_STRENGTH = 0.30  # likewise, times tint
SKY_STRENGTH = 0.045  # of the sky's mirror image: the same Fresnel
WRAP = 0.4  # how far light reaches past the terminator, in n·l: from strand to strand
REACH = 0.25  # how far the lobes do, which need light that came straight
ALONG = 0.35  # share of the key light that a strand scatters even where it lies along the light
TURN = 0.7  # share of a normal along the strand that is taken out: a strand's own normals are square to it


def light_vertices(scene: LayerScene, picture: Tensor, vertex: Tensor) -> Tensor:
    """Return [P, 6]: of each vertex what multiplies the texture's albedo, and what is added to it, both RGB radiance.

    Args:
        scene: Ribbons and lights.
        picture: [P] int64 whose light and eye.
        vertex: [P] int64.

    Gradients: to tangents, normals, tint, occlusion, gloss and lights; none to vertices and camera_position.
    """
    ribbons, eyes, lights = scene.ribbons, scene.eyes, scene.lights
    t, outward = unit(ribbons.tangents[vertex]), unit(ribbons.normals[vertex])
    tint, occlusion = ribbons.tint[vertex], ribbons.occlusion[vertex][:, None]
    gloss = ribbons.gloss[vertex][:, None] * occlusion
    v = unit((eyes.camera_position[picture] - ribbons.vertices[vertex]).detach())
    n = unit(outward - TURN * _dot(outward, t) * t)
    sh, light = lights.sh[picture], lights.key_direction[picture]
    key = lights.key_colour[picture]

    factors = sh.new_tensor([A0] + [A1] * 3 + [A2] * 5)
    irradiance = ((sh_basis(n) * factors)[:, None] @ sh)[:, 0].clamp(min=0)
    cosine = _dot(n, light)
    across = (1 - _dot(t, light) ** 2).clamp(min=0)  # sin²
    wrapped = (cosine + WRAP).clamp(min=0) / (1 + WRAP) ** 2 * (ALONG + (1 - ALONG) * across)
    straight = ((cosine + REACH) / (1 + REACH)).clamp(0, 1)

    half = unit(light + v)
    first = straight * _lobe(t, n, half, FIRST_SHIFT, FIRST_POWER)
    second = straight * _lobe(t, n, half, SECOND_SHIFT, SECOND_POWER)
    mirrored = 2 * _dot(n, v) * n - v
    sky = (sh_basis(mirrored, degree=1)[:, None] @ sh[:, :4])[:, 0].clamp(min=0)

    body = tint * occlusion * ((irradiance + key * wrapped) / math.pi + key * (SECOND_STRENGTH * second))
    sheen = gloss * (key * (FIRST_STRENGTH * first) + SKY_STRENGTH * sky)
    return torch.cat([body, sheen], 1)


def _lobe(t: Tensor, n: Tensor, half: Tensor, shift: float, power: int) -> Tensor:
    """sin² of the angle between the shifted tangent and the half vector, to a power."""
    along = _dot(unit(t + shift * n), half)
    return (1 - along * along).clamp(min=0) ** power


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(-1, keepdim=True)
