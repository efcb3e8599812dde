"""Knows what interpolation means: the barycentric mean of three vertices, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate_reference(
    attributes: Tensor,  # [B or 1, V, C]
    faces: Tensor,  # [F, 3] int
    face_ids: Tensor,  # [B, H, W] int32
    barycentrics: Tensor,  # [B, H, W, 3]
) -> Tensor:
    """Return [B, H, W, C], 0 on background; see `pain3d.kernels.interpolate`."""
    channels = attributes.shape[-1]
    covered = face_ids >= 0
    if len(faces) == 0 or attributes.shape[1] == 0:
        return attributes.new_zeros(*face_ids.shape, channels)
    corners = faces.long()[face_ids.long().clamp(min=0)]  # [B, H, W, 3]
    image = torch.arange(len(face_ids), device=face_ids.device)[:, None, None, None]
    values = attributes[image if len(attributes) == len(face_ids) else 0, corners]  # [B, H, W, 3, C]
    weights = torch.where(covered[..., None], barycentrics, 0.0)
    mixed = weights[..., 0, None] * values[..., 0, :]
    for corner in (1, 2):
        mixed = mixed + weights[..., corner, None] * values[..., corner, :]
    return torch.where(covered[..., None], mixed, 0.0)
