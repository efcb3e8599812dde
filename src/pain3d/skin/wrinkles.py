"""Knows how one person's wrinkles are drawn: both detail layers as slopes, shade and blood on the texels of the face.

A stroke is drawn as a thin line and blurred: across it stands the Gaussian of its kind. Coarse kinds are drawn small.
Light and blood are those of its depth: a fold is not a dark line, but relief whose bottom sees little of the sky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from pain3d.skin.appearance import Skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.maps import Box, Bytes, Floats, Plane, SurfaceMaps
from pain3d.skin.planes import add_, blurred_plane, doubled, maximum_, single
from pain3d.skin.relief import slopes
from pain3d.skin.strokes import draw_pieces, smooth_curve
from pain3d.skin.wrinkle_patterns import KINDS, REGIONS, Kind, Stroke

Doubles = npt.NDArray[np.float64]
Canvases = dict[tuple[int, str], Bytes]  # of each layer and kind

LAYERS = 2
TEXELS_PER_MM = 2.2  # of a 1024² texture, on the face: 1.8 across the eyes, 3 down the nose
SHOULDER = 2.4  # a groove's shoulders are this much wider than it
WANDER, JITTER, WAVE = 0.8, 0.8, 0.30  # mm at most: of a region, of each point of a line, of its waves
WHOLE_JITTER = 20.0  # mm: shorter lines stray less, in proportion
STRENGTH, STRENGTH_SPREAD = 0.75, 0.45  # of a line against its pattern: least, and what chance adds
POINTS, PIECES = 25, 8  # of a curve; pieces of it that are drawn in one strength
VARIED_FROM = 68.0  # mm of height from which lines of a forehead spread
TAPER = 0.28  # share of a line over which it fades in and out
MARGIN = 24  # texels of a 1024² texture around the patterns, wider than the widest shoulder
SMOOTH = 0.8  # texels, over 5: what is left of a doubled grid
BLOCK = 4  # the box is whole in the coarsest texels
FULL = 150.0  # of 255: the canvas value of strength 1 at the thinnest line, with room for stronger ones


@dataclass(frozen=True)
class Wrinkles:
    """One detail layer at weight 1 on a box: height [h, w] in mm; planes slope_t, slope_b, shade (≥ 0) and blood."""

    box: Box
    height: Plane
    planes: tuple[Plane, Plane, Plane, Plane]


def draw_wrinkles(maps: SurfaceMaps, skin: Skin | Crowd) -> list[Wrinkles]:
    """Both detail layers of one person or many, by key: lines that wander, waver, differ in strength or are missing."""
    box = wrinkle_box(maps)
    rows, columns = box
    shape = rows.stop - rows.start, columns.stop - columns.start
    if isinstance(skin, Crowd):
        names = {name for sketch in skin.sketches for name in sketch.wrinkles}
        empty = {name: np.zeros([k // KINDS[name[1]].coarse for k in shape], np.uint8) for name in names}
        canvases: dict[tuple[int, str], Plane] = {
            name: skin.drawn([sketch.wrinkles.get(name, empty[name]) for sketch in skin.sketches]) for name in names
        }
        like: Plane = torch.zeros(len(skin), *(k // BLOCK for k in shape), device=skin.device)
    else:
        canvases = dict(draw_lines_of(maps, skin))
        like = np.zeros([k // BLOCK for k in shape], np.float32)
    made = []
    for layer in range(LAYERS):
        planes = [like * 0 for _ in range(3)]
        for coarse in (4, 2, 1):  # what is drawn coarse is doubled step by step: in one step its grid would show
            if coarse < BLOCK:
                planes = [doubled(plane) for plane in planes]
                planes[0] = blurred_plane(planes[0], SMOOTH, 5)
            for name, kind in KINDS.items():
                if kind.coarse == coarse and (layer, name) in canvases:
                    _lay(planes, canvases[layer, name], kind, _texels_per_mm(maps, kind))
        height, shade, blood = planes
        slope_t, slope_b = slopes(height, maps.slopes[:, rows, columns])
        maximum_(shade, 0.0)
        made.append(Wrinkles(box, height, (slope_t, slope_b, shade, blood)))
    return made


def draw_lines_of(maps: SurfaceMaps, skin: Skin) -> Canvases:
    """The lines of one person, thin: a canvas of each layer and kind at the kind's resolution."""
    rows, columns = wrinkle_box(maps)
    origin = np.array([columns.start, rows.start], np.float32)
    shape = rows.stop - rows.start, columns.stop - columns.start
    strokes, curves = _strokes(skin)
    canvases: Canvases = {}
    for (layer, stroke, strength), line in zip(strokes, maps.texels_at(curves) - origin, strict=True):
        kind = KINDS[stroke.kind]
        place = layer, stroke.kind
        if place not in canvases:
            canvases[place] = np.zeros([k // kind.coarse for k in shape], np.uint8)
        middle = stroke.points[0][0] == 0
        _draw(canvases[place], line, strength, stroke.thick, middle, kind, _texels_per_mm(maps, kind))
    return canvases


def _texels_per_mm(maps: SurfaceMaps, kind: Kind) -> float:
    return TEXELS_PER_MM * (maps.size / 1024) / kind.coarse


def _strokes(skin: Skin) -> tuple[list[tuple[int, Stroke, float]], Floats]:
    """Layer, stroke and strength of each line of both sides, and the lines [N, POINTS, 2] in frontal mm."""
    strokes: list[tuple[int, Stroke, float]] = []
    by_points: dict[int, list[tuple[int, Doubles, tuple[float, float, float, float]]]] = {}
    drawn: set[int] = set()
    for name, region in REGIONS.items():
        if id(region.strokes) in drawn:  # the forehead is two regions of the same lines
            continue
        drawn.add(id(region.strokes))
        generator = skin.generator(f"skin/wrinkles/{name}")
        wander = generator.uniform(-WANDER, WANDER, (2, 2))
        varied = skin.generator(f"skin/wrinkles/{name}/varied").uniform(-1, 1, 3) * region.varied
        for stroke in region.strokes:
            points = _varied(stroke, varied)
            missing, (shared, phase, turns, strong) = generator.random(3), generator.random(4)
            middle = stroke.points[0][0] == 0
            stray = min(1.0, math.dist(stroke.points[0], stroke.points[-1]) / WHOLE_JITTER)
            for side, sign in enumerate((1.0, -1.0)):
                place = generator.uniform(-JITTER * stray, JITTER * stray, (len(stroke.points), 2))
                place += wander[side]
                place += points
                if middle:  # both sides meet there, and are missing together
                    place[0] = 0.0, points[0, 1] + (2 * shared - 1) * JITTER
                if missing[2 if middle else side] < stroke.missing:
                    continue
                wave = WAVE * stray if stroke.kind in ("fine", "furrow") else 0.0
                turned = (phase + 0.37 * side) % 1, 1.2 + (turns + 0.53 * side) % 1
                by_points.setdefault(len(stroke.points), []).append((len(strokes), place, (sign, wave, *turned)))
                share = (strong + 0.41 * side) % 1  # sides differ
                strokes.append((region.layer, stroke, stroke.strength * (STRENGTH + share * STRENGTH_SPREAD)))
    curves = np.empty((len(strokes), POINTS, 2), np.float32)
    t = np.linspace(0, 1, POINTS)
    for group in by_points.values():  # curves of equally many points at once
        numbers, places, ways = zip(*group, strict=True)
        curve = smooth_curve(np.stack(places, 1), POINTS)  # [POINTS, N, 2]
        sign, wave, phase, turns = np.array(ways).T
        along = np.gradient(curve, axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=2, keepdims=True), 1e-6)
        aside = wave * np.sin(2 * np.pi * (phase + turns * t[:, None])) * np.sin(np.pi * t[:, None])
        curve += (along[..., ::-1] * np.array([-1, 1]) * aside[..., None]).astype(np.float32)
        curve[..., 0] *= sign
        curves[list(numbers)] = curve.transpose(1, 0, 2)
    return strokes, curves


def _varied(stroke: Stroke, varied: Doubles) -> Doubles:
    """Where the points [N, 2] of a stroke lie in one person: see `Region.varied`."""
    points = np.array(stroke.points, np.float64)
    apart, higher, bow = varied
    points[:, 1] += apart * (points[:, 1] - VARIED_FROM) + higher + bow * (points[:, 0] / 40) ** 2
    return points


@lru_cache(maxsize=64)
def _reached(sigma: float, thickness: float) -> float:
    """The share of its value that a line so thick reaches, blurred: a thick one more, which is drawn fainter."""
    return math.erf(0.5 * thickness / (math.sqrt(2) * sigma))


@lru_cache(maxsize=2)
def _fade(crosses: bool) -> list[float]:
    """Strength of each piece of a line, which fades out at its ends, or at one where it crosses the midline."""
    t = (np.arange(PIECES) + 0.5) / PIECES
    faded: list[float] = np.clip(np.minimum(np.ones_like(t) if crosses else t, 1 - t) / TAPER, 0.25, 1).tolist()
    return faded


def _draw(
    canvas: Bytes, line: Floats, strength: float, thick: float, crosses: bool, kind: Kind, texels_per_mm: float
) -> None:
    sigma = kind.width * texels_per_mm
    thickness = max(1, round(thick * texels_per_mm))
    small = (line + np.float32(0.5)) / np.float32(kind.coarse) - np.float32(0.5)
    values = [
        min(255, round(FULL * strength * share * _reached(sigma, 1) / _reached(sigma, thickness)))
        for share in _fade(crosses)
    ]
    draw_pieces(canvas, small, values, thickness)


def _lay(planes: list[Plane], canvas: Plane, kind: Kind, texels_per_mm: float) -> None:
    """Add the strokes of a kind to height, shade and blood at its resolution, in place."""
    sigma = kind.width * texels_per_mm
    scale = 1 / (FULL * _reached(sigma, 1))
    thin = single(canvas)
    ridge = blurred_plane(thin, sigma) * scale
    add_(planes[0], ridge, kind.height)
    if kind.shade:
        depth = ridge * ridge
        add_(planes[1], depth, kind.shade)
        add_(planes[2], depth, kind.blood)
    else:
        add_(planes[2], ridge, kind.blood)
    if kind.shoulder:
        add_(planes[0], blurred_plane(thin, SHOULDER * sigma) * scale, SHOULDER * kind.shoulder)


def wrinkle_box(maps: SurfaceMaps) -> Box:
    """Rows and columns of the texture that hold all patterns, whole in blocks of `BLOCK` texels."""
    points = np.array([p for r in REGIONS.values() for s in r.strokes for p in s.points], np.float32)
    both = np.concatenate([points, points * np.array([-1, 1], np.float32)])
    texels = maps.texels_at(both)
    margin = MARGIN * maps.size / 1024
    low = np.floor((texels.min(0) - margin) / BLOCK).astype(int) * BLOCK
    high = np.ceil((texels.max(0) + margin) / BLOCK).astype(int) * BLOCK
    (left, top), (right, bottom) = np.clip(low, 0, maps.size), np.clip(high, 0, maps.size)
    return slice(int(top), int(bottom)), slice(int(left), int(right))
