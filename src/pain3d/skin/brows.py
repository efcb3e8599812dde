"""Knows brows and lashes: brows hair by hair with a relief of their own, and the line that lashes draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.skin.appearance import GREY_HAIR, Skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.layer import Layer
from pain3d.skin.maps import Box, Bytes, Floats, Plane, SurfaceMaps
from pain3d.skin.planes import Number, clip, maximum, single, towards_
from pain3d.skin.strokes import draw_lines

BROW_HAIRS = 640  # of one brow at density 1
BROW_REACH = 3.5  # mm that a brow goes on beyond its inner and outer landmark
ARCH_KEPT = 0.72  # of the landmarks' arch: they follow the bone's edge, hairs lie flatter
BROW_TONE, GREY_TONE = 0.8, 0.72  # brows are darker than the scalp's hair, grey ones too: skin shows between them
BROW_HEIGHT, BROW_ROUGHNESS = 0.22, 0.45  # mm that a hair stands off
BROW_MARGIN = (14.0, 16.0)  # mm around the landmarks of a brow that hold it, across and up, of the thickest one
BLURRED = 8  # texels around a brow's strands that its blurred shade reaches
BROW_VALUES = (150, 185, 220)  # of 255: of each third of the hairs
SPARSE_TAIL = 0.7  # of the shape of hairs' places along a brow
TIP, TIP_VALUE = 2, 0.55  # points of four from which on a hair is thin, and what is left of its value there
FINER = 2  # a strand is thinner than a texel: brows are drawn this much larger


@dataclass(frozen=True)
class Brow:
    """One brow on the rows and columns `inside` of the texture: [4, h, w], its roots' shade and three of hairs."""

    inside: Box
    drawn: Bytes


def paint_brows(layer: Layer, skin: Skin | Crowd) -> None:
    """Both brows, hair by hair, over a faint shade of their roots; in place."""
    maps = layer.maps
    if not isinstance(skin, Crowd):
        for brow in draw_brows(maps, skin):
            _lay_brow(layer, brow.inside, list(brow.drawn), skin)
        return
    for side in range(2):
        drawn = skin.drawn([sketch.brows[side] for sketch in skin.sketches])
        _lay_brow(layer, brow_box(maps, side), drawn.unbind(1), skin)


def draw_brows(maps: SurfaceMaps, skin: Skin) -> list[Brow]:
    """Draw both brows of one person, left in the picture first."""
    generator = skin.generator("skin/brows")
    brows = []
    for arch, mirrored in _arches(maps):
        strands, roots = _brow_hairs(arch, skin, generator)
        brows.append(_draw_brow(maps, maps.texels_at(strands * mirrored), maps.texels_at(roots * mirrored)))
    return brows


def brow_box(maps: SurfaceMaps, side: int) -> Box:
    """The rows and columns that hold anybody's brow of a side."""
    arch, mirrored = _arches(maps)[side]
    (left, low), (right, high) = arch.min(0) - np.array(BROW_MARGIN), arch.max(0) + np.array(BROW_MARGIN)
    corners = np.array([(x, y) for x in np.linspace(left, right, 9) for y in (low, high)], np.float32) * mirrored
    texels = maps.texels_at(corners)
    (first, top), (last, bottom) = np.floor(texels.min(0) - BLURRED), np.ceil(texels.max(0) + BLURRED)
    rows, columns = maps.boxes["skin"]
    return (
        slice(max(int(top), rows.start), min(int(bottom), rows.stop)),
        slice(max(int(first), columns.start), min(int(last), columns.stop)),
    )


def brow_within(brow: Brow, box: Box) -> Bytes:
    """The planes of a brow on a box that holds it."""
    (rows, columns), planes = box, np.zeros((len(brow.drawn), *(k.stop - k.start for k in box)), np.uint8)
    down, across = brow.inside
    planes[
        :, down.start - rows.start : down.stop - rows.start, across.start - columns.start : across.stop - columns.start
    ] = brow.drawn
    return planes


def _arches(maps: SurfaceMaps) -> list[tuple[Floats, Floats]]:
    """Landmarks of each brow [5, 2] in mm, x away from the midline, and the factors that bring them to their side."""
    both = []
    for names, side in ((range(17, 22), -1.0), (range(26, 21, -1), 1.0)):
        mirrored = np.array([side, 1], np.float32)
        both.append((np.stack([maps.landmarks[f"ibug_{k}"] for k in names])[:, :2] * mirrored, mirrored))
    return both


