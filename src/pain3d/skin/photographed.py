"""Knows which part of a texture a photograph can show, and lays an albedo there in place of the painted one.

Skin, and what grows on it or covers it: hair, brows, lips, clothes. Eyeballs, teeth, tongue and the mouth's inside have
geometry of their own and stay as they were painted; the cards of the lashes take the colour of the lids they grow from.
Everywhere gloss, roughness, relief, scatter and wrinkles stay, so that a photographed face wrinkles too.

A photograph with alpha is of bare skin: it is laid below brows, beard, hair and cloth, which are painted over it. Its
tone is moved to the person's by pigment, no further than `FURTHEST`; pores, marks and a shaved beard's shade, which it
has at half of our texels, are taken from the painted skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.colour import srgb_to_linear
from pain3d.device import constant
from pain3d.skin.appearance import Skin
from pain3d.skin.brows import lash_colour
from pain3d.skin.chromophores import TABLE, skin_albedo, skin_table
from pain3d.skin.layer import Layer
from pain3d.skin.maps import Plane, SurfaceMaps, tone_texels
from pain3d.skin.planes import clip, full, put_, towards_

PHOTOGRAPHED = ("skin", "neck")
ALBEDO = (0.003, 0.95)  # what there is between soot and fresh snow
# On the 0–1 scales of melanin and haemoglobin: how far a skin's tone may be moved. Its lips, ears and lids have the
# contrasts of its own pigment, which a step of 0.25 of melanin, some 20° of ITA, leaves believable.
FURTHEST = (0.25, 0.30)
CHEEK_BLOOD = (0.02, 0.07)  # of a cheek more than of other skin, and by flush: half of what `complexion` adds there
FINE_TEXELS = 9  # of 1,024 a side: what varies over less is detail
DETAIL = (0.72, 1.2)  # factor that painted detail may have


class Photograph(NamedTuple):
    """An albedo that can be laid over a texture.

    Attributes:
        albedo: [H, W, 3] float32 linear, or uint8 sRGB; on the device of the texture.
        lids: Its linear red, green and blue around the eyes.
        cheeks: Of bare skin its linear red, green and blue where tones are taken; empty of one that shows hair too.
    """

    albedo: Tensor
    lids: tuple[float, ...]
    cheeks: tuple[float, ...] = ()


def photograph_of(albedo: Tensor, maps: SurfaceMaps) -> Photograph:
    """Look at an albedo [H, W, 3], float32 linear or uint8 sRGB, or bare skin [H, W, 4] uint8, before it is laid.

    Args:
        albedo: On the CPU.
        maps: Of the head; of them `lid_texels`.

    Raises:
        ValueError: Another shape or type.
    """
    size = maps.size
    if tuple(albedo.shape) == (size, size, 4) and albedo.dtype == torch.uint8:
        flat = albedo.reshape(-1, 4)
        patches = [_linear(flat[torch.from_numpy(place), :3]).double().mean(0) for place in tone_texels(maps)]
        return Photograph(albedo, (), tuple(torch.stack(patches).quantile(0.5, 0).clamp(min=ALBEDO[0]).tolist()))
    if tuple(albedo.shape) != (size, size, 3) or albedo.dtype not in (torch.float32, torch.uint8):
        kind = str(albedo.dtype).removeprefix("torch.")
        wanted = f"[{size} {size} 3] float32 or uint8, or [{size} {size} 4] uint8"
        raise ValueError(f"albedo must be {wanted}, got {list(albedo.shape)} {kind}")
    columns, rows = np.clip(maps.lid_texels.reshape(-1, 2).round().astype(int), 0, size - 1).T
    lids = _linear(albedo[rows, columns])
    return Photograph(albedo, tuple(lids.double().mean(0).tolist()))


def photographable(maps: SurfaceMaps) -> Plane:
    """Where a photograph can show the head, [H, W] bool; on the device of the maps."""
    skin, neck = (maps.part == maps.part_names.index(name) for name in PHOTOGRAPHED)
    return skin | neck


def lay_photograph(planes: Sequence[Plane], maps: SurfaceMaps, skin: Skin, photograph: Photograph) -> None:
    """Lay an albedo over the red, green and blue plane [H, W] of one person, clipped to `ALBEDO`, in place."""
    inside = photographable(maps)
    on_device = isinstance(planes[0], Tensor)
    channels = _linear(photograph.albedo).permute(2, 0, 1) if on_device else _split(photograph.albedo)
    for plane, channel in zip(planes, channels, strict=False):
        put_(plane, clip(channel, *ALBEDO), inside)
    box = maps.boxes["lashes"]
    cards, roots = maps.part[box] == maps.part_names.index("lashes"), maps.masks["lash_root"][box]
    for plane, lid, lash in zip(planes, photograph.lids, lash_colour(skin), strict=False):
        card = full(roots, lid)
        towards_(card, lash, roots)
        put_(plane[box], clip(card, *ALBEDO), cards)


def lay_below(layer: Layer, skin: Skin, photograph: Photograph) -> None:
    """Lay bare skin under what will grow on a layer of one person, by its alpha, in place."""
    rows, columns = layer.box
    *channels, alpha = cv2.split(photograph.albedo.numpy()[rows, columns])
    share = cv2.LUT(alpha, np.linspace(0, 1, 256, dtype=np.float32))
    green = layer.albedo[1]
    reach = max(3, FINE_TEXELS * layer.maps.size // 1024 | 1)
    detail = cv2.divide(green, np.maximum(cv2.blur(green, (reach, reach)), np.float32(ALBEDO[0])))
    np.clip(detail, *DETAIL, out=detail)
    for plane, channel, factor in zip(layer.albedo, channels, moved_tone(skin, photograph.cheeks), strict=True):
        there = np.asarray(cv2.LUT(channel, _levels() * np.float32(factor)), np.float32)
        there *= detail
        towards_(plane, there, share)


def moved_tone(skin: Skin, cheeks: Sequence[float]) -> npt.NDArray[np.float64]:
    """Factors on red, green and blue that bring a skin with such cheeks to a person's, as far as `FURTHEST` allows.

    Melanin lies above what else colours skin, and what light passes twice multiplies: so it may be a factor.
    """
    seen = np.array(cheeks)
    table = np.log(skin_table().astype(np.float64))  # called as `skin_albedo` does: two tables are kept
    own = np.array(np.unravel_index(((table - np.log(seen)) ** 2).sum(-1).argmin(), table.shape[:2])) / TABLE
    wished = np.array([skin.melanin, skin.haemoglobin + CHEEK_BLOOD[0] + CHEEK_BLOOD[1] * skin.flush])
    melanin, haemoglobin = own + np.clip(wished - own, -np.array(FURTHEST), FURTHEST)
    there = skin_albedo(np.full((1, 1), melanin, np.float32), np.full((1, 1), haemoglobin, np.float32), skin.carotene)
    return np.asarray(there[0, 0] / seen, np.float64)


def _linear(albedo: Tensor) -> Tensor:
    if albedo.is_floating_point():
        return albedo
    return constant(tuple(_levels().tolist()), albedo, torch.float32)[albedo.long()]


def _split(albedo: Tensor) -> Sequence[Plane]:
    """As `_linear`, a plane for each channel: OpenCV takes a tenth of the time."""
    seen = albedo.numpy()
    return cv2.split(cv2.LUT(seen, _levels()) if seen.dtype == np.uint8 else seen)


@cache
def _levels() -> npt.NDArray[np.float32]:
    """Linear light of the 256 levels of sRGB."""
    return srgb_to_linear(np.arange(256) / 255).astype(np.float32)
