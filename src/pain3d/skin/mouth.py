"""Knows the inside of the mouth: mucosa, tongue, teeth with gaps and gums."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pain3d.skin.appearance import Skin
from pain3d.skin.complexion import lip_edge_colour
from pain3d.skin.crowd import Crowd
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.maps import Plane, SurfaceMaps
from pain3d.skin.planes import clip, exp, smoothstep

Floats = npt.NDArray[np.float32]

MUCOSA, THROAT, TONGUE, GUM = (0.30, 0.095, 0.085), (0.055, 0.014, 0.013), (0.33, 0.125, 0.115), (0.36, 0.15, 0.14)
# Near shade A2 of dentists' guides: L* of some 75, b* of some 18. Cast shadows keep the lamp
# from a mouth that is hardly open; what lips keep from it of the sky is the texture's to tell.
IVORY = (0.64, 0.51, 0.385)
BETWEEN = (0.50, 0.60, 0.66)  # of red, green and blue that is lost between two teeth
LIP_SHADE = (0.0, 0.25)  # light lost at the edge of the front teeth and at their necks, which lips shade
# The mesh of a row is coarse: its normals turn down at the edge of the upper teeth, up at that of the lower ones. So
# much height per mm, from the edge to the gum, turns them back to the front.
UPRIGHT = (2.4, 0.5)
AVERTED, AVERTED_GAIN = (4.0, 7.5), (0.75, 0.62, 0.42)  # mm from the midline from which upper edges look backwards
WET_SPECULAR = 1.3
# Widths of the teeth from the midline outwards, mm (Wheeler's dental anatomy), and the height of a crown above the gum.
UPPER_WIDTHS, UPPER_CROWN = (8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 10.0), 9.0
LOWER_WIDTHS, LOWER_CROWN = (5.0, 5.5, 7.0, 7.0, 7.0, 11.0, 10.5), 7.5
OCCLUSAL = (-45.5, 90.0, -0.22)  # mm: height and z of the cutting edges in front, and how the plane rises to the back
ARCH = 0.05  # 1/mm: the teeth stand on z = z0 − ARCH x²
GUM_SCALLOP = 1.6  # mm that the gum reaches down between two teeth


def paint_mucosa(maps: SurfaceMaps, skin: Skin | Crowd) -> Layer:
    """The lining of the cheeks and lips, darker towards the throat; it meets the lips in their colour."""
    box = maps.boxes["mouth"]
    noise = mixed_noise(maps, "mottle", box, skin.generator("skin/mucosa"))
    layer = Layer.plain(maps, box, MUCOSA, WET_SPECULAR, 0.30, skin)
    depth = 1 - smoothstep(maps.z[box], 25.0, 88.0)
    layer.cover(depth, THROAT)
    layer.multiply((1 + 0.05 * noise) * (1 - 0.25 * skin.melanin))
    layer.cover(layer.mask("lip_edge"), lip_edge_colour(skin))
    layer.specular *= (1 - 0.8 * depth) * (1 - 0.95 * layer.mask("lip_edge"))
    return layer


def paint_tongue(maps: SurfaceMaps, skin: Skin | Crowd) -> Layer:
    """The tongue: papillae, a groove along the middle, darker at the root."""
    box = maps.boxes["tongue"]
    noise = mixed_noise(maps, "mottle", box, skin.generator("skin/tongue"))
    layer = Layer.plain(maps, box, TONGUE, WET_SPECULAR, 0.38, skin)
    groove = exp(-((maps.x[box] / 1.6) ** 2))
    root = 1 - smoothstep(maps.z[box], 34.0, 88.0)
    layer.cover(root * 0.92, THROAT)
    layer.multiply((1 + 0.10 * noise) * (1 - 0.16 * groove))
    layer.height += 0.12 * noise
    return layer


def paint_teeth(maps: SurfaceMaps, part: str, skin: Skin | Crowd) -> Layer:
    """One row of teeth, ``upper_teeth`` or ``lower_teeth``."""
    box = maps.boxes[part]
    upper = part.startswith("upper")
    generator = skin.generator("skin/teeth")
    age = clip((skin.age - 25) / 60, 0, 1)
    stain = 0.25 + 0.6 * age + 0.15 * generator.random()
    ivory = [c * (1 - stain * d) for c, d in zip(IVORY, (0.16, 0.22, 0.38), strict=True)]
    layer = Layer.plain(maps, box, ivory, 1.5, 0.20, skin)
    y, z = maps.y[box], maps.z[box]
    number, to_edge = maps.teeth[part]
    shades: Plane = 1 + 0.05 * generator.standard_normal(2 * (1 + len(UPPER_WIDTHS)))
    layer.multiply(shades.T[:, number] if isinstance(skin, Crowd) else shades[number].astype(np.float32))
    gap = 1 - smoothstep(to_edge, 0.0, 0.6)
    for plane, lost in zip(layer.albedo, BETWEEN, strict=True):
        plane *= 1 - lost * gap

    scallop = GUM_SCALLOP * (1 - smoothstep(to_edge, 0.0, 3.0))
    edge = OCCLUSAL[0] + OCCLUSAL[2] * (z - OCCLUSAL[1])
    gum = (y - edge - UPPER_CROWN if upper else edge - LOWER_CROWN - y) + scallop
    crown = UPPER_CROWN if upper else LOWER_CROWN
    below = clip(gum * (1 / crown) + 1, 0, 1)  # 0 at the cutting edge, 1 at the gum
    layer.multiply(1 - LIP_SHADE[0] - (LIP_SHADE[1] - LIP_SHADE[0]) * below)
    cutting = 1 - smoothstep(below, 0.0, 0.22)  # enamel alone, through which the dark of the mouth is seen
    layer.cover(cutting * 0.20, (0.34, 0.31, 0.30))
    pink = [c * (1 - 0.35 * skin.melanin) for c in GUM]
    layer.cover(smoothstep(gum, -0.5, 0.5), pink, WET_SPECULAR, 0.30)
    layer.multiply(0.12 + 0.88 * smoothstep(z, 60.0, 91.0 if upper else 87.0))  # far teeth lie in the dark
    if upper:  # no slope brings those normals round: what they lose in light is given back
        averted = smoothstep(abs(maps.x[box]), *AVERTED) * (1 - smoothstep(gum, -1.5, 0.0))
        for plane, gain in zip(layer.albedo, AVERTED_GAIN, strict=True):
            plane *= 1 + gain * averted
    layer.height -= crown * (UPRIGHT[0] * below - 0.5 * (UPRIGHT[0] - UPRIGHT[1]) * below * below)
    layer.height += 0.35 * smoothstep(to_edge, 0.0, 1.6) * (1 - smoothstep(gum, -0.5, 0.5))
    return layer


def tooth_places(maps: SurfaceMaps, part: str) -> tuple[npt.NDArray[np.int64], Floats]:
    """Number of each texel's tooth, those of the subject's left after those of the right, and mm to its edge [h, w]."""
    x = maps.x[maps.boxes[part]]
    grid = np.linspace(0, 40, 401)
    arc = np.concatenate([[0], np.cumsum(np.sqrt(1 + (2 * ARCH * (grid[:-1] + 0.05)) ** 2) * 0.1)])
    along = np.interp(np.abs(x), grid, arc).astype(np.float32)
    edges = np.concatenate([[0], np.cumsum(UPPER_WIDTHS if part.startswith("upper") else LOWER_WIDTHS)])
    number = np.clip(np.searchsorted(edges, along) - 1, 0, len(edges) - 2)
    middle, half = (edges[1:] + edges[:-1])[number] / 2, (np.diff(edges) / 2)[number]
    return number + len(edges) * (x > 0), (half - np.abs(along - middle)).astype(np.float32)
