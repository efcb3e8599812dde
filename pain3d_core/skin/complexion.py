"""Knows the colour of bare skin: flush, eye sockets, mottling, freckles, moles, age spots, lines and lips."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin
from pain3d.skin.chromophores import skin_albedo
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.maps import Box, SurfaceMaps
from pain3d.skin.strokes import blurred, draw_lines, draw_spots, smooth_curve

Floats = npt.NDArray[np.float32]

SKIN_ROUGHNESS, SHINE_ROUGHNESS, LIP_ROUGHNESS = 0.52, 0.40, 0.38
# Age lines seen from the front, |x| and y in mm: where each runs, its width in mm and its strength. Mirrored.
Line = tuple[tuple[tuple[float, float], ...], float, float]
LINES: tuple[Line, ...] = (
    (((15, -19), (22, -26), (28, -36), (30.5, -45)), 1.6, 0.9),  # nasolabial fold
    (((28, -46), (31, -54), (31.5, -62)), 1.3, 0.45),  # marionette line
    (((0, 62), (14, 63), (28, 64), (42, 62)), 1.0, 0.40),  # forehead
    (((0, 71), (14, 72.5), (28, 73), (40, 71)), 1.0, 0.45),
    (((0, 81), (12, 82), (24, 82), (34, 80)), 1.0, 0.30),
    (((4, 37), (5.5, 44), (5, 51)), 0.9, 0.45),  # glabella
    (((46, 25), (52, 28), (57, 33)), 0.8, 0.5),  # crow's feet
    (((46.5, 23), (53, 23.5), (59, 25)), 0.8, 0.55),
    (((46, 21), (52, 18), (57, 14)), 0.8, 0.5),
    (((20, 17), (26, 12), (34, 10.5), (42, 14)), 1.4, 0.6),  # below the eye
    (((22, 18.5), (29, 15), (38, 15.5)), 0.9, 0.4),
    (((8, -35), (9, -31)), 0.6, 0.2),  # upper lip
    (((14, -35), (15.5, -31)), 0.6, 0.2),
    (((2.5, -34), (3, -31)), 0.6, 0.2),
)
SEAM_BLOOD, SEAM_SHADE = 0.15, -0.42  # added where the lips meet
FRECKLES = 900  # at density 1
MOLES = 7


def bare_skin(maps: SurfaceMaps, box: Box, skin: Skin, facial: bool) -> Layer:
    """Skin without hair on the rows and columns `box`; with lines and marks where `facial`."""
    generator = keyed_generator(skin.seed, "skin/complexion", skin.identity)
    broad, patch, mottle = (mixed_noise(maps, scale, box, generator) for scale in ("broad", "patch", "mottle"))
    redness = mixed_noise(maps, "patch", box, generator)
    pores = maps.noise["mottle"][int(generator.integers(4))][box]
    flush, socket, lips = (maps.masks[name][box] for name in ("flush", "socket", "lips"))
    lines, marks = _drawn(maps, box, skin) if facial else (np.zeros_like(broad), np.zeros_like(broad))

    # Sums of weighted planes, in place: a pass over the texture costs more than the arithmetic.
    melanin = np.full(broad.shape, np.float32(skin.melanin), np.float32)
    haemoglobin = np.full(broad.shape, np.float32(skin.haemoglobin), np.float32)
    uneven = 0.6 + 0.8 * skin.age_marks
    _add(melanin, broad, 0.010 * uneven)
    _add(melanin, patch, 0.010 * uneven)
    _add(melanin, mottle, 0.005)
    _add(melanin, socket, 0.02 + 0.07 * skin.undereye)
    _add(melanin, lines, 0.13)
    _add(melanin, marks, 0.32 - 0.14 * skin.melanin)
    _add(melanin, flush, -0.02)
    _add(haemoglobin, flush, 0.08 + 0.16 * skin.flush)
    _add(haemoglobin, redness, 0.022 + 0.03 * skin.age_marks)
    _add(haemoglobin, mottle, 0.010 + 0.008 * skin.age_marks)
    _add(haemoglobin, broad, -0.018)
    _add(haemoglobin, socket, 0.05 + 0.08 * skin.undereye)
    _add(haemoglobin, lines, 0.10)
    _add(haemoglobin, maps.masks["corner"][box], 0.35)
    _add(haemoglobin, maps.masks["margin"][box], 0.22)
    _add(haemoglobin, maps.cavity[box], 0.12)
    lip_melanin, lip_blood, lip_shade = _lips(skin)
    _add(melanin, lips, lip_melanin)
    _add(haemoglobin, lips, lip_blood)
    _add(haemoglobin, maps.masks["seam"][box], SEAM_BLOOD)
    albedo = [np.asarray(plane, np.float32) for plane in cv2.split(skin_albedo(melanin, haemoglobin))]

    shade = np.float32(1) - np.float32(0.34) * lines
    _add(shade, pores, 0.016)
    _add(shade, maps.masks["seam"][box], SEAM_SHADE)
    _add(shade, lips, lip_shade)
    layer = Layer(maps, box, albedo, np.ones_like(shade), np.full_like(shade, SKIN_ROUGHNESS))
    layer.multiply(shade)
    shine = maps.masks["shine"][box]
    _add(layer.roughness, shine, -(SKIN_ROUGHNESS - SHINE_ROUGHNESS) * skin.oiliness)
    _add(layer.roughness, pores, 0.018)
    _add(layer.specular, shine, 0.15 * skin.oiliness)
    _add(layer.specular, maps.cavity[box], -0.8)
    _add(layer.specular, lips, 0.15 + 0.35 * skin.lip_gloss)
    _add(layer.roughness, lips, -(SKIN_ROUGHNESS - LIP_ROUGHNESS) - 0.06 * skin.lip_gloss)
    _add(layer.specular, lines, -0.25)
    # Between the lips normals turn away from the eye, where Fresnel's law makes a mirror: nothing shines in there.
    for dull in ("mouth_corner", "seam"):
        layer.specular *= 1 - np.float32(0.95) * maps.masks[dull][box]
    np.maximum(layer.specular, np.float32(0.1), out=layer.specular)
    return layer


def _lips(skin: Skin) -> tuple[float, float, float]:
    """What lips add to melanin, haemoglobin and shade: thin skin over much blood."""
    return 0.02 - 0.05 * skin.melanin, 0.22 + 0.32 * skin.lip_tint, -0.10 - 0.08 * skin.melanin


def lip_edge_colour(skin: Skin) -> list[float]:
    """Linear albedo where the lips turn into the mouth."""
    melanin, blood, shade = _lips(skin)
    levels = (skin.melanin + melanin, skin.haemoglobin + blood + SEAM_BLOOD)
    albedo = skin_albedo(*(np.full((1, 1), level, np.float32) for level in levels))[0, 0]
    return [float(c * (1 + shade + SEAM_SHADE)) for c in albedo]


def _add(plane: Floats, mask: Floats, weight: float) -> None:
    cv2.scaleAdd(mask, float(weight), plane, dst=plane)


def _drawn(maps: SurfaceMaps, box: Box, skin: Skin) -> tuple[Floats, Floats]:
    """Age lines, and dark marks (freckles, moles, age spots), each [h, w] in 0–1."""
    shape = maps.part[box].shape
    rows, columns = box
    generator = keyed_generator(skin.seed, "skin/marks", skin.identity)
    origin = np.array([columns.start, rows.start], np.float32)
    texels_per_mm = float(maps.size) / 1024 * 2.2  # on the face
    fine, wide = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for points, width, strength in LINES:
        for side in (-1.0, 1.0):
            place = np.array(points, np.float32) + generator.normal(0, 0.8, (len(points), 2)).astype(np.float32)
            if points[0][0] == 0:  # forehead lines cross the midline
                place[0, 0] = 0
            value = 255 * skin.age_marks * strength * generator.uniform(0.6, 1.0)
            curve = maps.texels_at(smooth_curve(place, 24) * np.array([side, 1], np.float32)) - origin
            if value >= 1:
                draw_lines(
                    wide if width >= 1.2 else fine, [curve], int(value), max(1, round(width * texels_per_mm * 0.6))
                )
    scale = maps.size / 1024
    lines = np.maximum(blurred(fine, 1.2 * scale), blurred(wide, 2.4 * scale))

    spots = np.zeros(shape, np.uint8)
    count = int(FRECKLES * skin.freckles)
    across = generator.normal(0, 27, count)
    up = generator.normal(6, 24, count)
    sizes = generator.gamma(2.0, 0.22, count) + 0.25
    draw_spots(
        spots, maps.texels_at(np.stack([across, up], 1).astype(np.float32)) - origin,
        (sizes * texels_per_mm * 0.5).astype(np.float32), generator.integers(30, 110, count),
    )  # fmt: skip
    old = round(34 * max(0.0, skin.age_marks - 0.3))
    side = np.sign(generator.random(old) - 0.5) * np.abs(generator.normal(42, 16, old))
    place = np.stack([side, generator.normal(28, 36, old)], 1)
    draw_spots(
        spots, maps.texels_at(place.astype(np.float32)) - origin,
        (generator.uniform(0.7, 2.4, old) * texels_per_mm).astype(np.float32), generator.integers(25, 80, old),
    )  # fmt: skip
    soft = blurred(spots, 1.1 * scale)
    moles = np.zeros(shape, np.uint8)
    count = int(generator.integers(0, MOLES))
    place = np.stack([generator.normal(0, 42, count), generator.normal(-5, 42, count)], 1)
    draw_spots(
        moles, maps.texels_at(place.astype(np.float32)) - origin,
        (generator.uniform(0.4, 1.1, count) * texels_per_mm).astype(np.float32), generator.integers(150, 255, count),
    )  # fmt: skip
    marks = np.maximum(soft, blurred(moles, 0.6 * scale))
    marks *= np.float32(1) - maps.masks["lips"][box]
    return lines, np.asarray(marks, np.float32)
