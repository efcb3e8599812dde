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
from pain3d.kernels.rendering.bundles import Triangles
from pain3d.kernels.rendering.colour import SRGB_EDGES
from pain3d.kernels.rendering.reference import uv_areas


class PreparedTopology(NamedTuple):
    """Tables of one mesh and one set of texture coordinates."""

    triangles: Triangles  # int32, labels uint8, contiguous
    uv_areas: Tensor  # [F] float32: twice the area of each face in the unit square
    starts: Tensor  # [V + 1] int32, of `vertex_faces`
    members: Tensor  # [3 F] int32, likewise
    srgb_edges: Tensor  # [257] float32


def prepare_topology(triangles: Triangles, vertex_count: int) -> PreparedTopology:
    """Return the tables; the triangles' fields are arguments of `pain3d.kernels.render`."""
    faces, adjacent_faces, uvs, uv_faces, face_labels = triangles
    existing = uv_faces.clamp(0, max(len(uvs) - 1, 0))  # nobody has checked the indices on a device
    starts, members = vertex_faces(faces, vertex_count)
    return PreparedTopology(
        triangles=Triangles(
            faces=faces.to(torch.int32).contiguous(),
            adjacent_faces=adjacent_faces.to(torch.int32).contiguous(),
            uvs=uvs.contiguous(),
            uv_faces=uv_faces.to(torch.int32).contiguous(),
            face_labels=None if face_labels is None else face_labels.to(torch.uint8).contiguous(),
        ),
        uv_areas=uv_areas(triangles._replace(uv_faces=existing)).to(torch.float32),
        starts=starts,
        members=members,
        srgb_edges=srgb_edges(uvs.device),
    )


@lru_cache(maxsize=16)
def srgb_edges(device: torch.device) -> Tensor:
    """Return `SRGB_EDGES` and inf behind it, [257] on the device: copied from the host once, by the first call."""
    return torch.from_numpy(np.append(SRGB_EDGES, np.float32(np.inf))).to(device)
