"""Knows what the fused `render` on a GPU reads of a mesh beside its vertices: tables, the same for every picture.

Made on the device by plain torch ops, without waiting for it, and remembered as long as the tensors of the triangles
live and nobody writes to them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._remembered import Memory, remembered
from pain3d.kernels.deformation.kernel import vertex_faces
from pain3d.kernels.rendering.bundles import Triangles
from pain3d.kernels.rendering.colour import SRGB_BUCKETS
from pain3d.kernels.rendering.reference import uv_areas


class PreparedTopology(NamedTuple):
    """Tables of one mesh and one set of texture coordinates."""

    triangles: Triangles  # int32, labels uint8, contiguous
    corners: Tensor  # [F, 8] int32: three vertices, all -1 where one does not exist; 1 spare; three neighbours; 1 spare
    charts: Tensor  # [F, 8] float32: u, v of three corners, 0 where one does not exist; twice their area; 1 spare
    starts: Tensor  # [V + 1] int32, of `vertex_faces`
    members: Tensor  # [3 F] int32, likewise
    srgb_buckets: Tensor  # [1665] int32, `SRGB_BUCKETS`


_kept: Memory[PreparedTopology] = {}


def remembered_topology(triangles: Triangles, vertex_count: int) -> PreparedTopology:
    """Return `prepare_topology`, of an earlier call where it was of the same tensors in the same versions.

    Tables are forgotten when one of the tensors is freed; see `remembered` for what is not seen: make the tables anew
    then, and hand them to `render`.
    """

    def make() -> PreparedTopology:
        tables = prepare_topology(triangles, vertex_count)
        others = [None if tensor is None else tensor.detach() for tensor in tables.triangles]
        return tables._replace(triangles=Triangles._make(others))

    return remembered(_kept, triangles, make, vertex_count)


def prepare_topology(triangles: Triangles, vertex_count: int) -> PreparedTopology:
    """Return the tables; the triangles' fields are arguments of `pain3d.kernels.render`."""
    faces, adjacent_faces, uvs, uv_faces, face_labels = triangles
    starts, members = vertex_faces(faces, vertex_count)
    # Nobody has checked the indices on a device.
    exist = ((faces >= 0) & (faces < vertex_count)).all(1, keepdim=True)
    faces, adjacent_faces = faces.to(torch.int32).contiguous(), adjacent_faces.to(torch.int32).contiguous()
    spare = faces.new_zeros(len(faces), 1)
    corners = torch.cat([torch.where(exist, faces, -1), spare, adjacent_faces, spare], 1)
    exist = ((uv_faces >= 0) & (uv_faces < len(uvs))).all(1, keepdim=True)
    existing = uv_faces.clamp(0, max(len(uvs) - 1, 0))
    areas = uv_areas(triangles._replace(uv_faces=existing))
    at = torch.where(exist, uvs[existing.long()].flatten(1), 0)
    return PreparedTopology(
        triangles=Triangles(
            faces=faces,
            adjacent_faces=adjacent_faces,
            uvs=uvs.contiguous(),
            uv_faces=uv_faces.to(torch.int32).contiguous(),
            face_labels=None if face_labels is None else face_labels.to(torch.uint8).contiguous(),
        ),
        corners=corners,
        charts=torch.cat([at, areas[:, None].to(at.dtype), torch.zeros_like(at[:, :1])], 1).to(torch.float32),
        starts=starts,
        members=members,
        srgb_buckets=srgb_buckets(uvs.device),
    )


@lru_cache(maxsize=16)
def srgb_buckets(device: torch.device) -> Tensor:
    """Return `SRGB_BUCKETS` on the device: copied from the host once, by the first call."""
    return torch.from_numpy(SRGB_BUCKETS).to(device)
