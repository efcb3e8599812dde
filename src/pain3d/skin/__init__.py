"""Procedural appearance: who a surface belongs to (`Skin`), where its texels lie (`SurfaceMaps`), and `paint`."""

from pain3d.skin.appearance import Skin, sample_skin
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.painting import paint, surface_maps
from pain3d.skin.surfaces import surface

__all__ = ["Skin", "SurfaceMaps", "paint", "sample_skin", "surface", "surface_maps"]
