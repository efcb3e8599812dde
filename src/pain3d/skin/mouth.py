"""Knows the inside of the mouth: mucosa, tongue, teeth with gaps and gums."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin
from pain3d.skin.complexion import lip_edge_colour
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.masks import smoothstep

Floats = npt.NDArray[np.float32]

MUCOSA, THROAT, TONGUE, GUM = (0.30, 0.095, 0.085), (0.055, 0.014, 0.013), (0.33, 0.125, 0.115), (0.36, 0.15, 0.14)
IVORY = (0.71, 0.61, 0.47)
WET_SPECULAR = 1.3
# Widths of the teeth from the midline outwards, mm (Wheeler's dental anatomy), and the height of a crown above the gum.
UPPER_WIDTHS, UPPER_CROWN = (8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 10.0), 9.0
LOWER_WIDTHS, LOWER_CROWN = (5.0, 5.5, 7.0, 7.0, 7.0, 11.0, 10.5), 7.5
OCCLUSAL = (-45.5, 90.0, -0.22)  # mm: height and z of the cutting edges in front, and how the plane rises to the back
ARCH = 0.05  # 1/mm: the teeth stand on z = z0 − ARCH x²
GUM_SCALLOP = 1.6  # mm that the gum reaches down between two teeth


def paint_mucosa(maps: SurfaceMaps, skin: Skin) -> Layer:
    """The lining of the cheeks and lips, darker towards the throat; it meets the lips in their colour."""
    box = maps.boxes["mouth"]
    noise = mixed_noise(maps, "mottle", box, keyed_generator(skin.seed, "skin/mucosa", skin.identity))
    layer = Layer.plain(maps, box, MUCOSA, WET_SPECULAR, 0.30)
    depth = 1 - smoothstep(maps.z[box], 25.0, 88.0)
    layer.cover(depth, THROAT)
    layer.multiply((1 + np.float32(0.05) * noise) * np.float32(1 - 0.25 * skin.melanin))
    layer.cover(layer.mask("lip_edge"), lip_edge_colour(skin))
    layer.specular *= (1 - np.float32(0.8) * depth) * (1 - np.float32(0.95) * layer.mask("lip_edge"))
    return layer


def paint_tongue(maps: SurfaceMaps, skin: Skin) -> Layer:
    """The tongue: papillae, a groove along the middle, darker at the root."""
    box = maps.boxes["tongue"]
    noise = mixed_noise(maps, "mottle", box, keyed_generator(skin.seed, "skin/tongue", skin.identity))
    layer = Layer.plain(maps, box, TONGUE, WET_SPECULAR, 0.38)
    groove = np.exp(-((maps.x[box] / np.float32(1.6)) ** 2))
    root = 1 - smoothstep(maps.z[box], 20.0, 72.0)
    layer.cover(root * np.float32(0.85), THROAT)
    layer.multiply((1 + np.float32(0.07) * noise) * (1 - np.float32(0.22) * groove))
    return layer


def paint_teeth(maps: SurfaceMaps, part: str, skin: Skin) -> Layer:
    """One row of teeth, ``upper_teeth`` or ``lower_teeth``."""
    box = maps.boxes[part]
    upper = part.startswith("upper")
    generator = keyed_generator(skin.seed, "skin/teeth", skin.identity)
    age = float(np.clip((skin.age - 25) / 60, 0, 1))
    stain = 0.25 + 0.6 * age + 0.15 * generator.random()
    ivory = [c * (1 - stain * d) for c, d in zip(IVORY, (0.16, 0.22, 0.38), strict=True)]
    layer = Layer.plain(maps, box, ivory, 1.5, 0.20)
    x, y, z = (plane[box] for plane in (maps.x, maps.y, maps.z))

    grid = np.linspace(0, 40, 401)
    arc = np.concatenate([[0], np.cumsum(np.sqrt(1 + (2 * ARCH * (grid[:-1] + 0.05)) ** 2) * 0.1)])
    along = np.interp(np.abs(x), grid, arc).astype(np.float32)
    edges = np.concatenate([[0], np.cumsum(UPPER_WIDTHS if upper else LOWER_WIDTHS)])
    number = np.clip(np.searchsorted(edges, along) - 1, 0, len(edges) - 2)
    middle, half = (edges[1:] + edges[:-1])[number] / 2, (np.diff(edges) / 2)[number]
    to_edge = (half - np.abs(along - middle)).astype(np.float32)
    shades = 1 + 0.05 * generator.standard_normal(2 * len(edges))
    layer.multiply(shades[number + len(edges) * (x > 0)].astype(np.float32))
    layer.multiply(1 - np.float32(0.55) * (1 - smoothstep(to_edge, 0.0, 0.8)))

    scallop = np.float32(GUM_SCALLOP) * (1 - smoothstep(to_edge, 0.0, 3.0))
    edge = np.float32(OCCLUSAL[0]) + np.float32(OCCLUSAL[2]) * (z - np.float32(OCCLUSAL[1]))
    gum = (y - edge - np.float32(UPPER_CROWN) if upper else edge - np.float32(LOWER_CROWN) - y) + scallop
    near_gum = smoothstep(gum, -4.0, 0.0)
    layer.multiply(1 - np.float32(0.18) * near_gum)
    pink = [c * (1 - 0.35 * skin.melanin) for c in GUM]
    layer.cover(smoothstep(gum, -0.5, 0.5), pink, WET_SPECULAR, 0.30)
    layer.multiply(np.float32(0.20) + np.float32(0.80) * smoothstep(z, 58.0, 88.0))  # far teeth lie in the dark
    layer.scatter *= 0
    layer.height += np.float32(0.35) * smoothstep(to_edge, 0.0, 1.6) * (1 - smoothstep(gum, -0.5, 0.5))
    return layer
