"""Knows how the skin around an eye is kept outside the eyeball, in every face and for everybody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

# Skin around the eye may not sink into the eyeball, nor the lids' seam, which lies inside it, come out. Distances are
# eyeball radii from its centre: each vertex within LID_REACH in the template keeps its distance up to LID_CLEARANCE and
# LID_LAYERS of what it has beyond that, so that skin which AU6 and AU7 push together bulges in its order.
LID_REACH = 2.4
LID_CLEARANCE = 1.06
LID_LAYERS = 0.12
SEAM_DEPTH = 0.97
FAR = 100.0  # eyeball radii: no limit
FIXED_POINT = 2.0**34  # steps of a metre, 6e-11 m: finer than float32 has them beyond a millimetre from the origin


def lid_limits(template: Tensor, eye: Tensor, seam: Tensor, skin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices near an eyeball [N] and the least and greatest distance of each from its centre [N], eyeball radii.

    Args:
        template: [V, 3].
        eye: Vertices of the eyeball.
        seam: Vertices where the lids end inside it.
        skin: Vertices of the skin.
    """
    ball = template[eye]
    centre = ball.mean(0)
    ratio = (template[skin] - centre).norm(dim=1) / (ball - centre).norm(dim=1).mean()
    near, ratio = skin[ratio < LID_REACH], ratio[ratio < LID_REACH]
    inside = torch.isin(near, seam)
    layered = ratio.clamp(max=LID_CLEARANCE) + LID_LAYERS * (ratio - LID_CLEARANCE).clamp(min=0)
    least = torch.where(inside, torch.zeros_like(ratio), layered)
    most = torch.where(inside, torch.full_like(ratio, SEAM_DEPTH), torch.full_like(ratio, FAR))
    return near, least, most


def clear_eyes(shaped: Tensor, eyes: Iterable[Sequence[Tensor]]) -> Tensor:
    """Vertices [B, V, 3] with the lids outside the eyeballs and their seam inside.

    Args:
        shaped: [B, V, 3].
        eyes: Of each its vertices, and what `lid_limits` returned.

    Gradients: to shaped.
    """
    cleared = shaped.clone()
    for eye, near, least, most in eyes:
        ball = shaped[:, eye]
        centre = mean_of_vertices(ball)
        radius = mean_of_vertices((ball - centre).norm(dim=2))
        offset = shaped[:, near] - centre
        distance = offset.norm(dim=2)
        wanted = torch.minimum(torch.maximum(distance, least * radius), most * radius)
        cleared[:, near] = centre + offset * (wanted / distance)[..., None]
    return cleared


def mean_of_vertices(values: Tensor) -> Tensor:
    """Mean [B, 1, ...] over the second dimension of [B, N, ...], metres.

    On a GPU the order of a sum depends on how many meshes there are: what needs no gradient is summed there in whole
    numbers, whose order does not matter.
    """
    if not values.is_cuda or values.requires_grad or values.dtype != torch.float32:
        return values.mean(1, keepdim=True)
    summed = (values * FIXED_POINT).to(torch.int64).sum(1, keepdim=True)
    return (summed.to(torch.float64) / (FIXED_POINT * values.shape[1])).to(torch.float32)
