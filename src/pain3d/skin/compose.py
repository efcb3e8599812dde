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
from pain3d.skin.planes import clip_
from pain3d.skin.relief import slopes
from pain3d.skin.wrinkles import draw_wrinkles

SCATTER = 7  # channel: light that goes on below the surface, 0 on hair
LOWEST, HIGHEST = 0.003, 0.95  # albedo of what there is between soot and fresh snow


class Canvas:
    """Memory that one texture after another is painted in: fresh pages would cost as much as many strokes.

    What no part of the head covers stays 0, and every person covers the same texels.

    Args:
        maps: Whose texture.
        texture: [H, W, 16] to paint in; None is new memory.
    """

    def __init__(self, maps: SurfaceMaps, texture: Floats | None = None) -> None:
        self.maps = maps
        self.planes = [np.zeros((maps.size, maps.size), np.float32) for _ in range(CHANNELS)]
        self.texture = np.empty((maps.size, maps.size, CHANNELS), np.float32) if texture is None else texture


def paint_texture(canvas: Canvas, skin: Skin) -> Floats:
    """Paint a whole texture [H, W, 16], the canvas's own; see `paint`."""
    maps = canvas.maps
    matrix = maps.masks["laid_slopes"] if skin.hair_style in COVERING else maps.slopes
    for name in maps.boxes:
        rows, columns = maps.boxes[name]
        inside = (maps.part[rows, columns] == maps.part_names.index(name)).view(np.uint8)
        painted = _finished(_paint_part(maps, name, skin), matrix[:, rows, columns])
        for plane, values in zip(canvas.planes, painted, strict=False):  # what is left are the wrinkles
            cv2.copyTo(values, inside, plane[rows, columns])
    _lay_wrinkles(canvas.planes, maps, skin)
    cv2.merge(canvas.planes, canvas.texture)
    return canvas.texture


def paint_textures(maps: SurfaceMaps, crowd: Crowd, textures: Tensor) -> None:
    """Paint the textures [K, H, W, 16] of K people on their device; `maps` of `SurfaceMaps.on` it."""
    planes = torch.zeros(CHANNELS, *textures.shape[:3], device=crowd.device)
    covering = torch.tensor([skin.hair_style in COVERING for skin in crowd.skins], device=crowd.device)[:, None, None]
    for name in maps.boxes:
        rows, columns = maps.boxes[name]
        inside = maps.part[rows, columns] == maps.part_names.index(name)
        matrix = torch.where(
            covering, maps.masks["laid_slopes"][:, None, rows, columns], maps.slopes[:, None, rows, columns]
        )
        painted = _finished(_paint_part(maps, name, crowd), matrix)
        for plane, values in zip(planes, painted, strict=False):
            there = plane[:, rows, columns]
            there.copy_(torch.where(inside, values, there))
    _lay_wrinkles(list(planes), maps, crowd)
    textures.copy_(planes.permute(1, 2, 3, 0))


def _finished(layer: Layer, matrix: Plane) -> tuple[Plane, ...]:
    """The first eight channels of a texture from a layer, held within their ranges."""
    for plane in layer.albedo:
        clip_(plane, LOWEST, HIGHEST)
    clip_(layer.specular, 0, 2)
    clip_(layer.roughness, 0.05, 1)
    clip_(layer.scatter, 0, 1)
    return (*layer.albedo, layer.specular, layer.roughness, *slopes(layer.height, matrix), layer.scatter)


def _lay_wrinkles(planes: Sequence[Plane], maps: SurfaceMaps, skin: Skin | Crowd) -> None:
    for number, wrinkles in enumerate(draw_wrinkles(maps, skin)):
        first = DETAIL_START + number * DETAIL_CHANNELS
        box = (..., *wrinkles.box)
        bare = planes[SCATTER][box]  # hair hides the wrinkles of the skin below it
        for plane, values in zip(planes[first:], wrinkles.planes, strict=False):
            plane[box] = values * bare


def _paint_part(maps: SurfaceMaps, name: str, skin: Skin | Crowd) -> Layer:
    if name in ("skin", "neck"):
        layer = bare_skin(maps, maps.boxes[name], skin, facial=name == "skin")
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
