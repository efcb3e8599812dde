"""Knows the eyeball: iris with fibres and limbal ring, pupil, sclera with veins; by angle from the optical axis."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.layer import Layer
from pain3d.skin.maps import Plane, SurfaceMaps
from pain3d.skin.planes import clip, cos, exp, looked_up, mod, smoothstep

Floats = npt.NDArray[np.float32]

# Degrees on the template's eyeball (radius 15 mm; a real one has 12): the iris as wide against the lids as a real one.
IRIS_ANGLE = 20.0
PUPIL_ANGLE = (6.0, 8.5)
LIMBUS_WIDTH = 4.0
PUPIL = (0.004, 0.004, 0.004)
SCLERA = (0.53, 0.48, 0.44)
CORNEA_ANGLE, CORNEA_HEIGHT, EYE_SCATTER = 26.0, 0.55, 0.5  # degrees; mm; a sclera is no skin
WATERLINE, WET_SPECULAR, WET_ROUGHNESS, MENISCUS = (0.42, 0.21, 0.18), 1.5, 0.18, 0.20  # mm of tears
EYE_SPECULAR, CORNEA_ROUGHNESS, SCLERA_ROUGHNESS = 1.2, 0.11, 0.16


def paint_eye(maps: SurfaceMaps, part: str, skin: Skin | Crowd) -> Layer:
    """One eyeball; `part` is ``left_eye`` or ``right_eye``; the two differ in the fibres' phase."""
    box = maps.boxes[part]
    left = part.startswith("left")
    angle, turn, up = maps.eyes[part]
    generator = skin.generator("skin/eyes")
    pupil = pupil_angle(skin, generator)
    phase = generator.random() + (0.37 if left else 0.0)
    weights = [generator.uniform(0.6, 1.2) for _ in range(2)]

    sheet = _fibre_sheet()
    columns = mod(turn / (2 * np.pi) + phase, 1) * float(sheet.shape[1] - 1)
    fibres = looked_up(sheet, columns, angle * (sheet.shape[0] / 45))
    share = (angle - pupil) * (1 / (IRIS_ANGLE - pupil))  # 0 at the pupil, 1 at the limbus
    light = exp(0.32 * weights[0] * fibres)
    light *= 1.18 - 0.30 * abs(share - 0.45)
    limbus = smoothstep(angle, IRIS_ANGLE - LIMBUS_WIDTH, IRIS_ANGLE + 0.5)
    light *= 1 - 0.72 * limbus
    collarette = exp(-(((share - (0.22 + 0.04 * weights[1])) / 0.17) ** 2))
    warm = (1.35, 1.05, 0.75)
    iris = [c * light * (1 + (0.55 * (w - 1) + 0.25) * collarette) for c, w in zip(skin.eye_colour, warm, strict=True)]

    old = clip((skin.age - 40) / 50, 0, 1)
    white = [s * (1 - d * (0.5 * old + 0.3 * skin.melanin)) for s, d in zip(SCLERA, (0.08, 0.14, 0.28), strict=True)]
    layer = Layer.plain(maps, box, white, EYE_SPECULAR, SCLERA_ROUGHNESS, skin)
    inward = cos(turn) * (-1.0 if left else 1.0)  # 1 towards the nose
    veins = smoothstep(fibres, 1.1, 2.4) * smoothstep(angle, IRIS_ANGLE + 3, IRIS_ANGLE + 24)
    layer.cover(veins * (0.20 + 0.25 * generator.random()), (0.45, 0.14, 0.11))
    pink = smoothstep(angle, IRIS_ANGLE + 6, IRIS_ANGLE + 34)
    layer.cover(pink * 0.38, (0.50, 0.27, 0.23))
    caruncle = smoothstep(inward * angle, 36, 44)
    layer.cover(caruncle * 0.7, (0.42, 0.17, 0.15))
    layer.cover(1 - smoothstep(angle, IRIS_ANGLE - 0.6, IRIS_ANGLE + 0.9), iris)
    layer.cover(pupil_share(angle, pupil), PUPIL)
    wet = 1 - smoothstep(angle, IRIS_ANGLE, IRIS_ANGLE + 6)
    layer.roughness += wet * (CORNEA_ROUGHNESS - SCLERA_ROUGHNESS)
    # The upper lid and its lashes shade the eye, the lower one a little.
    shade = 1 - 0.58 * smoothstep(up, 4, 21) - 0.16 * smoothstep(-up, 12, 24)
    layer.multiply(shade * (1 - 0.30 * smoothstep(angle, 30, 48)))
    # The cornea bulges over the iris; around it lies a shallow furrow. The pupil's rim lies deeper than the limbus.
    bulge = clip(1 - (angle / CORNEA_ANGLE) ** 2, 0, 1)
    layer.height += CORNEA_HEIGHT * bulge * bulge
    layer.scatter[...] = EYE_SCATTER
    return layer


