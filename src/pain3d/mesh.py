"""A batch of meshes of one topology: what a head returns and a camera looks at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pain3d.device import moved
from pain3d.kernels._described import described


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

    __repr__ = described

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
class Surface:
    """What a person's skin adds to a head's shape; made by `pain3d.skin.surface`.

    Attributes:
        growth: [1 or B, V] metres along the neutral person's normals: hair, beard and cloth stand off the skin.
        resting: [1 or B, V, 2] wrinkle weights at rest.
        depth: [1 or B] how deep the wrinkles of an action unit get, about 0.9 at 20 years to 1.15 at 90.
        creases: [A, 2, V, 2] wrinkle weights that an action unit brings at weight 1, left and right apart, in the order
            of `AU_NUMBERS`. Shared by all people of a head.
        cover: [1 or B] 1 where hair lies over the ears, which are then laid flat below it, else 0; None is 0.
    """

    __repr__ = described

    growth: Tensor
    resting: Tensor
    depth: Tensor
    creases: Tensor
    cover: Tensor | None = None

    def to(self, device: torch.device | str) -> Surface:
        """The same surface on a device."""
        return moved(self, device)


@dataclass(frozen=True)
class Mesh:
    """B meshes of one topology.

    Attributes:
        vertices: [B, V, 3] metres, world.
        joints: [B, J, 3] metres.
        topology: What they share.
        occlusion: [B, V] share of the sky that a vertex sees, 0–1; None is that of the topology.
        wrinkles: [B, V, 2] weights of the texture's detail layers; None is zeros.
        up: [B, 3] unit vector, the head's vertical axis, against which the texture's slopes are told; None is +Y.
    """

    __repr__ = described

    vertices: Tensor
    joints: Tensor
    topology: Topology
    occlusion: Tensor | None = None
    wrinkles: Tensor | None = None
    up: Tensor | None = None

    def __len__(self) -> int:
        return int(self.vertices.shape[0])

    def to(self, device: torch.device | str) -> Mesh:
        """The same meshes on a device."""
        return moved(self, device)

    def save(self, path: str | Path, *, texture: Tensor | None = None, row: int = 0) -> tuple[Path, ...]:
        """Write one of the meshes as it stands, for other programs: ``face.obj``, ``face.ply`` or ``face.glb``.

        Metres, +Y up, with texture coordinates and normals; the texture is an ordinary PNG, beside an OBJ or PLY and
        inside a GLB. A GLB whose action units and joints can be moved is `Head.save`.

        Args:
            path: The file; one that is there is replaced.
            texture: [H, W, 16] or [1, H, W, 16] linear (`pain3d.paint`), of which the base colour is written; None is
                clay.
            row: Which mesh of the batch.

        Returns:
            The files, `path` first.

        Raises:
            RefusedError: Another ending, no such row, no folder there, a texture of another shape.
        """
        from pain3d.mesh_files.saving import save_mesh

        return save_mesh(Path(path), self, texture=texture, row=row)
