"""Procedural appearance: who a surface belongs to (`Skin`), where its texels lie (`SurfaceMaps`), and `paint`."""

from pain3d.skin.appearance import Skin, sample_skin
from pain3d.skin.maps import SurfaceMaps, surface_maps
from pain3d.skin.paint import paint
from pain3d.skin.surface import surface

__all__ = ["Skin", "SurfaceMaps", "paint", "sample_skin", "surface", "surface_maps"]
