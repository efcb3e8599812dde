"""Knows which shadows the key lights of a call cast: one map for all pictures of one mesh under one lamp."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._remembered import Memory, remembered
from pain3d.kernels.shadowing import Shadows, cast_shadows
from pain3d.light import Light
from pain3d.mesh import Mesh, Topology

BESIDE = (
    "neck",
)  # parts that a map is not fitted around: shoulders are wider than two heads, and the face is looked at


# Texels a side of a map: 1 and 2 mm on a face. That of a picture of 256 pixels shows no finer edge than 2 mm.
TEXELS, SMALL, TEXELS_OF_SMALL = 256, 256, 128


def key_shadows(
    mesh: Mesh, lights: Light, mesh_index: Tensor, size: int, backend: str | None
) -> tuple[Shadows, Tensor] | None:
    """The shadows on N pictures, and which of them each picture shows [N]; None where no light casts any.

    Args:
        mesh: M meshes.
        lights: 1 or N.
        mesh_index: [N] which mesh each picture shows.
        size: Pixels of the longer side of the whole pictures.
        backend: As `pain3d.render` takes it.

    Gradients: none.
    """
    if lights.key_size is None:
        return None
    count = len(mesh_index)
    direction, degrees = lights.key_direction.detach(), lights.key_size.detach()
    if len(lights) < count:
        direction, degrees = direction.expand(count, 3), degrees.expand(count)
    # Below 0 casts none: a size of 0 is a light that does not say how large its lamp is.
    spread = torch.where(degrees > 0, torch.tan(torch.deg2rad(degrees.clamp(max=120) / 2)), -1.0)
    index = torch.arange(count, device=direction.device)
    if direction.device.type == "cpu":  # elsewhere nobody may wait for the answer
        if not bool((spread >= 0).any()):
            return None
        rows = torch.cat([mesh_index[:, None].to(direction.dtype), direction, spread[:, None]], 1)
        kinds, index = torch.unique(rows, dim=0, return_inverse=True)
        mesh_index, direction, spread = kinds[:, 0].long(), kinds[:, 1:4], kinds[:, 4]
    made = cast_shadows(
        mesh.vertices.detach(),
        mesh.topology.faces,
        direction.contiguous(),
        spread.contiguous(),
        mesh_index=mesh_index,
        focus=_focus(mesh.topology),
        size=TEXELS if size > SMALL else TEXELS_OF_SMALL,
        backend=backend,
    )
    return made, index


def _focus(topology: Topology) -> Tensor:
    """The vertices [K] that a map is fitted around."""

    def make() -> Tensor:
        beside = [number for number, name in enumerate(topology.part_names) if name in BESIDE]
        parts = topology.vertex_parts
        return torch.arange(len(parts), device=parts.device)[
            ~torch.isin(parts, torch.tensor(beside, dtype=parts.dtype, device=parts.device))
        ]

    return remembered(_kept_focus, (topology.vertex_parts,), make, topology.part_names)


_kept_focus: Memory[Tensor] = {}
