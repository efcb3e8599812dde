"""Knows what back-projection means: where a texel lies in a view, and which of the four pixels there show it."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels.backprojection.bundles import Limits, Surface, Views
from pain3d.kernels.interpolation.reference import interpolate_reference

# Radians by which the surface may bend away from the texel's tangent plane within one pixel: README.
BEND = 0.25
NEAREST = 1e-6  # metres in front of the camera, as `rasterize` has it
SMALLEST = 1e-30  # length below which a normal has no direction


def backproject_reference(views: Views, surface: Surface, limits: Limits) -> tuple[Tensor, Tensor]:
    """Return colours [N, S, T, C] and weights [N, S, T]; see `pain3d.kernels.backproject`."""
    count, height, width, channels = views.pictures.shape
    colours = views.pictures.new_zeros(count, *surface.texel_faces.shape, channels)
    weights = views.pictures.new_zeros(count, *surface.texel_faces.shape)
    if height * width == 0:
        return colours, weights
    for view in range(count):  # one after the other: a view of 1024² texels takes 0.5 GB
        if view < len(surface.meshes):
            where = surface.texel_faces[None], surface.texel_barycentrics[None]
            point = interpolate_reference(surface.meshes[view, None], surface.faces, *where)[0]
            position, normal = point[..., :3], point[..., 3:]
            normal = normal / normal.norm(dim=-1, keepdim=True).clamp(min=SMALLEST)
        numbers, depth = views.numbers[view], views.depth[view].reshape(-1)
        confidence, picture = views.confidence[view].reshape(-1), views.pictures[view].reshape(height * width, channels)
        rows, cofactors = numbers[:12].reshape(3, 4), numbers[12:21].reshape(3, 3)
        away = numbers[21:24] - position
        cosine = (normal * away).sum(-1) / away.norm(dim=-1).clamp(min=SMALLEST)
        x, y, w = (position @ rows[:, :3].T + rows[:, 3]).unbind(-1)
        faced = (surface.texel_faces >= 0) & (w > NEAREST) & (cosine > 0) & (cosine >= limits.least_cosine)
        u, v = torch.where(faced, x / w, 0.0), torch.where(faced, y / w, 0.0)
        column, row = (u * 0.5 + 0.5) * width - 0.5, (0.5 - v * 0.5) * height - 0.5
        left, top = column.floor(), row.floor()
        across, down = column - left, row - top
        plane = (normal @ cofactors.T).unbind(-1)  # plane · (u, v, 1) times the distance is the same all over it
        here = plane[0] * u + plane[1] * v + plane[2]
        seen, mixed = torch.zeros_like(w), colours.new_zeros(colours.shape[1:])
        for below, aside in ((0, 0), (0, 1), (1, 0), (1, 1)):
            step_u, step_v = (aside - across) * (2 / width), (down - below) * (2 / height)
            # Where the ray through the pixel's centre meets the texel's tangent plane: w / turn.
            turn = 1 + (plane[0] * step_u + plane[1] * step_v) / here
            metres = w * ((step_u * numbers[24]).square() + (step_v * numbers[25]).square()).sqrt()
            allowed = limits.tolerance + BEND * metres / cosine.square()
            at_column, at_row = left + aside, top + below
            inside = faced & (at_column >= 0) & (at_column < width) & (at_row >= 0) & (at_row < height) & (turn > 0)
            pixel = torch.where(inside, at_row * width + at_column, 0.0).long()
            visible = inside & (depth[pixel] < torch.inf) & ((depth[pixel] - w / turn).abs() <= allowed)
            share = (across if aside else 1 - across) * (down if below else 1 - down)
            share = torch.where(visible, share, 0.0)
            seen += share
            mixed += share[..., None] * torch.where(visible[..., None], picture[pixel], 0.0)
            weights[view] += share * torch.where(visible, confidence[pixel], 0.0)
        shown = seen > 0
        colours[view] = torch.where(shown[..., None], mixed / torch.where(shown, seen, 1.0)[..., None], 0.0)
        weights[view] *= torch.where(shown, cosine.clamp(min=0) ** limits.power, 0.0)
    return colours, weights
