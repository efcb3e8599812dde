"""Knows the crew-neck shirt that everyone wears: painted on the shoulders below a plane around the base of the neck."""

from __future__ import annotations

import numpy as np

from pain3d.skin.appearance import Skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.planes import exp, sin, smoothstep

SHIRT_SPECULAR, SHIRT_ROUGHNESS = 0.15, 0.85
COLLAR = 13.0  # mm: height of the ribbed collar
SEAM_WIDTH = 1.2  # mm
WEAVE_HEIGHT, FOLD_HEIGHT, SEAM_DEPTH = 0.10, 1.2, 0.5  # mm
RIBS, RIB_HEIGHT = 70, 0.12  # from front to back; mm


def paint_shirt(layer: Layer, skin: Skin | Crowd) -> None:
    """Lay the shirt over the skin below the neckline, with a collar, its seam and a contact shadow; in place."""
    maps, box = layer.maps, layer.box
    generator = skin.generator("skin/shirt")
    above = layer.mask("neckline") + generator.uniform(-3, 3)
    layer.multiply(1 - 0.35 * (1 - smoothstep(above, 0.0, 9.0)))
    weave = mixed_noise(maps, "mottle", box, generator)
    folds = mixed_noise(maps, "broad", box, generator)
    light = 1 + 0.05 * weave + 0.07 * folds
    seam = exp(-(((above + COLLAR) / SEAM_WIDTH) ** 2))
    collar = smoothstep(above, -COLLAR, -COLLAR + 0.8)
    rib = exp(-((above / 1.5) ** 2))
    light *= 1 - 0.35 * seam + 0.10 * collar - 0.18 * rib
    shirt = [c * light for c in skin.shirt_colour]
    worn = 1 - smoothstep(above, -0.8, 0.8)
    layer.cover(worn, shirt, SHIRT_SPECULAR, SHIRT_ROUGHNESS, scatter=0.0)
    # Threads, folds, the ribs of the collar (which run across it) and the groove of its seam.
    around = layer.maps.azimuth[box] * (2 * np.pi * RIBS / np.pi)
    relief = WEAVE_HEIGHT * weave + FOLD_HEIGHT * folds
    relief += collar * RIB_HEIGHT * sin(around) - SEAM_DEPTH * seam
    layer.height *= 1 - worn
    layer.height += worn * relief
