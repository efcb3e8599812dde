"""Knows example inputs of the room `render`: bumpy textured spheres under sky and key light."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels.antialiasing.reference import face_adjacency_reference
from pain3d.kernels.deformation.example import example_sphere
from pain3d.kernels.rendering.bundles import FORMS, RenderInputs, scene_of
from pain3d.kernels.rendering.relief import CHANNELS, DETAIL_LAYERS
from pain3d.kernels.texturing.reference import build_mipmaps_reference


def example_camera(position: Tensor, field_of_view: float = 0.5) -> Tensor:
    """Return world_to_clip [4, 4] of a camera at position [3] that looks at the origin; field of view in radians."""
    back = position / position.norm()
    up = torch.tensor([0.0, 1.0, 0.0], dtype=position.dtype)
    right = torch.linalg.cross(up, back)
    right = right / right.norm()
    rotation = torch.stack([right, torch.linalg.cross(back, right), back])
    view = torch.cat([rotation, -(rotation @ position)[:, None]], 1)  # [3, 4]
    zoom = 1 / math.tan(field_of_view / 2)
    return torch.stack([zoom * view[0], zoom * view[1], -view[2], -view[2]])


def example_inputs(
    size: int = 48,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    *,
    batch: int = 4,
    meshes: int = 2,
    textures: int = 2,
    subdivisions: int = 3,
    texture_size: int = 32,
) -> dict[str, Any]:
    """Return keyword arguments of `render`: `batch` pictures of size x (size + 8) pixels."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    points, faces = example_sphere(subdivisions)
    waves = uniform(meshes, 3, 3) * 4
    bumps = torch.sin(torch.einsum("mij,vj->mvi", waves, points)).mean(-1, keepdim=True)
    uvs = torch.stack([torch.atan2(points[:, 0], points[:, 2]) / math.tau + 0.5, points[:, 1] / 2 + 0.5], 1)
    coarse = uniform(textures, CHANNELS, 8, 8)
    texture = torch.nn.functional.interpolate(coarse, (texture_size, texture_size), mode="bilinear").permute(0, 2, 3, 1)
    texture = 0.2 + 0.6 * texture
    texture[..., 5:7] -= 0.5  # slopes of either sign; in the detail layers blood too
    texture[..., [8, 9, 11, 12, 13, 15]] -= 0.5
    angles = torch.arange(batch, dtype=torch.float64) * 0.7 - 0.5
    cameras = 0.6 * torch.stack([angles.sin(), 0.2 * torch.ones(batch, dtype=torch.float64), angles.cos()], 1)
    up = uniform(meshes, 3) - 0.5 + torch.tensor([0.0, 1.5, 0.0])
    worn = (points[:, :1] > 0.2) * uniform(meshes, len(points), DETAIL_LAYERS)  # on one side alone, as wrinkles are
    key = uniform(batch, 3) + torch.tensor([-0.3, 0.2, 0.5])
    floats = {
        "vertices": 0.1 * points * (1 + 0.15 * bumps),
        "uvs": uvs,
        "texture": texture,
        "occlusion": 0.5 + 0.5 * uniform(meshes, len(points)),
        "detail_weights": worn,
        "up": up / up.norm(dim=1, keepdim=True),
        "world_to_clip": torch.stack([example_camera(camera) for camera in cameras]),
        "camera_position": cameras,
        "sh": torch.cat([1.5 + uniform(batch, 1, 3), 0.5 * (uniform(batch, 8, 3) - 0.5)], 1),
        "key_direction": key / key.norm(dim=1, keepdim=True),
        "key_colour": 1 + 2 * uniform(batch, 3),
        "background": uniform(batch, 4, 3, 3),
        "exposure": 0.7 + 0.6 * uniform(batch),
        "attributes": uniform(meshes, len(points), 4),
    }
    inputs: dict[str, Any] = {name: tensor.to(device, dtype) for name, tensor in floats.items()}
    return inputs | {
        "faces": faces.to(device),
        "uv_faces": faces.to(device),
        "adjacent_faces": face_adjacency_reference(faces).to(device),
        "mesh_index": torch.arange(batch, device=device) % meshes,
        "texture_index": torch.arange(batch, device=device) // 2 % textures,
        "face_labels": torch.arange(len(faces), device=device) % 7,
        "size": (size, size + 8),
    }


def example_scene(inputs: dict[str, Any]) -> RenderInputs:
    """Return the bundles that `render` makes of such keyword arguments, all of them given."""
    mipmaps = build_mipmaps_reference(inputs["texture"])
    tensors = {name: inputs.get(name) for name in FORMS} | {"texture": mipmaps.texels}
    if tensors["shadow_index"] is None:
        tensors["shadow_index"] = torch.zeros_like(inputs["mesh_index"])
    return scene_of(tensors, mipmaps[1:], inputs["size"])
