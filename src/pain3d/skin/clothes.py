"""Knows what everyone wears, painted on the shoulders below a plane around the base of the neck: shirt or gown.

A shirt has a ribbed collar; a hospital gown is cut lower, bound with tape, printed and creased where it was folded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pain3d.skin.appearance import Skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.maps import Plane
from pain3d.skin.planes import exp, sin, smoothstep

SHIRT_SPECULAR, SHIRT_ROUGHNESS = 0.15, 0.85
COLLAR = 13.0  # mm: height of the ribbed collar
SEAM_WIDTH = 1.2  # mm
WEAVE_HEIGHT, FOLD_HEIGHT, SEAM_DEPTH = 0.10, 1.2, 0.5  # mm
RIBS, RIB_HEIGHT = 70, 0.12  # from front to back; mm
LOWER = 16.0  # mm that a gown is cut below a shirt
TAPE, TAPE_LIGHT = 7.0, 1.12  # mm: width of the tape that binds it
PRINT, PRINT_DARK = 9.0, 0.30  # mm from figure to figure of the print, and how dark they are
PRESSED, PRESSED_HEIGHT = 62.0, 0.8  # mm: from crease to crease where it was folded


def paint_shirt(layer: Layer, skin: Skin | Crowd) -> None:
    """Lay the shirt over the skin below the neckline, with a collar, its seam and a contact shadow; in place."""
    maps, box = layer.maps, layer.box
    generator = skin.generator("skin/shirt")
    gown, gowned = skin.gown, is_gowned(skin)
    above = above_edge(layer.mask("neckline"), skin, generator)
    layer.multiply(1 - 0.35 * (1 - smoothstep(above, 0.0, 9.0)))
    weave = mixed_noise(maps, "mottle", box, generator)
    folds = mixed_noise(maps, "broad", box, generator)
    light = 1 + 0.05 * weave + 0.07 * folds
    seam = exp(-(((above + COLLAR) / SEAM_WIDTH) ** 2))
    collar = smoothstep(above, -COLLAR, -COLLAR + 0.8)
    rib = exp(-((above / 1.5) ** 2))
    ribbed = 1 - gown  # 1 changes no bit of who wears a shirt
    light *= 1 - 0.35 * seam * ribbed + 0.10 * collar * ribbed - 0.18 * rib * ribbed
    creased: Any = 0.0
    if gowned:
        x, y, z = (plane[box] for plane in (layer.maps.x, layer.maps.y, layer.maps.z))
        down = y - 0.8 * z  # along the cloth, over the shoulder
        taped = smoothstep(above, -TAPE, -TAPE + 0.8)
        figures = sin(x * (np.pi / PRINT)) * sin(down * (np.pi / PRINT))
        figures = smoothstep(figures * figures, 0.55, 0.75) * (1 - taped)
        stitch = exp(-(((above + TAPE) / 0.7) ** 2))
        light *= 1 - gown * (PRINT_DARK * figures - (TAPE_LIGHT - 1) * taped + 0.25 * stitch)
        pressed = sum(exp(-((sin(along * (np.pi / PRESSED)) / 0.05) ** 2)) for along in (x, down))
        creased = gown * (PRESSED_HEIGHT * pressed + 0.4 * taped - 0.3 * stitch)
    shirt = [c * light for c in skin.shirt_colour]
    worn = cloth_share(above)
    layer.cover(worn, shirt, SHIRT_SPECULAR, SHIRT_ROUGHNESS, scatter=0.0)
    # Threads, folds, the ribs of the collar (which run across it) and the groove of its seam.
    around = layer.maps.azimuth[box] * (2 * np.pi * RIBS / np.pi)
    relief = WEAVE_HEIGHT * weave + FOLD_HEIGHT * folds
    relief += ribbed * (collar * RIB_HEIGHT * sin(around) - SEAM_DEPTH * seam) + creased
    layer.height *= 1 - worn
    layer.height += worn * relief


def is_gowned(skin: Skin | Crowd) -> bool:
    """Whether anybody wears a gown."""
    return any(one.gown for one in (skin.skins if isinstance(skin, Crowd) else [skin]))


def above_edge(neckline: Plane, skin: Skin | Crowd, generator: Any) -> Plane:
    """Millimetres above the edge of what is worn: the first that is drawn of ``skin/shirt`` moves it."""
    above = neckline + generator.uniform(-3, 3)
    return above + LOWER * skin.gown if is_gowned(skin) else above


def cloth_share(above: Plane) -> Plane:
    """How much of each place is cloth, 0–1, by millimetres above its edge."""
    return 1 - smoothstep(above, -0.8, 0.8)
