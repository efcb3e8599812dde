"""Knows what deformation, projection and vertex normals mean: plain torch, any device, float32 and float64."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels.deformation.bundles import Skinning

TINY = 1e-38  # squared length below which a normal has no direction: the smallest normal float32


def deform_reference(
    template: Tensor,  # [T, V, 3]
    basis: Tensor,  # [K, V, 3]
    coefficients: Tensor,  # [B, K]
    skinning: Skinning | None,
    template_index: Tensor | None,  # [B] int64
) -> Tensor:
    """Return vertices [B, V, 3]; see `pain3d.kernels.deform` for the arguments."""
    shapes, count, _ = basis.shape
    start = template if template_index is None else template[template_index.long()]
    offsets = (coefficients @ basis.reshape(shapes, count * 3)).reshape(len(coefficients), count, 3)
    vertices = start + offsets
    return vertices if skinning is None else _skin(vertices, skinning)


def deform_pairs_reference(
    shaped: Tensor,  # [I, V, 3]
    offsets: Tensor,  # [E, V, 3]
    shaped_index: Tensor,  # [B] int
    offset_index: Tensor,  # [B] int
    skinning: Skinning | None,
) -> Tensor:
    """Return vertices [B, V, 3]; see `pain3d.kernels.deform_pairs` for the arguments."""
    vertices = shaped[shaped_index.long()] + offsets[offset_index.long()]
    return vertices if skinning is None else _skin(vertices, skinning)


def _skin(vertices: Tensor, skinning: Skinning) -> Tensor:
    affine = skinning.transforms[:, :, :3, :]  # [B, J, 3, 4]
    blended = torch.zeros(*vertices.shape[:2], 3, 4, dtype=vertices.dtype, device=vertices.device)
    for slot in range(skinning.joints.shape[1]):
        blended = blended + skinning.weights[:, slot, None, None] * affine[:, skinning.joints[:, slot].long()]
    return (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]


def to_clip(vertices: Tensor, world_to_clip: Tensor) -> Tensor:
    """Return vertices_clip [B, V, 4] float64 of vertices [B, V, 3]; term by term: every backend gets these bits."""
    x, y, z = vertices.to(torch.float64).unbind(-1)
    m = world_to_clip.to(torch.float64)[..., None]  # [B, 4, 4, 1]
    return torch.stack([m[:, row, 0] * x + m[:, row, 1] * y + m[:, row, 2] * z + m[:, row, 3] for row in range(4)], -1)


def vertex_normals_reference(vertices: Tensor, faces: Tensor) -> Tensor:
    """Return unit normals [B, V, 3] of vertices [B, V, 3] and faces [F, 3]; see `pain3d.kernels.vertex_normals`."""
    corners = faces.long()
    a, b, c = (vertices[:, corners[:, corner]] for corner in range(3))
    crossed = _cross(b - a, c - a)  # [B, F, 3], length is twice the area
    summed = torch.zeros_like(vertices)
    for corner in range(3):
        summed = summed.index_add(1, corners[:, corner], crossed)
    squared = (summed * summed).sum(-1, keepdim=True)
    has_direction = squared > TINY
    return torch.where(has_direction, summed / squared.where(has_direction, torch.ones_like(squared)).sqrt(), 0.0)


def _cross(one: Tensor, two: Tensor) -> Tensor:
    """Their cross product [..., 3], 0 of two equal vectors: `torch.linalg.cross` fuses its products and leaves dust."""
    (x, y, z), (u, v, w) = one.unbind(-1), two.unbind(-1)
    return torch.stack([y * w - z * v, z * u - x * w, x * v - y * u], -1)
