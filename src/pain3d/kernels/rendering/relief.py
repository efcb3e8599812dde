"""Knows what the texture's 16 channels mean: base colour, gloss, relief, scatter, and two layers that a mesh wears."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels.shading.reference import unit

# Albedo (red, green, blue), specular scale, roughness, slope along t and b, scatter; then of either detail layer the
# slope along t and b, shade and blood. One texel is one cache line of 64 bytes.
DETAIL_LAYERS = 2  # what an expression brings and takes away
DETAIL_START, DETAIL_CHANNELS = 8, 4
SLOPES = slice(5, 7)
CHANNELS = DETAIL_START + DETAIL_LAYERS * DETAIL_CHANNELS
# How much light of each channel a unit of blood takes: haemoglobin absorbs green most, red hardly.
BLOOD_TINT = (0.15, 0.75, 0.65)


def detailed(texels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Add the detail layers of texels [..., 16] by their weights [..., 2].

    Returns:
        Albedo [..., 3], specular scale [...] and slope [..., 2], along the tangents t and b.

    Gradients: to texels and weights, 0 where shade is outside 0 … 1 or blood takes all light of a channel.
    """
    layers = texels[..., DETAIL_START:].reshape(*texels.shape[:-1], DETAIL_LAYERS, DETAIL_CHANNELS)
    slope_t, slope_b, shade, blood = (weights[..., None] * layers).sum(-2).unbind(-1)
    left = 1 - shade.clamp(0, 1)
    taken = blood[..., None] * texels.new_tensor(BLOOD_TINT)
    albedo = texels[..., :3] * left[..., None] * (1 - taken).clamp(min=0)
    return albedo, texels[..., 3] * left, texels[..., SLOPES] + torch.stack([slope_t, slope_b], -1)


def tilted(normal: Tensor, up: Tensor, slope: Tensor) -> Tensor:
    """Tilt normals [..., 3] of any length by slopes [..., 2] along t = up x n and b = n x t, n of unit length.

    Returns:
        n + slope_t t + slope_b b, [..., 3], not of unit length: shading normalises it.

    Gradients: to all three.
    """
    n = unit(normal)
    t = torch.linalg.cross(up, n)
    b = up - (up * n).sum(-1, keepdim=True) * n
    turned: Tensor = n + slope[..., :1] * t + slope[..., 1:] * b
    return turned
