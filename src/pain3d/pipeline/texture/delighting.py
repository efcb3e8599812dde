"""Knows how the light in painted colours is taken away: found on the skin by `light_fit`, divided out view by view.

Our shading is inverted: what the surface mirrors is subtracted, what is left is divided by what falls on it, and gloss
of pores, which the surface does not have, is told by its colour (`relief_gloss`). So is the tone map of our pictures
inverted, for want of knowing a painter's: below 0.8 it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pain3d.kernels.rendering.colour import GAMMA, KNEE, OFFSET, TOE, TOE_SLOPE
from pain3d.pipeline.texture.light_fit import FoundLight, Points, Skins, diffuse_light, dot, find_light, gloss
from pain3d.pipeline.texture.pores import relief_gloss
from pain3d.pipeline.texture.views import Seen, texel_surface
from pain3d.skin.appearance import Skin
from pain3d.skin.chromophores import skin_albedo
from pain3d.skin.complexion import BEARD_TINT
from pain3d.skin.compose import SCATTER
from pain3d.skin.maps import Plane, SurfaceMaps
from pain3d.skin.photographed import ALBEDO, photographable

SAMPLED: Final = 128  # blocks a side of the texture, the means of which are fitted: 3 mm on the cheek
BARE, CREASE, DEEP, LEAST_WEIGHT = 0.9, 0.1, 0.6, 0.05  # of scatter, seam and lid's margin, cavity, and view
THIRDS: Final = torch.full((3,), 1 / 3)  # a mean over three columns takes twice as long
DARK: Final = 1e-3  # linear light and albedo are not divided by less
BRIGHTEST: Final = 2.6  # linear light at which an inverted tone map ends: byte 250 or so
CLIPPED: Final = (0.9, 1.6)  # linear light from which, and at which no longer, a picture is believed
HIGHLIGHT: Final = 0.7  # share of what is seen that may be gloss: more would be noise of what little is left
SHADE: Final = (0.1, 0.3)  # shares of the mean light: below the first a texel's is not known, from the second on it is
# Of the procedural person's pigments, in deviations: what a painter who was asked for such a person may have made.
MELANIN, SOCKET_MELANIN, BLOOD, FLUSH = 0.25, 0.03, 0.16, 0.06
SOCKET_BLOOD, LIPS, CAROTENE, BEARD = 0.05, 0.15, 0.36, 0.5


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
        texels = _texels(weights, seen, base, maps)
        found = _found(colours, weights, seen, base, skin, maps, texels)
        diffuse = diffuse_light(texels.normal, texels.occlusion, texels.scatter, found.light)
        believed = ((diffuse.mean(1) / diffuse.mean() - SHADE[0]) / (SHADE[1] - SHADE[0])).clamp(0, 1)
        albedo, left = torch.zeros_like(colours), torch.zeros_like(weights)
        pigments = _changed(skin, melanin=MELANIN), _changed(skin, haemoglobin=BLOOD)
        for view, (colour, weight) in enumerate(zip(colours, weights, strict=True)):
            seen_by = weight.flatten().index_select(0, texels.place)
            at = torch.nonzero(seen_by > 0)[:, 0]
            place = texels.place.index_select(0, at)
            lit = colour.flatten(0, 1).index_select(0, place) / found.gains[view]
            mirrored = gloss(texels.points(at, seen.cameras.position[view]), found.light) * found.shine
            kept = (lit - mirrored).maximum((1 - HIGHLIGHT) * lit)
            clear = 1 - (mirrored @ THIRDS / (lit @ THIRDS).clamp(min=DARK)).clamp(0, 1)
            fallen = diffuse.index_select(0, at).clamp(min=DARK)
            under, smooth = (kept / fallen).clamp(*ALBEDO), mirrored / fallen
            more = relief_gloss(under, smooth, place, maps.size, *pigments)
            albedo[view].view(-1, 3).index_copy_(0, place, (under - smooth * more[:, None]).clamp(*ALBEDO))
            trust = seen_by.index_select(0, at) * believed.index_select(0, at) * _unclipped(lit) * clear.square()
            left[view].view(-1).index_copy_(0, place, trust)
        return Delit(albedo, left, found)


class _Texels(NamedTuple):
    """P texels of skin and neck that some view saw: place [P] in the flat texture, position [P, 3], and `Points`."""

    place: Tensor
    position: Tensor
    normal: Tensor
    occlusion: Tensor
    specular: Tensor
    roughness: Tensor
    scatter: Tensor

    def points(self, at: Tensor, camera: Tensor) -> Points:
        """Some of them as a camera sees them."""
        position, normal, *rest = (part.index_select(0, at) for part in self[1:])
        towards = camera - position
        return Points(normal, towards / dot(towards, towards).sqrt()[:, None], *rest)


def _texels(weights: Tensor, seen: Seen, base: Tensor, maps: SurfaceMaps) -> _Texels:
    texel_faces, barycentrics = texel_surface(seen.head, maps.size)
    mesh, topology = seen.mesh, seen.head.topology
    shown = torch.from_numpy(photographable(maps))
    place = torch.nonzero((shown & (texel_faces >= 0) & (weights > 0).any(0)).flatten())[:, 0]
    corners = topology.faces.index_select(0, texel_faces.flatten().index_select(0, place)).flatten()
    occlusion = topology.occlusion if mesh.occlusion is None else mesh.occlusion[0]
    carried = torch.cat([seen.normals[0], mesh.vertices[0], occlusion[:, None]], 1)
    at_corners = carried.index_select(0, corners).view(-1, 3, carried.shape[1])
    mixed = torch.einsum("pk,pkc->pc", barycentrics.flatten(0, 1).index_select(0, place), at_corners)
    painted = base.flatten(0, 1).index_select(0, place)
    gloss_of = (painted[:, channel].contiguous() for channel in (3, 4, SCATTER))
    return _Texels(place, mixed[:, 3:6], normalize(mixed[:, :3], dim=1), mixed[:, 6].contiguous(), *gloss_of)


def _unclipped(lit: Tensor) -> Tensor:
    """[P] 0–1 how far a colour can be what was there: not where a channel is at its end."""
    return ((CLIPPED[1] - lit.amax(1)) / (CLIPPED[1] - CLIPPED[0])).clamp(0, 1)


def _found(
    colours: Tensor, weights: Tensor, seen: Seen, base: Tensor, skin: Skin, maps: SurfaceMaps, texels: _Texels
) -> FoundLight:
    """The light, found on means over blocks of texels; where they lie, one in the middle tells."""
    step, place, size = max(1, maps.size // SAMPLED), texels.place, maps.size
    row, column = place // size, place % size

    def means(planes: Tensor) -> Tensor:
        """[S, S, C] to [s², C], over blocks."""
        side = size // step
        return planes.view(side, step, -1).mean(1).view(side * side, step, -1).mean(1)  # at once: 3 times as long

    under = means(base[..., :3].contiguous())
    seen_by = [means(weight) for weight in weights]
    at = torch.nonzero((row % step == step // 2) & (column % step == step // 2) & (texels.scatter > BARE))[:, 0]
    block = (row[at] // step) * (size // step) + column[at] // step

    def mask(plane: Plane) -> Tensor:
        return torch.from_numpy(plane.reshape(-1)[place[at].numpy()])

    masks = {name: mask(maps.masks[name]) for name in ("socket", "flush", "lips", "tinted", "seam", "margin")}
    bare = (masks["seam"] < CREASE) & (masks["margin"] < CREASE) & (mask(maps.cavity) < DEEP)
    freedom = _freedom(skin, masks)
    points, skins = [], []
    for view, (colour, weight) in enumerate(zip(colours, weights, strict=True)):
        some = torch.nonzero(bare & (seen_by[view][block, 0] > LEAST_WEIGHT))[:, 0]
        where = block[some]
        trust = seen_by[view][where, 0]
        lit = means(colour * weight[..., None])[where] / trust[:, None]
        painted = under[where].clamp(min=ALBEDO[0])
        points.append(texels.points(at[some], seen.cameras.position[view]))
        skins.append(Skins(where, lit, torch.full((len(some),), view), trust * _unclipped(lit), painted, freedom[some]))
    return find_light(
        Points(*(torch.cat(part) for part in zip(*points, strict=True))),
        Skins(*(torch.cat(part) for part in zip(*skins, strict=True))),
        len(weights),
    )


def _freedom(skin: Skin, masks: dict[str, Tensor]) -> Tensor:
    """[P, K, 3] what a deviation of each pigment adds to the logarithm of the albedo, where its mask is."""
    everywhere = torch.ones_like(masks["lips"])
    parts = (
        (everywhere, _changed(skin, melanin=MELANIN)),
        (masks["socket"], _changed(skin, melanin=SOCKET_MELANIN)),
        (everywhere, _changed(skin, haemoglobin=BLOOD)),
        (masks["flush"], _changed(skin, haemoglobin=FLUSH)),
        (masks["socket"], _changed(skin, haemoglobin=SOCKET_BLOOD)),
        (masks["lips"], _changed(skin, haemoglobin=LIPS)),
        (everywhere, _changed(skin, carotene=CAROTENE)),
        (masks["tinted"], -BEARD * torch.tensor(BEARD_TINT)),
    )
    return torch.stack([mask[:, None] * change for mask, change in parts], 1).float()


def _changed(skin: Skin, melanin: float = 0.0, haemoglobin: float = 0.0, carotene: float = 0.0) -> Tensor:
    """What more of each pigment adds to the logarithm of bare skin's albedo, [3]; half of it on either side."""
    ends = []
    for sign in (0.5, -0.5):
        pigment, blood, yellow = (
            np.clip(own + sign * more, 0, 1)
            for own, more in ((skin.melanin, melanin), (skin.haemoglobin, haemoglobin), (skin.carotene, carotene))
        )
        albedo = skin_albedo(np.full((1, 1), pigment, np.float32), np.full((1, 1), blood, np.float32), float(yellow))
        ends.append(torch.from_numpy(np.log(albedo[0, 0])))
    return ends[0] - ends[1]
