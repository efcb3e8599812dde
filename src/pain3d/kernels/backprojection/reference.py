"""Knows what back-projection means: where a texel lies in a view, and which of the four pixels there show it."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels.interpolation.reference import interpolate_reference

# Radians by which the surface may bend away from the texel's tangent plane within one pixel: README.
BEND = 0.25
NEAREST = 1e-6  # metres in front of the camera, as `rasterize` has it
SMALLEST = 1e-30  # length below which a normal has no direction


def view_numbers(world_to_clip: Tensor, camera_position: Tensor) -> Tensor:
    """Return [N, 26], what a backend needs of each view.

    0–11: rows x, y, w of `world_to_clip`, four numbers each; 12–20: the cofactors of their linear part, row by row,
    which turn normals of the world into normals of (x, y, w); 21–23: camera position; 24, 25: what a step of 1 in
    x / w and in y / w is at a distance of 1 m, in metres.
    """
    rows = world_to_clip[:, (0, 1, 3)]
    linear = rows[..., :3]
    x, y, w = linear.unbind(1)
    cofactors = torch.stack([torch.linalg.cross(y, w), torch.linalg.cross(w, x), torch.linalg.cross(x, y)], 1)
    return torch.cat([rows.flatten(1), cofactors.flatten(1), camera_position, 1 / linear[:, :2].norm(dim=-1)], 1)


def backproject_reference(
    pictures: Tensor,  # [N, H, W, C]
    depth: Tensor,  # [N, H, W]
    confidence: Tensor,  # [N, H, W]
    world_to_clip: Tensor,  # [N, 4, 4]
    camera_position: Tensor,  # [N, 3]
    vertices: Tensor,  # [N or 1, V, 3]
    normals: Tensor,  # [N or 1, V, 3]
    faces: Tensor,  # [F, 3] int
    texel_faces: Tensor,  # [S, T] int
    texel_barycentrics: Tensor,  # [S, T, 3]
    power: float,
    least_cosine: float,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """Return colours [N, S, T, C] and weights [N, S, T]; see `pain3d.kernels.backproject`."""
    views, (height, width) = len(pictures), pictures.shape[1:3]
    colours = pictures.new_zeros(views, *texel_faces.shape, pictures.shape[-1])
    weights = pictures.new_zeros(views, *texel_faces.shape)
    if height * width == 0:
        return colours, weights
    numbers = view_numbers(world_to_clip, camera_position)
    meshes = torch.cat([vertices, normals], -1)
    for view in range(views):  # one after the other: a view of 1024² texels takes 0.5 GB
        if view < len(meshes):
            mesh, where = meshes[view, None], (texel_faces[None], texel_barycentrics[None])
            position, normal = interpolate_reference(mesh, faces, *where)[0].chunk(2, -1)
            normal = normal / normal.norm(dim=-1, keepdim=True).clamp(min=SMALLEST)
        rows, cofactors = numbers[view, :12].reshape(3, 4), numbers[view, 12:21].reshape(3, 3)
        away = numbers[view, 21:24] - position
        cosine = (normal * away).sum(-1) / away.norm(dim=-1).clamp(min=SMALLEST)
        x, y, w = (position @ rows[:, :3].T + rows[:, 3]).unbind(-1)
        faced = (texel_faces >= 0) & (w > NEAREST) & (cosine > 0) & (cosine >= least_cosine)
        u, v = torch.where(faced, x / w, 0.0), torch.where(faced, y / w, 0.0)
        column, row = (u * 0.5 + 0.5) * width - 0.5, (0.5 - v * 0.5) * height - 0.5
        left, top = column.floor(), row.floor()
        across, down = column - left, row - top
        plane = (normal @ cofactors.T).unbind(-1)  # plane · (u, v, 1) times the distance is the same all over it
        here = plane[0] * u + plane[1] * v + plane[2]
        seen, mixed = weights.new_zeros(weights.shape[1:]), colours.new_zeros(colours.shape[1:])
        for below in (0, 1):
            for aside in (0, 1):
                step_u, step_v = (aside - across) * (2 / width), (down - below) * (2 / height)
                # Where the ray through the pixel's centre meets the texel's tangent plane: w / (1 + turn).
                turn = (plane[0] * step_u + plane[1] * step_v) / here
                metres = w * ((step_u * numbers[view, 24]).square() + (step_v * numbers[view, 25]).square()).sqrt()
                allowed = tolerance + BEND * metres / cosine.square()
                at_column, at_row = left + aside, top + below
                inside = faced & (at_column >= 0) & (at_column < width) & (at_row >= 0) & (at_row < height)
                pixel = torch.where(inside, at_row * width + at_column, 0.0).long()
                inside &= 1 + turn > 0
                found = depth[view].reshape(-1)[pixel]
                visible = inside & (found < torch.inf) & ((found - w / (1 + turn)).abs() <= allowed)
                share = (across if aside else 1 - across) * (down if below else 1 - down)
                share = torch.where(visible, share, 0.0)
                shown = torch.where(visible[..., None], pictures[view].reshape(height * width, -1)[pixel], 0.0)
                trusted = torch.where(visible, confidence[view].reshape(-1)[pixel], 0.0)
                seen += share
                mixed += share[..., None] * shown
                weights[view] += share * trusted
        any_seen = seen > 0
        colours[view] = torch.where(any_seen[..., None], mixed / torch.where(any_seen, seen, 1.0)[..., None], 0.0)
        weights[view] *= torch.where(any_seen, cosine.clamp(min=0) ** power, 0.0)
    return colours, weights
