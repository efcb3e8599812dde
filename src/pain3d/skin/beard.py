"""Knows beards: stubble dot by dot, and full ones strand by strand."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.appearance import GREY_HAIR, Skin
from pain3d.skin.layer import Layer, bounds, mixed_noise
from pain3d.skin.masks import smoothstep
from pain3d.skin.strands import COILED

Floats = npt.NDArray[np.float32]

DOTS = 0.16  # share of texels that a dense stubble marks
DOT_COVERAGE, SHADOW_COVERAGE = 0.62, 0.20  # of a dot, and of the shadow of what lies below the skin
EDGE = (-5.0, 11.0)  # mm over which stubble thins out at its edge
MOUSTACHE = 7.0  # mm that the upper lip's hair is denser than its distance from the edge would make it
BEARD_EDGE = (-2.0, 9.0)  # mm, of a full beard
THROAT = (-112.0, -84.0)  # mm of height over which stubble thins out on the throat
BEARD_END = (-101.0, -90.0)  # mm of height over which a full beard ends on the throat
FURTHEST = 22.0  # mm outside the beard beyond which its ragged edge never grows
STRAND = (0.6, 5.0)  # mm: width and length of the strands of a beard
BEARD_HEIGHT, BEARD_SPECULAR, BEARD_ROUGHNESS = 0.20, 0.45, 0.55
LIPS_CLEAR = (0.05, 0.5)  # of the lips' mask over which a beard ends


def paint_beard(layer: Layer, skin: Skin) -> None:
    """The shadow of a shaved or three-day beard, or a full one; in place."""
    if skin.stubble <= 0 and skin.beard <= 0:
        return
    near = layer.mask("beard") > -FURTHEST
    if not near.any():
        return
    layer = layer.part(bounds(near))
    maps, box = layer.maps, layer.box
    generator = keyed_generator(skin.seed, "skin/beard", skin.identity)
    distance = layer.mask("beard") + 3 * mixed_noise(maps, "patch", box, generator)
    off_lips = 1 - smoothstep(layer.mask("lips"), *LIPS_CLEAR)
    grey = float(np.clip(1.15 * skin.greyness, 0, 1))
    dark = [c + grey * (0.75 * g - c) for c, g in zip(skin.hair_colour, GREY_HAIR, strict=True)]
    stubble = max(skin.stubble, 0.8 * float(skin.beard > 0))
    inside = smoothstep(distance, *EDGE) * off_lips * smoothstep(maps.y[box], *THROAT) * (1 - layer.mask("ear"))
    white = generator.random(inside.shape, np.float32)
    spots = cv2.GaussianBlur((white > np.float32(1 - DOTS)).astype(np.float32), (0, 0), 0.55)
    dots = np.clip(spots * np.float32(1.7), 0, 1) * (np.float32(0.4) + np.float32(0.6 * stubble))
    shade = np.float32(SHADOW_COVERAGE * stubble * (1 - 0.6 * grey))
    alpha = inside * np.minimum(shade + np.float32(DOT_COVERAGE * min(1.0, 1.4 * stubble)) * dots, 1)
    layer.cover(alpha, [float(c + 0.012) for c in dark], 0.8, 0.55)
    layer.height += np.float32(0.05 * stubble) * inside * spots
    if skin.beard > 0:
        _full_beard(layer, skin, distance, off_lips, generator)


def _full_beard(layer: Layer, skin: Skin, distance: Floats, off_lips: Floats, generator: np.random.Generator) -> None:
    strand = _hanging_strands(layer, generator, coiled=skin.hair_curl > COILED)
    ragged = distance + np.float32(2.0) * strand
    x, y = layer.maps.x[layer.box], layer.maps.y[layer.box]
    ragged += np.float32(MOUSTACHE) * (1 - smoothstep(np.abs(x), 14.0, 30.0)) * smoothstep(y, -44.0, -36.0)
    alpha = smoothstep(ragged, *BEARD_EDGE) * off_lips
    alpha *= 1 - layer.mask("ear")
    alpha *= smoothstep(layer.maps.y[layer.box] + np.float32(2) * strand, *BEARD_END)
    alpha *= np.clip(np.float32(0.72 + 0.28 * skin.beard) + np.float32(0.15) * strand, 0, 1)
    tone = np.exp(np.float32(0.22) * strand)
    grey_share = min(1.0, 1.2 * skin.greyness)
    grey = smoothstep(strand, 2.6 - 6.0 * grey_share, 5.0 - 6.6 * grey_share)
    colour = [
        np.asarray((np.float32(1.05 * c) + grey * np.float32(0.72 * g - 1.05 * c)) * tone, np.float32)
        for c, g in zip(skin.hair_colour, GREY_HAIR, strict=True)
    ]
    layer.cover(alpha, colour, BEARD_SPECULAR, BEARD_ROUGHNESS, scatter=0.0)
    layer.height *= 1 - alpha
    layer.height += alpha * np.float32(BEARD_HEIGHT) * strand


def _hanging_strands(layer: Layer, generator: np.random.Generator, coiled: bool) -> Floats:
    """Strands [h, w] that hang down the jaw, zero mean and unit variance; or coils."""
    maps, box = layer.maps, layer.box
    if coiled:
        return np.asarray((np.float32(0.8) - np.abs(mixed_noise(maps, "mottle", box, generator))) * np.float32(1.6))
    wander = mixed_noise(maps, "patch", box, generator)
    around = maps.azimuth[box] * np.float32(80.0 / STRAND[0]) + np.float32(1.5) * wander
    columns = np.where(maps.x[box] < 0, np.float32(512) - around, np.float32(512) + around)
    rows = np.float32(128) - maps.y[box] * np.float32(3.0 / STRAND[1])
    white = generator.standard_normal((256, 1024), np.float32)
    sheet = np.asarray(cv2.GaussianBlur(white, (0, 0), sigmaX=0.7, sigmaY=2.2), np.float32)
    sheet /= sheet.std()
    return np.asarray(cv2.remap(sheet, columns.astype(np.float32), rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))
