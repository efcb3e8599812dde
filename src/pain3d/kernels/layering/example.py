"""Knows example inputs of the room `overlay`: tufts of ribbons and a card before, behind and through a wall."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels.rendering.example import example_camera
from pain3d.kernels.shading.reference import unit

SEGMENTS = 4  # of a ribbon


def example_ribbons(
    count: int, generator: torch.Generator, length: float = 0.12, width: float = 0.012
) -> dict[str, Any]:
    """Return the fields of one mesh: ribbons from the front of a ball of 0.1 m, tapered to nothing, float64."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    root = unit(torch.cat([uniform(count, 2) - 0.5, 0.25 + uniform(count, 1)], 1))
    along = unit(torch.cat([uniform(count, 2) - 0.5, uniform(count, 1) * 0.4], 1))
    across = unit(torch.linalg.cross(along, root))
    steps = torch.linspace(0, 1, SEGMENTS + 1, dtype=torch.float64)[:, None]
    middle = 0.1 * root[:, None] + length * (steps * along[:, None] + 0.3 * steps**2 * root[:, None])
    tangents = unit(along[:, None] + 0.6 * steps * root[:, None])
    half = (0.5 * width * (1.001 - steps)) * across[:, None]  # [ribbons, rows, 3]
    sides = torch.stack([-half, half], 2)
    shape = sides.shape[:3]
    rows = torch.arange(SEGMENTS)[:, None] * 2
    strip = (rows + torch.tensor([0, 1, 2, 2, 1, 3])).reshape(-1, 3)
    u = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(*shape)
    v = (1 - steps).expand(*shape)
    return {
        "vertices": (middle[:, :, None] + sides).reshape(-1, 3),
        "sides": sides.reshape(-1, 3),
        "tangents": tangents[:, :, None].expand(*shape, 3).reshape(-1, 3),
        "normals": root[:, None, None].expand(*shape, 3).reshape(-1, 3),
        "tint": (0.1 + 0.4 * uniform(count, 1, 1, 3)).expand(*shape, 3).reshape(-1, 3),
        "occlusion": (0.5 + 0.5 * steps).expand(*shape).reshape(-1),
        "gloss": uniform(count, 1, 1).expand(*shape).reshape(-1),
        "uvs": torch.stack([u, v], -1).reshape(-1, 2),
        "faces": (strip + torch.arange(count)[:, None, None] * (2 * (SEGMENTS + 1))).reshape(-1, 3),
    }


def example_inputs(
    size: int = 33, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0, *, ribbons: int = 24
) -> dict[str, Any]:
    """Return keyword arguments of `overlay`: three pictures, the last two of one mesh, size x (size + 8) pixels."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    meshes = [example_ribbons(ribbons, generator), example_ribbons(max(ribbons // 3, 1), generator, width=0.05)]
    meshes[1]["sides"] = torch.zeros_like(meshes[1]["sides"])  # cards
    vertices, faces = ([len(mesh[name]) for mesh in meshes] for name in ("vertices", "faces"))
    spans = torch.tensor([[0, vertices[0], 0, faces[0]], [vertices[0], vertices[1], faces[0], faces[1]]])[[0, 1, 1]]
    angles = torch.tensor([0.3, -0.5, 0.9], dtype=torch.float64)
    cameras = 0.7 * torch.stack([angles.sin(), 0.1 * torch.ones(3, dtype=torch.float64), angles.cos()], 1)
    strands = torch.sin(torch.linspace(0, 5 * math.pi, 8, dtype=torch.float64)) ** 2
    texture = torch.cat([0.4 + 0.6 * uniform(2, 16, 8, 3), (0.2 + 0.8 * strands).expand(2, 16, 8)[..., None]], -1)
    depth = 0.6 + 0.1 * uniform(3, size, size + 8)
    depth[:, : size // 3] = torch.inf
    key = uniform(3, 3) + torch.tensor([-0.3, 0.2, 0.5])
    floats = {name: torch.cat([mesh[name] for mesh in meshes]) for name in meshes[0] if name != "faces"} | {
        "colour": uniform(3, size, size + 8, 3),
        "depth": depth,
        "texture": texture,
        "world_to_clip": torch.stack([example_camera(camera) for camera in cameras]),
        "camera_position": cameras,
        "sh": torch.cat([1.5 + uniform(3, 1, 3), 0.5 * (uniform(3, 8, 3) - 0.5)], 1),
        "key_direction": key / key.norm(dim=1, keepdim=True),
        "key_colour": 1 + 2 * uniform(3, 3),
        "exposure": 0.7 + 0.6 * uniform(3),
    }
    inputs: dict[str, Any] = {name: tensor.to(device, dtype) for name, tensor in floats.items()}
    return inputs | {
        "faces": torch.cat([mesh["faces"] for mesh in meshes]).to(device),
        "face_textures": (torch.arange(sum(faces)) // 6 % 2).to(device),
        "spans": spans.to(device),
    }
