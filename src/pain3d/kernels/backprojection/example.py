"""Knows example inputs of the room `backproject`: two spheres, one before the other, seen by cameras around them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pain3d.kernels.backprojection.edges import edge_confidence
from pain3d.kernels.deformation.example import example_sphere
from pain3d.kernels.deformation.reference import vertex_normals_reference
from pain3d.kernels.rasterization.reference import rasterize_reference
from pain3d.kernels.rendering.example import example_camera


def example_texels(size: int, faces: int) -> tuple[Tensor, Tensor]:
    """Return texel_faces [S, S] int32 and texel_barycentrics [S, S, 3] float64 of a texture of size x size texels.

    Each face has a square of 4 x 4 texels, every 37th face following the one before; the last square of a row has none.
    """
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    face = (row // 4 * (size // 4) + column // 4) * 37 % faces
    known = column < size - 4
    across, down = (column % 4 + 0.5) / 4, (row % 4 + 0.5) / 4
    folded = across + down > 1  # the other half of the square shows the same face again
    across, down = torch.where(folded, 1 - across, across), torch.where(folded, 1 - down, down)
    barycentrics = torch.stack([1 - across - down, across, down], -1).double()
    return torch.where(known, face, -1).int(), barycentrics * known[..., None]


def example_inputs(
    size: int = 48,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    *,
    views: int = 3,
    channels: int = 5,
    texels: int = 40,
) -> dict[str, Any]:
    """Return keyword arguments of `backproject`: `views` pictures of size x (size + 8) pixels, texels² texels."""
    generator = torch.Generator().manual_seed(seed)
    points, triangles = example_sphere(2)
    vertices = torch.cat([0.1 * points, 0.04 * points + torch.tensor([0.03, 0.02, 0.15])])[None]
    faces = torch.cat([triangles, triangles + len(points)])
    angles = torch.arange(views, dtype=torch.float64) * 0.5 - 0.4
    position = 0.6 * torch.stack([angles.sin(), 0.2 + 0 * angles, angles.cos()], 1)
    world_to_clip = torch.stack([example_camera(camera) for camera in position])
    clip = vertices @ world_to_clip[:, :, :3].transpose(1, 2) + world_to_clip[:, None, :, 3]
    depth = rasterize_reference(clip, faces, (size, size + 8)).depth
    texel_faces, texel_barycentrics = example_texels(texels, len(faces))
    floats = {
        "pictures": torch.rand(*depth.shape, channels, generator=generator, dtype=torch.float64),
        "depth": depth,
        "confidence": edge_confidence(depth, jump=0.02, pixels=4),
        "world_to_clip": world_to_clip,
        "camera_position": position,
        "vertices": vertices,
        "normals": vertex_normals_reference(vertices, faces),
        "texel_barycentrics": texel_barycentrics,
    }
    inputs: dict[str, Any] = {name: tensor.to(device, dtype) for name, tensor in floats.items()}
    return inputs | {"faces": faces.to(device), "texel_faces": texel_faces.to(device)}