def _brow_hairs(arch: Floats, skin: Skin, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Hairs [S, 4, 2] and the outline of their roots [K, 2] in mm, x away from the midline, from landmarks [5, 2]."""
    shape = np.polynomial.Polynomial.fit(arch[:, 0], ARCH_KEPT * arch[:, 1] + (1 - ARCH_KEPT) * arch[:, 1].mean(), 2)
    inner, outer = arch[:, 0].min() - BROW_REACH, arch[:, 0].max() + 0.5 * BROW_REACH
    count = int(BROW_HAIRS * (0.35 + 0.65 * skin.brow_density) * (1 - 0.4 * skin.greyness) * skin.brow_thickness / 7)
    along = generator.beta(1.25, 1.20 + SPARSE_TAIL * skin.age_marks, count)  # the outer third of old brows is sparse
    half = 0.5 * skin.brow_thickness

    def height(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Half height of the brow: rounded inside, full at a third, a point outside."""
        return np.asarray(half * np.clip((t + 0.04) / 0.16, 0, 1) ** 0.5 * np.clip((1.03 - t) / 0.75, 0.05, 1) ** 0.75)

    def spine(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        x = inner + t * (outer - inner)
        return np.stack([x, shape(x) - 0.55 * half], -1)

    across = np.clip(generator.normal(0, 0.5, count), -1, 1)
    root = spine(along) + np.stack([np.zeros(count), across * height(along)], 1)
    # Hairs rise at the inner end, lie along the brow outside, and lean towards its spine from both edges.
    lean = np.radians(64 - 54 * along**0.6 - 26 * across * np.minimum(1, 3 * along)) + generator.normal(0, 0.20, count)
    length = (3.0 + 2.6 * np.sin(np.pi * np.clip(along + 0.1, 0, 1))) * generator.uniform(0.65, 1.15, count)
    slope = np.arctan(shape.deriv()(root[:, 0]))
    steps = np.linspace(0, 1, 4)
    bend = lean[:, None] + slope[:, None] - 0.35 * steps[None]  # curls towards the temple
    forward = np.stack([np.cos(bend), np.sin(bend)], -1) * (length[:, None, None] / 3)
    strands = root[:, None] + np.concatenate([np.zeros((count, 1, 2)), np.cumsum(forward[:, :-1], 1)], 1)
    t = np.linspace(0.03, 0.93, 24)
    edge = 0.75 * height(t)[:, None] * np.array([0, 1])
    roots = np.concatenate([spine(t) + edge, (spine(t) - edge)[::-1]])
    return strands.astype(np.float32), roots.astype(np.float32)


def _draw_brow(maps: SurfaceMaps, strands: Floats, roots: Floats) -> Brow:
    rows, columns = maps.boxes["skin"]
    low = np.floor(strands.min((0, 1))).astype(int) - BLURRED
    high = np.ceil(strands.max((0, 1))).astype(int) + BLURRED + 1
    low = np.maximum(low, [columns.start, rows.start])
    high = np.minimum(high, [columns.stop, rows.stop])
    wide, tall = high - low
    scale = maps.size / 1024
    shade = np.zeros((tall, wide), np.uint8)
    cv2.fillPoly(shade, [np.rint(roots - low).astype(np.int32)], 255)
    drawn = [cv2.GaussianBlur(shade, (0, 0), 3.0 * scale)]
    for number, value in enumerate(BROW_VALUES):
        canvas = np.zeros((tall * FINER, wide * FINER), np.uint8)
        hairs = (strands[number::3] - low + 0.5) * FINER - 0.5
        draw_lines(canvas, hairs[:, TIP:], round(TIP_VALUE * value), max(1, round(scale)))
        draw_lines(canvas, hairs[:, : TIP + 1], value, max(1, round(scale)))
        drawn.append(cv2.resize(canvas, (int(wide), int(tall)), interpolation=cv2.INTER_AREA))
    inside = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    return Brow(inside, np.stack(drawn).astype(np.uint8, copy=False))


def _lay_brow(layer: Layer, box: Box, drawn: Sequence[Plane], skin: Skin | Crowd) -> None:
    rows, columns = layer.box
    layer = layer.part((
        slice(box[0].start - rows.start, box[0].stop - rows.start),
        slice(box[1].start - columns.start, box[1].stop - columns.start),
    ))  # fmt: skip
    strength = (0.20 + 0.30 * skin.brow_density) * (1 - 0.3 * skin.greyness)
    covering = (0.88 - 0.08 * skin.greyness) / 255
    coverages = [single(drawn[0]) * (strength / 255), *(single(plane) * covering for plane in drawn[1:])]
    # Brows turn grey hair by hair.
    greys: list[Number] = [0.0, *(clip(2.4 * skin.greyness - 0.25 - 0.5 * third, 0, 0.95) for third in range(3))]
    for coverage, grey in zip(coverages, greys, strict=True):
        for plane, dark, light in zip(layer.albedo, skin.hair_colour, GREY_HAIR, strict=True):
            towards_(plane, BROW_TONE * dark + grey * (GREY_TONE * light - BROW_TONE * dark), coverage)
        layer.specular *= 1 - 0.4 * coverage
        layer.scatter *= 1 - coverage
    hairs = maximum(maximum(coverages[1], coverages[2]), coverages[3])
    layer.height += BROW_HEIGHT * hairs
    towards_(layer.roughness, BROW_ROUGHNESS, hairs)


def paint_lash_lines(layer: Layer, skin: Skin | Crowd) -> None:
    """The roots of the upper lashes, in place."""
    layer = layer.within("lash")
    layer.cover(layer.mask("lash") * (0.65 + 0.25 * (1 - skin.sex)), lash_colour(skin))


def lash_colour(skin: Skin | Crowd) -> list[Number]:
    """Lashes are darker than any other hair of a face."""
    return [0.35 * c + 0.006 for c in skin.hair_colour]
