"""Knows how nvdiffrast's antialias is asked: with the picture of its rasterizer made up from our ids and depths.

What it reads of that picture is which face a pixel shows and, to tell which of two is in front, z/w (its documentation,
"Rasterization"). It finds silhouettes by the vertices that faces share, so it gets the mesh as it is.

It is another method than ours: it looks at the edges of the two faces that neighbouring pixels show, where we walk over
faces that no pixel shows; so where faces are smaller than a pixel it leaves more outlines as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels.rasterization.nvdiffrast_op import to_normalised_depth, to_opengl
from pain3d.kernels.rasterization.reference import screen_positions


def antialias_nvdiffrast(
    colour: Tensor, face_ids: Tensor, depth: Tensor, vertices_clip: Tensor, faces: Tensor
) -> Tensor:
    """Return [B, H, W, C]; see `pain3d.kernels.antialias`. Gradients: nvdiffrast's, to colour and vertices_clip."""
    if colour.numel() == 0 or len(faces) == 0:
        return colour.clone()
    import nvdiffrast.torch as nvdiffrast  # pyright: ignore[reportMissingImports]

    height, width = colour.shape[1], colour.shape[2]
    _, _, usable = screen_positions(vertices_clip.detach(), (height, width))
    covered = face_ids >= 0
    z = to_normalised_depth(depth.detach().to(torch.float32), vertices_clip.detach(), usable)
    unread = torch.zeros_like(z)
    rast = torch.stack([unread, unread, torch.where(covered, z, 0.0), (face_ids + 1).to(torch.float32)], -1)
    positions = to_opengl(vertices_clip, usable).contiguous()
    mixed: Tensor = nvdiffrast.antialias(colour.contiguous(), rast, positions, faces.to(torch.int32).contiguous())
    return mixed
