"""Knows how the views of one head agree while they are painted: what several of them see is made one and the same."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels import backproject, rasterize
from pain3d.pipeline.texture.painter import Blend
from pain3d.pipeline.texture.projection import trusted
from pain3d.pipeline.texture.views import Seen

POWER = 4.0  # of the cosine: 1/4 at 45°, so that who sees a point best has the most to say, and means stay sharp
EDGE = 0.006  # metres from an edge over which a view is not trusted: a latent there is half of what lies behind
OWN = 1e-3  # weight of a pixel's own value: it is alone where nobody is trusted


def blend_of(seen: Seen) -> Blend:
    """What N views of a head show in common: every pixel becomes the mean of all views of the point that it shows.

        x_p  ←  (Σ_v w_v(P) · x_v(P) + OWN · x_p) / (Σ_v w_v(P) + OWN)

    with P the point on the head, x_v(P) what view v has there (bilinear) and w_v(P) the view's weight by angle,
    visibility and distance from edges (`pain3d.kernels.backproject`). So views share the texels of a texture that is as
    fine as the pixels of whoever looks: in the limit of fine texels this is to project all views into the texture, to
    average there and to render it again, as Liu et al. do with the denoised estimate at each step ("Text-guided
    texturing by synchronized multi-view diffusion", 2023), without a texel's blur. Background keeps its own.

    Args:
        seen: N views. Latents may be of any size: N pictures of the same frames, usually an eighth as large.

    Returns:
        Blend, of latents [N, C, h, w] on any device and of any dtype of floats. The geometry of a size is made at its
        first call and kept.

    Gradients: none.
    """
    faces, device = seen.head.topology.faces, seen.vertices_clip.device
    kept: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def geometry(size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if size not in kept:
            shown = rasterize(seen.vertices_clip, faces, size)
            trust = trusted(seen, shown, EDGE)
            kept[size] = shown.depth, trust, shown.face_ids.flatten(0, 1), shown.barycentrics.flatten(0, 1)
        return kept[size]

    @torch.no_grad()
    def blend(latents: Tensor) -> Tensor:
        if len(latents) != len(seen.cameras):
            raise ValueError(f"latents must be of {len(seen.cameras)} views, got {len(latents)}")
        own = latents.to(device, torch.float32).permute(0, 2, 3, 1).contiguous()
        depth, trust, pixel_faces, pixel_barycentrics = geometry((own.shape[1], own.shape[2]))
        values, weights = backproject(
            own, depth, trust, seen.cameras.world_to_clip, seen.cameras.position, seen.mesh.vertices, seen.normals,
            faces, pixel_faces, pixel_barycentrics, power=POWER,
        )  # fmt: skip
        mixed = (values * weights[..., None]).sum(0).view_as(own) + OWN * own
        mixed /= weights.sum(0).view(own.shape[:3])[..., None] + OWN
        mixed = torch.where((pixel_faces >= 0).view(own.shape[:3])[..., None], mixed, own)
        return mixed.permute(0, 3, 1, 2).to(latents)

    return blend
