"""Knows which part of a texture a photograph can show, and lays an albedo there in place of the painted one.

Skin, and what grows on it or covers it: hair, brows, lips, clothes. Eyeballs, teeth, tongue and the mouth's inside have
geometry of their own and stay as they were painted; the cards of the lashes take the colour of the lids they grow from.
Everywhere gloss, roughness, relief, scatter and wrinkles stay, so that a photographed face wrinkles too.
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
from pain3d.skin.maps import Plane, SurfaceMaps
from pain3d.skin.planes import clip, full, put_, towards_

PHOTOGRAPHED = ("skin", "neck")
ALBEDO = (0.003, 0.95)  # what there is between soot and fresh snow


class Photograph(NamedTuple):
    """An albedo that can be laid over a texture.

    Attributes:
        albedo: [H, W, 3] float32 linear, or uint8 sRGB; on the device of the texture.
        lids: Its linear red, green and blue around the eyes.
    """

    albedo: Tensor
    lids: tuple[float, ...]


def photograph_of(albedo: Tensor, maps: SurfaceMaps) -> Photograph:
    """Look at an albedo [H, W, 3], float32 linear or uint8 sRGB, before it is laid over textures of a head.

    Args:
        albedo: On the CPU.
        maps: Of the head; of them `lid_texels`.

    Raises:
        ValueError: Another shape or type.
    """
    size = maps.size
    if tuple(albedo.shape) != (size, size, 3) or albedo.dtype not in (torch.float32, torch.uint8):
        kind = str(albedo.dtype).removeprefix("torch.")
        raise ValueError(f"albedo must be [{size} {size} 3] float32 or uint8, got {list(albedo.shape)} {kind}")
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
