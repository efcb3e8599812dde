"""Knows brows and lashes: brows hair by hair with a relief of their own, and the line that lashes draw."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.appearance import GREY_HAIR, Skin
from pain3d.skin.layer import Layer
from pain3d.skin.strokes import draw_lines

Floats = npt.NDArray[np.float32]

BROW_HAIRS = 640  # of one brow at density 1
BROW_REACH = 3.5  # mm that a brow goes on beyond its inner and outer landmark
ARCH_KEPT = 0.72  # of the landmarks' arch: they follow the bone's edge, hairs lie flatter
BROW_TONE, GREY_TONE = 0.8, 0.50  # brows are darker than the scalp's hair, grey ones too: skin shows between them
BROW_HEIGHT, BROW_ROUGHNESS = 0.22, 0.45  # mm that a hair stands off
FINER = 2  # a strand is thinner than a texel: brows are drawn this much larger


def paint_brows(layer: Layer, skin: Skin) -> None:
    """Both brows, hair by hair, over a faint shade of their roots; in place."""
    maps = layer.maps
    generator = keyed_generator(skin.seed, "skin/brows", skin.identity)
    for names, side in ((range(17, 22), -1.0), (range(26, 21, -1), 1.0)):
        arch = np.stack([maps.landmarks[f"ibug_{k}"] for k in names])[:, :2] * np.array([side, 1], np.float32)
        strands, roots = _brow_hairs(arch, skin, generator)
        mirrored = np.array([side, 1], np.float32)
        _draw_brow(layer, maps.texels_at(strands * mirrored), maps.texels_at(roots * mirrored), skin)


def _brow_hairs(arch: Floats, skin: Skin, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Hairs [S, 4, 2] and the outline of their roots [K, 2] in mm, x away from the midline, from landmarks [5, 2]."""
    shape = np.polynomial.Polynomial.fit(arch[:, 0], ARCH_KEPT * arch[:, 1] + (1 - ARCH_KEPT) * arch[:, 1].mean(), 2)
    inner, outer = arch[:, 0].min() - BROW_REACH, arch[:, 0].max() + 0.5 * BROW_REACH
    count = int(BROW_HAIRS * (0.35 + 0.65 * skin.brow_density) * (1 - 0.4 * skin.greyness) * skin.brow_thickness / 7)
    along = np.clip(generator.beta(1.05, 1.15, count), 0, 1)
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


def _draw_brow(layer: Layer, strands: Floats, roots: Floats, skin: Skin) -> None:
    rows, columns = layer.box
    low = np.floor(strands.min((0, 1))).astype(int) - 8
    high = np.ceil(strands.max((0, 1))).astype(int) + 9
    low = np.maximum(low, [columns.start, rows.start])
    high = np.minimum(high, [columns.stop, rows.stop])
    wide, tall = high - low
    scale = layer.maps.size / 1024
    inside = (
        slice(int(low[1]) - rows.start, int(high[1]) - rows.start),
        slice(int(low[0]) - columns.start, int(high[0]) - columns.start),
    )
    shade = np.zeros((tall, wide), np.uint8)
    cv2.fillPoly(shade, [np.rint(roots - low).astype(np.int32)], 255)
    strength = (0.20 + 0.30 * skin.brow_density) * (1 - 0.3 * skin.greyness)
    coverages = [cv2.GaussianBlur(shade, (0, 0), 3.0 * scale) * np.float32(strength / 255)]
    greys = [0.0]
    for number, value in enumerate((150, 185, 220)):  # a third each: brows turn grey hair by hair
        canvas = np.zeros((tall * FINER, wide * FINER), np.uint8)
        draw_lines(canvas, list((strands[number::3] - low + 0.5) * FINER - 0.5), value, max(1, round(scale)))
        drawn = cv2.resize(canvas, (int(wide), int(tall)), interpolation=cv2.INTER_AREA)
        coverages.append(drawn * np.float32((0.88 - 0.08 * skin.greyness) / 255))
        greys.append(float(np.clip(2.4 * skin.greyness - 0.25 - 0.5 * number, 0, 0.95)))
    for coverage, grey in zip(coverages, greys, strict=True):
        for plane, dark, light in zip(layer.albedo, skin.hair_colour, GREY_HAIR, strict=True):
            hair = BROW_TONE * dark + grey * (GREY_TONE * light - BROW_TONE * dark)
            plane[inside] += coverage * (np.float32(hair) - plane[inside])
        layer.specular[inside] *= 1 - 0.4 * coverage
        layer.scatter[inside] *= 1 - coverage
    hairs = np.maximum.reduce(coverages[1:])
    layer.height[inside] += np.float32(BROW_HEIGHT) * hairs
    layer.roughness[inside] += hairs * (np.float32(BROW_ROUGHNESS) - layer.roughness[inside])


def paint_lash_lines(layer: Layer, skin: Skin) -> None:
    """The roots of the upper lashes, in place."""
    layer.cover(layer.mask("lash") * np.float32(0.65 + 0.25 * (1 - skin.sex)), lash_colour(skin))


def lash_colour(skin: Skin) -> list[float]:
    """Lashes are darker than any other hair of a face."""
    return [0.35 * c + 0.006 for c in skin.hair_colour]
