"""Knows example inputs of the room `deformation`, and the sphere mesh that the other rooms' examples share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def example_sphere(subdivisions: int = 3) -> tuple[Tensor, Tensor]:
    """Return an icosphere: vertices [V, 3] float64 of unit length, faces [20 · 4^subdivisions, 3] int32."""
    golden = (1 + 5**0.5) / 2
    corners = [(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0)]
    points = torch.tensor([c[-turn:] + c[:-turn] for turn in range(3) for c in corners], dtype=torch.float64)
    points = points / points.norm(dim=1, keepdim=True)
    squared = (points[:, None] - points[None]).square().sum(-1)
    near = squared < 1.2  # the edge is 1.05 long, the next distance 1.70
    triples = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    faces = torch.tensor(triples)
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    inward = (torch.linalg.cross(b - a, c - a) * a).sum(1) < 0
    faces[inward] = faces[inward].flip(1)
    for _ in range(subdivisions):
        edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
        unique, which = torch.unique(edges, dim=0, return_inverse=True)
        middle = points[unique].mean(1)
        ab, bc, ca = (which + len(points)).chunk(3)
        a, b, c = faces.unbind(1)
        points = torch.cat([points, middle / middle.norm(dim=1, keepdim=True)])
        faces = torch.stack(
            [torch.stack(f, 1) for f in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))], 1
        ).reshape(-1, 3)
    return points, faces.to(torch.int32)


def example_inputs(
    size: int = 2, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    """Return keyword arguments of `deform`: an icosphere with 20 · 4^size faces, 6 shapes, 3 joints, 4 meshes."""
    generator = torch.Generator().manual_seed(seed)
    points, _ = example_sphere(size)
    count, shapes, joints, batch = len(points), 6, 3, 4
    template = torch.stack([0.1 * points, 0.12 * points])
    transforms = torch.eye(4, dtype=torch.float64).repeat(batch, joints, 1, 1)
    transforms[..., :3, :] += 0.05 * torch.randn(batch, joints, 3, 4, generator=generator, dtype=torch.float64)
    weights = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    floats = {
        "template": template,
        "basis": 0.01 * torch.randn(shapes, count, 3, generator=generator, dtype=torch.float64),
        "coefficients": torch.randn(batch, shapes, generator=generator, dtype=torch.float64),
        "skin_weights": weights / weights.sum(1, keepdim=True),
        "joint_transforms": transforms,
    }
    indices = {
        "skin_joints": torch.randint(joints, (count, 2), generator=generator, dtype=torch.int32),
        "template_index": torch.tensor([0, 1, 1, 0]),
    }
    inputs: dict[str, Any] = {name: tensor.to(device, dtype) for name, tensor in floats.items()}
    return inputs | {name: tensor.to(device) for name, tensor in indices.items()}
