"""Knows how the light in painted colours is taken away: found on the skin by `light_fit`, divided out view by view.

Our shading is inverted: what the surface mirrors is subtracted, what is left is divided by what falls on it. So is the
tone map of our pictures, for want of knowing a painter's: below 0.8 it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pain3d.kernels.rendering.colour import GAMMA, KNEE, OFFSET, TOE, TOE_SLOPE
from pain3d.pipeline.texture.light_fit import FoundLight, Points, Skins, diffuse_light, find_light, gloss
from pain3d.pipeline.texture.views import Seen, texel_surface
from pain3d.skin.appearance import Skin
from pain3d.skin.chromophores import skin_albedo
from pain3d.skin.complexion import BEARD_TINT
from pain3d.skin.compose import SCATTER
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.photographed import ALBEDO, photographable

SAMPLED: Final = 128  # blocks a side of the texture, the means of which are fitted: 3 mm on the cheek
BRIGHTEST: Final = 2.6  # linear light at which an inverted tone map ends: byte 250 or so
CLIPPED: Final = (0.9, 1.6)  # linear light from which, and at which no longer, a picture is believed
HIGHLIGHT: Final = 0.5  # share of what is seen that may be gloss: more would be noise of what little is left
SHADE: Final = (0.1, 0.3)  # shares of the mean light: below the first a texel's is not known, from the second on it is
# Of the procedural person's pigments, in deviations: what a painter who was asked for such a person may have made.
MELANIN, SOCKET_MELANIN, BLOOD, FLUSH, SOCKET_BLOOD, LIPS, CAROTENE, BEARD = (
    0.20,
    0.03,
    0.08,
    0.06,
    0.05,
    0.15,
    0.20,
    0.5,
)


@dataclass(frozen=True)
class Delit:
    """What is left of N views without their light.

    Attributes:
        albedo: [N, S, S, 3] linear in 0.003–0.95.
        weights: [N, S, S] at least 0: less than before where a picture was clipped, all gloss, or dark.
        found: The light.
    """

    albedo: Tensor
    weights: Tensor
    found: FoundLight


def linear_light(pictures: Tensor) -> Tensor:
    """Light that our renderer would have shown as these pictures [...] sRGB 0–1: the inverse of sRGB and tone map."""
    linear = torch.where(
        pictures <= TOE * TOE_SLOPE, pictures / TOE_SLOPE, ((pictures.clamp(min=0) + OFFSET) / (1 + OFFSET)) ** GAMMA
    )
    above = ((linear - KNEE) / (1 - KNEE)).clamp(0, 0.9)
    return (linear.clamp(max=KNEE) + (1 - KNEE) * above / (1 - above)).clamp(0, BRIGHTEST)


def delight(colours: Tensor, weights: Tensor, seen: Seen, base: Tensor, skin: Skin, maps: SurfaceMaps) -> Delit:
    """Take the light out of what N views show of a head's texels.

    Args:
        colours: [N, S, S, 3] linear light, of `linear_light`.
        weights: [N, S, S] at least 0, 0 where a view shows nothing.
        seen: The views.
        base: [S, S, 16] the procedural person, see `pain3d.paint`: where skin is, how it shines, its colour.
        skin: The same person.
        maps: Of `surface_maps(head, S)`.

    Gradients: none.

    Raises:
        ValueError: No texel of skin was seen.
    """
    with torch.no_grad():
        texel_faces, barycentrics = texel_surface(seen.head, maps.size)
        mesh, topology = seen.mesh, seen.head.topology
        shown = torch.from_numpy(photographable(maps))
        places = torch.nonzero((shown & (texel_faces >= 0) & (weights > 0).any(0)).flatten())[:, 0]
        corners = topology.faces.long()[texel_faces.flatten()[places].long()]
        occlusion = topology.occlusion if mesh.occlusion is None else mesh.occlusion[0]
        carried = torch.cat([seen.normals[0], mesh.vertices[0], occlusion[:, None]], 1)
        mixed = torch.einsum("pk,pkc->pc", barycentrics.flatten(0, 1)[places], carried[corners])
        normal, occlusion = normalize(mixed[:, :3], dim=1), mixed[:, 6].contiguous()
        surface = base.flatten(0, 1)[places]
        found = _found(colours, weights, seen, base, skin, maps, places, normal, mixed[:, 3:6], occlusion)
        diffuse = diffuse_light(normal, occlusion, surface[:, SCATTER], found.light)
        believed = ((diffuse.mean(1) / diffuse.mean() - SHADE[0]) / (SHADE[1] - SHADE[0])).clamp(0, 1)
        albedo, left = torch.zeros_like(colours), torch.zeros_like(weights)
        for view, (colour, weight) in enumerate(zip(colours, weights, strict=True)):
            lit = colour.flatten(0, 1)[places] / found.gains[view]
            eye = normalize(seen.cameras.position[view] - mixed[:, 3:6], dim=1)
            points = Points(normal, eye, occlusion, surface[:, 3], surface[:, 4], surface[:, SCATTER])
            mirrored = gloss(points, found.light) * found.shine
            kept = (lit - mirrored).maximum((1 - HIGHLIGHT) * lit)
            albedo[view].view(-1, 3)[places] = (kept / diffuse.clamp(min=1e-3)).clamp(*ALBEDO)
            left[view].view(-1)[places] = weight.flatten()[places] * believed * _trust(lit, mirrored)
        return Delit(albedo, left, found)


def _trust(lit: Tensor, mirrored: Tensor) -> Tensor:
    """[P] 0–1 how far a colour says what the skin is: not where it was clipped, little where it mirrors."""
    clear = ((CLIPPED[1] - lit.amax(1)) / (CLIPPED[1] - CLIPPED[0])).clamp(0, 1)
    return clear * (1 - (mirrored.mean(1) / lit.mean(1).clamp(min=1e-3)).clamp(0, 1)).square()


def _found(
    colours: Tensor, weights: Tensor, seen: Seen, base: Tensor, skin: Skin, maps: SurfaceMaps,
    places: Tensor, normal: Tensor, position: Tensor, occlusion: Tensor,
) -> FoundLight:  # fmt: skip
    """The light, found on means over blocks of texels."""
    step = max(1, maps.size // SAMPLED)
    views, size = len(weights), maps.size

    def pooled(planes: Tensor) -> Tensor:
        """Means over blocks, [C, S, S] to [C, s, s]."""
        return torch.nn.functional.avg_pool2d(planes[None], step)[0]

    def laid(values: Tensor) -> Tensor:
        sheet = torch.zeros(size * size, values.shape[1])
        sheet[places] = values
        return sheet.T.reshape(-1, size, size)

    there = pooled(laid(torch.ones(len(places), 1)))[0] > 0.999
    geometry = pooled(laid(torch.cat([normal, position, occlusion[:, None]], 1)))
    under = pooled(base[..., :8].permute(2, 0, 1))
    masks = {
        name: pooled(torch.from_numpy(np.ascontiguousarray(maps.masks[name]))[None])[0]
        for name in ("socket", "flush", "lips", "tinted", "seam", "margin")
    }
    there &= (under[SCATTER] > 0.9) & (masks["seam"] < 0.1) & (masks["margin"] < 0.1)
    there &= pooled(torch.from_numpy(np.ascontiguousarray(maps.cavity))[None])[0] < 0.6
    rows, points, eyes = [], [], []
    for number in range(views):
        weight = pooled(weights[number][None])[0]
        light = pooled((colours[number] * weights[number][..., None]).permute(2, 0, 1)) / weight.clamp(min=1e-9)
        which = torch.nonzero((there & (weight > 0.05)).flatten())[:, 0]
        trust = weight.flatten()[which] * _trust(light.flatten(1).T[which], torch.zeros(len(which), 3))
        rows.append((light.flatten(1).T[which], torch.full((len(which),), number), trust.clamp(max=1)))
        points.append(which)
        eyes.append(normalize(seen.cameras.position[number] - geometry[3:6].flatten(1).T[which], dim=1))
    at = torch.cat(points)
    light, view, trust = (torch.cat(part) for part in zip(*rows, strict=True))
    surface = under.flatten(1).T[at]
    freedom = _freedom(skin, {name: mask.flatten()[at] for name, mask in masks.items()})
    return find_light(
        Points(
            normalize(geometry[:3].flatten(1).T[at], dim=1), torch.cat(eyes), geometry[6].flatten()[at],
            surface[:, 3], surface[:, 4], surface[:, SCATTER],
        ),
        Skins(light, view, trust, surface[:, :3].clamp(min=ALBEDO[0]), freedom),
        views,
    )  # fmt: skip


def _freedom(skin: Skin, masks: dict[str, Tensor]) -> Tensor:
    """[P, K, 3] what a deviation of each pigment adds to the logarithm of the albedo, where its mask is."""

    def changed(melanin: float = 0.0, haemoglobin: float = 0.0, carotene: float = 0.0) -> Tensor:
        """What more of each adds to bare skin, [3]; half of it on either side."""
        ends = []
        for sign in (0.5, -0.5):
            pigment, blood, yellow = (
                np.clip(own + sign * more, 0, 1)
                for own, more in ((skin.melanin, melanin), (skin.haemoglobin, haemoglobin), (skin.carotene, carotene))
            )
            albedo = skin_albedo(
                np.full((1, 1), pigment, np.float32), np.full((1, 1), blood, np.float32), float(yellow)
            )
            ends.append(torch.from_numpy(np.log(albedo[0, 0])))
        return ends[0] - ends[1]

    everywhere = torch.ones_like(masks["lips"])
    parts = (
        (everywhere, changed(melanin=MELANIN)),
        (masks["socket"], changed(melanin=SOCKET_MELANIN)),
        (everywhere, changed(haemoglobin=BLOOD)),
        (masks["flush"], changed(haemoglobin=FLUSH)),
        (masks["socket"], changed(haemoglobin=SOCKET_BLOOD)),
        (masks["lips"], changed(haemoglobin=LIPS)),
        (everywhere, changed(carotene=CAROTENE)),
        (masks["tinted"], -BEARD * torch.tensor(BEARD_TINT)),
    )
    return torch.stack([mask[:, None] * change for mask, change in parts], 1).float()
