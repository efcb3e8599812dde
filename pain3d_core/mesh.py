"""A batch of meshes of one topology: what a head returns and a camera looks at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pain3d.device import moved


@dataclass(frozen=True)
class Topology:
    """What all meshes of a head share.

    Attributes:
        faces: [F, 3] int32, counter-clockwise from outside.
        adjacent_faces: [F, 3] int32, the face across edge e (from corner e to corner e + 1), -1 at a border.
        uvs: [T, 2] in the unit square, v up.
        uv_faces: [F, 3] int32 into `uvs`.
        face_parts: [F] int32 into `part_names`.
        vertex_parts: [V] int32 into `part_names`.
        part_names: Names of the parts: skin, mouth, neck, eyes, teeth, tongue, lashes.
        occlusion: [V] share of the sky that a vertex sees, 0–1.
    """

    faces: Tensor
    adjacent_faces: Tensor
    uvs: Tensor
    uv_faces: Tensor
    face_parts: Tensor
    vertex_parts: Tensor
    part_names: tuple[str, ...]
    occlusion: Tensor

    def to(self, device: torch.device | str) -> Topology:
        """The same topology on a device."""
        return moved(self, device)


@dataclass(frozen=True)
class Mesh:
    """B meshes: vertices [B, V, 3] in metres (world), joints [B, J, 3] in metres, and their topology."""

    vertices: Tensor
    joints: Tensor
    topology: Topology

    def __len__(self) -> int:
        return int(self.vertices.shape[0])

    def to(self, device: torch.device | str) -> Mesh:
        """The same meshes on a device."""
        return moved(self, device)
