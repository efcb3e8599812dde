"""Knows how pictures of a head go back to its texture: which pixels are trusted, and which of them a texel takes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pain3d.kernels import backproject, edge_confidence
from pain3d.kernels.rasterization import Fragments
from pain3d.pipeline.texture.views import Seen, texel_surface

STEEPEST = math.tan(math.radians(80))  # metres of depth per metre across from which neighbouring pixels see an edge
# Of a pixel, by which two neighbours must move apart. At 1024² steps of luminance at the borders of views (see
# `benchmarks.recovered`) of more than 2 % are 64 of 3635 without this, 16, 12 and 14 of 3400 with 1, 2 and 3.
TORN = 2.0
APART = 10.0  # metres, more than any depth: pixels of different parts are no neighbours
EDGE = 0.004  # metres from an edge over which a picture is trusted less: a painter's outline is not ours to the pixel
# Below this weight a view shows nothing. It is what 78° are worth; less is left only of pixels beside an edge, where
# lips meet and lashes hang. Of 71 texels of a face that came back wrong by 0.15 of sRGB at 512², 50 weighed less.
LEAST = 0.04


def project(
    pictures: Tensor, seen: Seen, size: int, *, power: float = 2.0, least_cosine: float = 0.2
) -> tuple[Tensor, Tensor]:
    """What N views show of each texel, and what that is worth: `pain3d.kernels.backproject` with trust in pixels.

    Only what shows skin or neck is taken: the rest stays procedural, and the socket's skin, which lies less than a
    millimetre behind the eyeball, would wear its white. A texel's colour is that of the trusted pixels around
    it alone, each by its trust: beside an outline the picture is mixed with what lies behind.

    Args:
        pictures: [N, H, W, C], any unit.
        seen: The N views.
        size: Texels a side.
        power: Of the cosine in a weight.
        least_cosine: From which a view sees a texel: 0.2 is 78°.

    Returns:
        Colours [N, S, S, C], 0 where a view shows nothing, and weights [N, S, S] in 0–1.

    Gradients: none.
    """
    cameras, names = seen.cameras, seen.head.part_names
    trust = trusted(seen, Fragments(seen.face_ids, seen.barycentrics, seen.conditions.depth), EDGE)
    parts = seen.head.face_parts
    taken_from = (parts == names.index("skin")) | (parts == names.index("neck"))
    depth = torch.where(taken_from[seen.face_ids.clamp(min=0).long()], seen.conditions.depth, torch.inf)
    worth = torch.cat([pictures * trust[..., None], trust[..., None]], -1)
    taken, weights = backproject(
        worth, depth, trust, cameras.world_to_clip, cameras.position, seen.mesh.vertices, seen.normals,
        seen.head.topology.faces, *texel_surface(seen.head, size), power=power, least_cosine=least_cosine,
    )  # fmt: skip
    known = weights > LEAST
    share = torch.where(known, taken[..., -1], torch.inf)  # what is not known becomes 0
    return taken[..., :-1] / share[..., None], torch.where(known, weights, 0.0)


def trusted(seen: Seen, shown: Fragments, metres: float) -> Tensor:
    """What each pixel is worth [N, H, W]: 0 beside edges, rising to 1 at some metres from them.

    An edge is where neighbouring pixels see surfaces that are no neighbours: background, a jump of depth, another part
    (lid and eyeball, lip and tooth; skin and neck are one), or skin that only touches: where one pixel moves and the
    next does not when the mouth opens and the eyes shut, as between the lips and in the fold of a lid.

    Args:
        seen: The views.
        shown: Of them, at any size.
        metres: At least a pixel is taken.
    """
    topology = seen.head.topology
    names = topology.part_names
    layer = torch.arange(len(names), device=shown.depth.device)
    layer[names.index("neck")] = names.index("skin")
    inside = torch.nonzero(shown.face_ids.flatten() >= 0)[:, 0]  # a picture is half background
    faces = shown.face_ids.flatten().index_select(0, inside)
    moved = (seen.opened - seen.mesh.vertices)[0].norm(dim=1)[topology.faces.long()]  # [F, 3]
    weights, distance = (
        plane.index_select(0, inside) for plane in (shown.barycentrics.flatten(0, 2), shown.depth.flatten())
    )
    depth, shift = shown.depth.clone(), torch.full_like(shown.depth, torch.inf)
    shift.view(-1).index_copy_(0, inside, (moved.index_select(0, faces) * weights).sum(1))
    layers = layer[topology.face_parts.long()].index_select(0, faces)
    depth.view(-1).index_copy_(0, inside, distance + APART * layers)
    across = 2 * torch.tan(torch.deg2rad(seen.cameras.fov_degrees) / 2).max() / shown.depth.shape[1]
    pixel = float(across * distance.mean())  # metres
    pixels = max(1, round(metres / pixel))
    torn = edge_confidence(shift, jump=TORN * pixel, pixels=pixels)
    return torch.minimum(torn, edge_confidence(depth, jump=STEEPEST * pixel, pixels=pixels))
