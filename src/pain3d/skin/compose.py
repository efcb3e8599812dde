"""Knows which layers make up each part of a texture, from the skin up."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from pain3d.kernels.rendering.relief import CHANNELS, DETAIL_CHANNELS, DETAIL_START
from pain3d.skin.appearance import Skin
from pain3d.skin.beard import paint_beard
from pain3d.skin.brows import lash_colour, paint_brows, paint_lash_lines
from pain3d.skin.clothes import paint_shirt
from pain3d.skin.complexion import bare_skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.eyes import paint_eye, paint_waterline
from pain3d.skin.hair import paint_scalp
from pain3d.skin.hairline import COVERING
from pain3d.skin.layer import Layer
from pain3d.skin.maps import Floats, Plane, SurfaceMaps
from pain3d.skin.mouth import paint_mucosa, paint_teeth, paint_tongue
from pain3d.skin.photographed import ALBEDO, Photograph, lay_below, lay_photograph
from pain3d.skin.planes import multiply_into
from pain3d.skin.relief import STEEPEST, slopes
from pain3d.skin.wrinkles import draw_wrinkles

SCATTER = 7  # channel: light that goes on below the surface, 0 on hair
# The range of each channel that the parts of a head have, and which plane of a layer it is, slopes after the others.
RANGES = {
    0: ALBEDO, 1: ALBEDO, 2: ALBEDO, 3: (0.0, 2.0), 4: (0.05, 1.0), 5: (-STEEPEST, STEEPEST), 6: (-STEEPEST, STEEPEST),
    SCATTER: (0.0, 1.0),
}  # fmt: skip
SOURCE = (0, 1, 2, 3, 4, 7, 8, 6)


class Canvas:
    """Memory that one texture after another is painted in: fresh pages would cost as much as many strokes.

    What no part of the head covers stays 0, and every person covers the same texels.

    Args:
        maps: Whose textures.
    """

    def __init__(self, maps: SurfaceMaps) -> None:
        self.maps = maps
        self.planes = [np.zeros((maps.size, maps.size), np.float32) for _ in range(CHANNELS)]


def paint_texture(canvas: Canvas, skin: Skin, texture: Floats, photograph: Photograph | None = None) -> None:
    """Paint a whole texture [H, W, 16] into memory that is given; see `paint`."""
    maps = canvas.maps
    matrix = maps.masks["laid_slopes"] if skin.hair_style in COVERING else maps.slopes
    bare = photograph if photograph is not None and photograph.cheeks else None
    for number, (name, (rows, columns)) in enumerate(maps.boxes.items()):
        layer = _paint_part(maps, name, skin, bare)
        inside = (maps.part[rows, columns] == maps.part_names.index(name)).view(np.uint8)
        painted = (*layer.planes(), *slopes(layer.height, matrix[:, rows, columns]))
        for channel, (low, high) in RANGES.items():
            there, values = canvas.planes[channel][rows, columns], painted[SOURCE[channel]]
            if number == 0:  # what belongs to other parts is painted over by them
                np.clip(values, low, high, out=there)
            else:
                cv2.copyTo(np.clip(values, low, high, out=values), inside, there)
    if photograph is not None and bare is None:
        lay_photograph(canvas.planes[:3], maps, skin, photograph)
    _lay_wrinkles(canvas.planes, maps, skin)
    cv2.merge(canvas.planes, texture)


def paint_textures(maps: SurfaceMaps, crowd: Crowd, textures: Tensor, photographs: Sequence[Photograph | None]) -> None:
    """Paint the textures [K, H, W, 16] of K people on their device, where the photographs are and `maps` is of.

    Raises:
        ValueError: A photograph is of bare skin, which is laid for one person at a time, on the CPU.
    """
    if any(photograph is not None and photograph.cheeks for photograph in photographs):
        raise ValueError("albedo must have no alpha on a device: bare skin is laid on the CPU")
    planes = torch.zeros(CHANNELS, *textures.shape[:3], device=crowd.device)
    covering = torch.tensor([skin.hair_style in COVERING for skin in crowd.skins], device=crowd.device)[:, None, None]
    for name in maps.boxes:
        rows, columns = maps.boxes[name]
        inside = maps.part[rows, columns] == maps.part_names.index(name)
        layer = _paint_part(maps, name, crowd)
        matrix = torch.where(
            covering, maps.masks["laid_slopes"][:, None, rows, columns], maps.slopes[:, None, rows, columns]
        )
        painted = (*layer.planes(), *slopes(layer.height, matrix))
        for channel, (low, high) in RANGES.items():
            there = planes[channel][:, rows, columns]
            there.copy_(torch.where(inside, painted[SOURCE[channel]].clamp_(low, high), there))
    for number, photograph in enumerate(photographs):
        if photograph is not None:
            lay_photograph(list(planes[:3, number]), maps, crowd.skins[number], photograph)
    _lay_wrinkles(list(planes), maps, crowd)
    textures.copy_(planes.permute(1, 2, 3, 0))


def _lay_wrinkles(planes: Sequence[Plane], maps: SurfaceMaps, skin: Skin | Crowd) -> None:
    for number, wrinkles in enumerate(draw_wrinkles(maps, skin)):
        first = DETAIL_START + number * DETAIL_CHANNELS
        box = (..., *wrinkles.box)
        bare = planes[SCATTER][box]  # hair hides the wrinkles of the skin below it
        for plane, values in zip(planes[first:], wrinkles.planes, strict=False):
            multiply_into(plane[box], values, bare)


def _paint_part(maps: SurfaceMaps, name: str, skin: Skin | Crowd, bare: Photograph | None = None) -> Layer:
    if name in ("skin", "neck"):
        layer = bare_skin(maps, maps.boxes[name], skin, facial=name == "skin")
        if bare is not None:
            assert isinstance(skin, Skin)
            lay_below(layer, skin, bare)
        paint_beard(layer, skin, name)
        paint_scalp(layer, skin)
        if name == "skin":
            paint_brows(layer, skin)
            paint_lash_lines(layer, skin)
            paint_waterline(layer, skin)
        else:
            paint_shirt(layer, skin)
        return layer
    if name.endswith("eye"):
        return paint_eye(maps, name, skin)
    if name.endswith("teeth"):
        return paint_teeth(maps, name, skin)
    if name == "tongue":
        return paint_tongue(maps, skin)
    if name == "lashes":
        # Cards are opaque: away from the lid's margin they take the colour of the lid, so that their ends are not seen.
        layer = bare_skin(maps, maps.boxes[name], skin, facial=False)
        layer.cover(layer.mask("lash_root"), lash_colour(skin), 0.3, 0.6)
        return layer
    return paint_mucosa(maps, skin)
