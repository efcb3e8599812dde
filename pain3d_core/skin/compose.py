"""Knows which layers make up each part of a texture, from the skin up."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.skin.appearance import Skin
from pain3d.skin.clothes import paint_shirt
from pain3d.skin.complexion import bare_skin
from pain3d.skin.eyes import paint_eye
from pain3d.skin.hair import lash_colour, paint_beard, paint_brows, paint_lash_lines, paint_scalp
from pain3d.skin.layer import Layer
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.mouth import paint_mucosa, paint_teeth, paint_tongue

Floats = npt.NDArray[np.float32]

LOWEST, HIGHEST = 0.003, 0.95  # albedo of what there is between soot and fresh snow


def paint_texture(maps: SurfaceMaps, skin: Skin) -> Floats:
    """The whole texture [H, W, 5]; see `paint`."""
    texture = np.empty((maps.size, maps.size, 5), np.float32)
    for name in maps.boxes:
        layer = _paint_part(maps, name, skin)
        for plane in layer.albedo:
            np.clip(plane, np.float32(LOWEST), np.float32(HIGHEST), out=plane)
        np.clip(layer.specular, np.float32(0), np.float32(2), out=layer.specular)
        np.clip(layer.roughness, np.float32(0.05), np.float32(1), out=layer.roughness)
        inside = maps.part[layer.box] == maps.part_names.index(name)
        cv2.copyTo(layer.merged(), inside.view(np.uint8), texture[layer.box])
    return texture


def _paint_part(maps: SurfaceMaps, name: str, skin: Skin) -> Layer:
    if name in ("skin", "neck"):
        layer = bare_skin(maps, maps.boxes[name], skin, facial=name == "skin")
        paint_beard(layer, skin)
        paint_scalp(layer, skin)
        if name == "skin":
            paint_brows(layer, skin)
            paint_lash_lines(layer, skin)
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
