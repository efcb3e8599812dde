"""Knows the crew-neck shirt that everyone wears: painted on the shoulders below a plane around the base of the neck."""

from __future__ import annotations

import numpy as np

from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.masks import smoothstep

SHIRT_SPECULAR, SHIRT_ROUGHNESS = 0.15, 0.85
COLLAR = 13.0  # mm: height of the ribbed collar
SEAM_WIDTH = 1.2  # mm
WEAVE_HEIGHT, FOLD_HEIGHT, SEAM_DEPTH = 0.10, 1.2, 0.5  # mm
RIBS, RIB_HEIGHT = 70, 0.12  # from front to back; mm


def paint_shirt(layer: Layer, skin: Skin) -> None:
    """Lay the shirt over the skin below the neckline, with a collar, its seam and a contact shadow; in place."""
    maps, box = layer.maps, layer.box
    generator = keyed_generator(skin.seed, "skin/shirt", skin.identity)
    above = layer.mask("neckline") + np.float32(generator.uniform(-3, 3))
    layer.multiply(1 - np.float32(0.35) * (1 - smoothstep(above, 0.0, 9.0)))
    weave = mixed_noise(maps, "mottle", box, generator)
    folds = mixed_noise(maps, "broad", box, generator)
    light = 1 + np.float32(0.05) * weave + np.float32(0.07) * folds
    seam = np.exp(-(((above + np.float32(COLLAR)) / np.float32(SEAM_WIDTH)) ** 2))
    collar = smoothstep(above, -COLLAR, -COLLAR + 0.8)
    rib = np.exp(-((above / np.float32(1.5)) ** 2))
    light *= 1 - np.float32(0.35) * seam + np.float32(0.10) * collar - np.float32(0.18) * rib
    shirt = [np.float32(c) * light for c in skin.shirt_colour]
    worn = 1 - smoothstep(above, -0.8, 0.8)
    layer.cover(worn, shirt, SHIRT_SPECULAR, SHIRT_ROUGHNESS, scatter=0.0)
    # Threads, folds, the ribs of the collar (which run across it) and the groove of its seam.
    around = layer.maps.azimuth[box] * np.float32(2 * np.pi * RIBS / np.pi)
    relief = np.float32(WEAVE_HEIGHT) * weave + np.float32(FOLD_HEIGHT) * folds
    relief += collar * np.float32(RIB_HEIGHT) * np.sin(around) - np.float32(SEAM_DEPTH) * seam
    layer.height *= 1 - worn
    layer.height += worn * relief
