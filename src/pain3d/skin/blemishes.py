"""Knows the small marks of a person's skin: freckles, age spots, moles, pimples and scars."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.skin.appearance import Skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.maps import Box, Bytes, Plane, SurfaceMaps
from pain3d.skin.planes import maximum, single
from pain3d.skin.strokes import draw_lines, draw_spots, smooth_curve

Doubles = npt.NDArray[np.float64]

TEXELS_PER_MM = 2.2  # of a 1024² texture, on the face
FRECKLES = 900  # at density 1
AGE_SPOTS = 34  # at age marks 1.3; none below 0.3
MOLES, PIMPLES = 7, 6  # at most
SCAR_CHANCE = 0.12
MOLE_HEIGHT, PIMPLE_HEIGHT, SCAR_DEPTH = 0.45, 0.30, 0.25  # mm
FACE = ((-66.0, -88.0), (66.0, 104.0))  # mm, (x, y): lowest and highest place of a mark
MARGIN = 0.15  # share of full darkness of a mole below which it is not raised


@dataclass(frozen=True)
class Blemishes:
    """Planes on the rows and columns `inside` of a layer: `dark` pigment 0–1, `red` blood 0–1, `height` mm."""

    inside: Box
    dark: Plane
    red: Plane
    height: Plane


def lay_blemishes(maps: SurfaceMaps, box: Box, skin: Skin | Crowd) -> Blemishes:
    """The marks of one person or of many on the rows and columns `box`, by key; the lips have none."""
    face = _face(maps, box)
    drawn = (
        skin.drawn([sketch.marks for sketch in skin.sketches]).unbind(1)
        if isinstance(skin, Crowd)
        else draw_marks(maps, skin)
    )
    aged, moles, pimples, scar = (single(plane) * (1 / 255) for plane in drawn)
    height = MOLE_HEIGHT * maximum(moles - MARGIN, 0.0)
    height += PIMPLE_HEIGHT * pimples
    dark = maximum(aged, moles)
    dark -= 0.35 * scar  # it has less pigment
    pimples -= 0.25 * scar
    height -= SCAR_DEPTH * scar
    bare = 1 - maps.masks["lips"][face]
    inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(face, box, strict=True))
    return Blemishes((inside[0], inside[1]), dark * bare, pimples * bare, height * bare)


def draw_marks(maps: SurfaceMaps, skin: Skin) -> Bytes:
    """Freckles and age spots, moles, pimples and a scar of one person, drawn and blurred: [4, h, w] on the face."""
    generator = skin.generator("skin/marks")
    scale = maps.size / 1024
    rows, columns = _face(maps, maps.boxes["skin"])
    shape = rows.stop - rows.start, columns.stop - columns.start
    origin = np.array([columns.start, rows.start], np.float32)
    marks = np.zeros((4, *shape), np.uint8)

    def spots(places: Doubles, radii: Doubles, values: npt.NDArray[np.integer]) -> Bytes:
        canvas = np.zeros(shape, np.uint8)
        texels = maps.texels_at(places.astype(np.float32)) - origin
        draw_spots(canvas, texels, (radii * TEXELS_PER_MM * scale).astype(np.float32), values)
        return canvas

    count = int(FRECKLES * skin.freckles)
    place = np.stack([generator.normal(0, 27, count), generator.normal(6, 24, count)], 1)
    freckles = spots(place, 0.5 * generator.gamma(2.0, 0.22, count) + 0.12, generator.integers(30, 110, count))
    count = round(AGE_SPOTS * max(0.0, skin.age_marks - 0.3))
    side = np.sign(generator.random(count) - 0.5) * np.abs(generator.normal(42, 16, count))
    place = np.stack([side, generator.normal(28, 36, count)], 1)
    aged = spots(place, generator.uniform(0.7, 2.4, count), generator.integers(25, 80, count))
    _blur(np.maximum(freckles, aged), 1.1 * scale, marks[0])

    count = int(generator.integers(0, MOLES))
    place = np.stack([generator.normal(0, 42, count), generator.normal(-5, 42, count)], 1)
    _blur(spots(place, generator.uniform(0.4, 1.1, count), generator.integers(140, 255, count)), 0.7 * scale, marks[1])

    young = float(np.clip((38 - skin.age) / 20, 0, 1))
    count = int(generator.integers(0, PIMPLES + 1) * (0.25 + 0.75 * young) * (0.4 + skin.oiliness))
    place = np.stack([generator.normal(0, 28, count), generator.choice([66.0, -4.0, -70.0], count)], 1)
    place[:, 1] += generator.normal(0, 9, count)
    _blur(spots(place, generator.uniform(0.7, 1.4, count), generator.integers(90, 200, count)), 1.6 * scale, marks[2])

    scar, start, turn = generator.random(), generator.normal([0, 15], [38, 35]), generator.uniform(0, np.pi, 2)
    length = generator.uniform(5, 14)
    if scar < SCAR_CHANCE:
        middle = start + 0.5 * length * np.array([np.cos(turn[0]), np.sin(turn[0])])
        end = middle + 0.5 * length * np.array([np.cos(turn[0] + 0.4), np.sin(turn[0] + 0.4)])
        canvas = np.zeros(shape, np.uint8)
        curve = smooth_curve(np.stack([start, middle, end]).astype(np.float32), 12)
        draw_lines(canvas, [maps.texels_at(curve) - origin], 200, max(1, round(1.2 * scale)))
        _blur(canvas, 1.0 * scale, marks[3])
    return marks


def _blur(canvas: Bytes, sigma: float, out: Bytes) -> None:
    """Blur what was drawn, where anything was."""
    if canvas.any():
        cv2.GaussianBlur(canvas, (0, 0), sigma, dst=out)


def _face(maps: SurfaceMaps, box: Box) -> Box:
    """The rows and columns of `box` that lie within `FACE` mm seen from the front."""
    (left, low), (right, high) = FACE
    around = np.array([(x, y) for x in (left, 0, right) for y in (low, 0, high)], np.float32)
    texels = maps.texels_at(around)
    (first, top), (last, bottom) = np.floor(texels.min(0)).astype(int), np.ceil(texels.max(0)).astype(int)
    rows, columns = box
    return (
        slice(max(int(top), rows.start), min(int(bottom), rows.stop)),
        slice(max(int(first), columns.start), min(int(last), columns.stop)),
    )
