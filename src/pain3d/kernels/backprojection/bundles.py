"""Knows what the room hands around: views, the surface under a texture, and limits."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NUMBERS = 26  # of a view


class Views(NamedTuple):
    """N pictures of a mesh, with what they say of it.

    Attributes:
        pictures: [N, H, W, C].
        depth: [N, H, W] metres, inf on background.
        confidence: [N, H, W] 0–1.
        numbers: [N, 26]: `view_numbers`.
    """

    pictures: Tensor
    depth: Tensor
    confidence: Tensor
    numbers: Tensor


class Surface(NamedTuple):
    """What lies under the texels.

    Attributes:
        meshes: [N or 1, V, 6]: position in metres and normal of any length.
        faces: [F, 3] int32 or int64.
        texel_faces: [S, T] int32 or int64, -1 for none.
        texel_barycentrics: [S, T, 3].
    """

    meshes: Tensor
    faces: Tensor
    texel_faces: Tensor
    texel_barycentrics: Tensor


class Limits(NamedTuple):
    """Numbers of `pain3d.kernels.backproject`."""

    power: float
    least_cosine: float
    tolerance: float


def view_numbers(world_to_clip: Tensor, camera_position: Tensor) -> Tensor:
    """Return [N, 26], what a backend needs of each view.

    0–11: rows x, y, w of `world_to_clip`, four numbers each; 12–20: the cofactors of their linear part, row by row,
    which turn normals of the world into normals of (x, y, w); 21–23: camera position; 24, 25: what a step of 1 in
    x / w and in y / w is at a distance of 1 m, in metres.
    """
    x, y, w = world_to_clip[:, 0], world_to_clip[:, 1], world_to_clip[:, 3]
    turned = [torch.linalg.cross(one[:, :3], two[:, :3]) for one, two in ((y, w), (w, x), (x, y))]
    steps = [1 / row[:, :3].norm(dim=1, keepdim=True) for row in (x, y)]
    return torch.cat([x, y, w, *turned, camera_position, *steps], 1)