def pupil_angle(skin: Skin | Crowd, generator: Any) -> Any:
    """Degrees from the axis to the rim of the pupil: the first that is drawn of ``skin/eyes``; smaller in old age."""
    return generator.uniform(*PUPIL_ANGLE) * (1 - 0.12 * clip((skin.age - 40) / 50, 0, 1))


def pupil_share(angle: Plane, pupil: Any) -> Plane:
    """How much of each place is the pupil's, 0–1, by degrees from the axis."""
    return 1 - smoothstep(angle, pupil - 0.5, pupil + 0.6)


def paint_waterline(layer: Layer, skin: Skin | Crowd) -> None:
    """The wet, pink rim of the lower lids: tears stand on it and catch the light; in place."""
    corners = float(np.mean([layer.maps.landmarks[f"ibug_{k}"][1] for k in (36, 39, 42, 45)]))
    layer = layer.within("margin")
    lower = 1 - smoothstep(layer.maps.y[layer.box], corners - 3.5, corners - 1.0)
    rim = layer.mask("margin") * lower
    pale = 1 - 0.45 * skin.melanin
    layer.cover(rim * 0.40, [c * pale for c in WATERLINE])
    layer.cover(rim, layer.albedo, WET_SPECULAR, WET_ROUGHNESS)
    layer.height += MENISCUS * rim


def eye_directions(maps: SurfaceMaps, part: str) -> tuple[Floats, Floats, Floats]:
    """Degrees from the optical axis, turn about it (radians, 0 at +x) and degrees above it, each [h, w]."""
    box = maps.boxes[part]
    inside = maps.part[box] == maps.part_names.index(part)
    x, y, z = (plane[box] for plane in (maps.x, maps.y, maps.z))
    centre = [float((plane[inside].min() + plane[inside].max()) / 2) for plane in (x, y, z)]
    x, y, z = (plane - np.float32(c) for plane, c in zip((x, y, z), centre, strict=True))
    across = np.hypot(x, y)
    angle = np.degrees(np.arctan2(across, z)).astype(np.float32)
    up = np.degrees(np.arctan2(y, np.hypot(x, z))).astype(np.float32)
    return angle, np.arctan2(y, x).astype(np.float32), up


@lru_cache(maxsize=1)
def _fibre_sheet() -> Floats:
    """Radial fibres [64, 512]: rows over 45 degrees from the axis, columns around it, last as first; unit variance."""
    white = keyed_generator(0, "skin/fibres").standard_normal((64, 512)).astype(np.float32)
    wrapped = np.pad(white, ((0, 0), (32, 32)), mode="wrap")
    fine = cv2.GaussianBlur(wrapped, (0, 0), sigmaX=0.9, sigmaY=7.0)[:, 32:-32]
    broad = cv2.GaussianBlur(wrapped, (0, 0), sigmaX=5.0, sigmaY=9.0)[:, 32:-32]
    sheet = fine / fine.std() + 0.8 * broad / broad.std()
    sheet = sheet / sheet.std()
    return np.asarray(np.concatenate([sheet, sheet[:, :1]], 1), np.float32)
