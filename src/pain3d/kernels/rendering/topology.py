"""Knows what the fused `render` on a GPU reads of a mesh beside its vertices: tables, the same for every picture.

Made on the device by plain torch ops, without waiting for it: a call makes them anew, a `Renderer` keeps them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pain3d.kernels.deformation.kernel import vertex_faces
from pain3d.kernels.rendering.colour import SRGB_EDGES


class PreparedTopology(NamedTuple):
    """Tables of one mesh and one set of texture coordinates."""

    faces: Tensor  # [F, 3] int32
    adjacent_faces: Tensor  # [F, 3] int32
    uv_faces: Tensor  # [F, 3] int32
    uvs: Tensor  # [T, 2] float32
    uv_areas: Tensor  # [F] float32: twice the area of each face in the unit square
    face_labels: Tensor | None  # [F] uint8
    starts: Tensor  # [V + 1] int32, of `vertex_faces`
    members: Tensor  # [3 F] int32, likewise
    srgb_edges: Tensor  # [257] float32


def prepare_topology(
    faces: Tensor,
    adjacent_faces: Tensor,
    uvs: Tensor,
    uv_faces: Tensor,
    face_labels: Tensor | None,
    vertex_count: int,
) -> PreparedTopology:
    """Return the tables; arguments as those of `pain3d.kernels.render`."""
    corners = uvs.to(torch.float64)[uv_faces.long().clamp(0, max(len(uvs) - 1, 0))]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    starts, members = vertex_faces(faces, vertex_count)
    return PreparedTopology(
        faces=faces.to(torch.int32).contiguous(),
        adjacent_faces=adjacent_faces.to(torch.int32).contiguous(),
        uv_faces=uv_faces.to(torch.int32).contiguous(),
        uvs=uvs.contiguous(),
        uv_areas=(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).abs().to(torch.float32),
        face_labels=None if face_labels is None else face_labels.to(torch.uint8).contiguous(),
        starts=starts,
        members=members,
        srgb_edges=srgb_edges(uvs.device),
    )


@lru_cache(maxsize=16)
def srgb_edges(device: torch.device) -> Tensor:
    """Return `SRGB_EDGES` and inf behind it, [257] on the device: copied from the host once, by the first call."""
    return torch.from_numpy(np.append(SRGB_EDGES, np.float32(np.inf))).to(device)
