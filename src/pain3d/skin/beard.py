"""Knows beards: stubble dot by dot, and full ones strand by strand."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pain3d.skin.appearance import GREY_HAIR, Skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.layer import Layer, Mixture, draw_mixture, mix_noise
from pain3d.skin.maps import Floats, Plane, SurfaceMaps
from pain3d.skin.planes import blurred_plane, clip, exp, looked_up, maximum, minimum, single, smoothstep
from pain3d.skin.strands import COILED

DOTS = 0.16  # share of texels that a dense stubble marks
DOT_COVERAGE, SHADOW_COVERAGE = 0.62, 0.20  # of a dot, and of the shadow of what lies below the skin
EDGE = (-7.0, 14.0)  # mm over which stubble thins out at its edge
MOUSTACHE = 7.0  # mm that the upper lip's hair is denser than its distance from the edge would make it
BEARD_EDGE = (-3.0, 14.0)  # mm over which a full beard thins out
STRAY = 4.5  # mm that single strands reach beyond its edge, or fall short of it
THROAT = (-112.0, -84.0)  # mm of height over which stubble thins out on the throat
BEARD_END = (-101.0, -90.0)  # mm of height over which a full beard ends on the throat
STRAND = (0.6, 5.0)  # mm: width and length of the strands of a beard
BEARD_HEIGHT, BEARD_SPECULAR, BEARD_ROUGHNESS = 0.20, 0.45, 0.55
LIPS_CLEAR = (0.05, 0.5)  # of the lips' mask over which a beard ends


@dataclass(frozen=True)
class BeardDraws:
    """What is random in one person's beard on one part of the head.

    Attributes:
        edge: Noise that moves the beard's edge.
        dots: [h, w] uint8, 1 where a hair of a stubble stands.
        wander: Noise by which strands wander, or that makes their coils; None without a full beard.
        sheet: [256, 1024] strands beside each other, unit variance; None without a full beard, or of coils.
    """

    edge: Mixture
    dots: npt.NDArray[np.uint8]
    wander: Mixture | None = None
    sheet: Floats | None = None


def grows_beard(skin: Skin) -> bool:
    """Whether there is any hair on the chin, shaved or not."""
    return skin.stubble > 0 or skin.beard > 0


def draw_beard(maps: SurfaceMaps, part: str, skin: Skin) -> BeardDraws | None:
    """Draw one person's numbers for a part; None where no beard grows."""
    rows, columns = maps.bounds_of("beard", maps.boxes[part])
    shape = rows.stop - rows.start, columns.stop - columns.start
    if not grows_beard(skin) or shape[0] == 0:
        return None
    generator = skin.generator("skin/beard")
    fields = len(maps.noise["patch"])
    edge = draw_mixture(generator, fields)
    dots = (generator.random(shape, np.float32) > np.float32(1 - DOTS)).view(np.uint8)
    if skin.beard <= 0:
        return BeardDraws(edge, dots)
    wander = draw_mixture(generator, fields)
    if skin.hair_curl > COILED:
        return BeardDraws(edge, dots, wander)
    white = generator.standard_normal((256, 1024), np.float32)
    sheet = np.asarray(cv2.GaussianBlur(white, (0, 0), sigmaX=0.7, sigmaY=2.2), np.float32)
    sheet /= sheet.std()
    return BeardDraws(edge, dots, wander, sheet)


def paint_beard(layer: Layer, skin: Skin | Crowd, part: str) -> None:
    """The shadow of a shaved or three-day beard, or a full one; in place."""
    if not isinstance(skin, Crowd):
        drawn = draw_beard(layer.maps, part, skin)
        if drawn is not None:
            layer = layer.within("beard")
            distance, off_lips = _stubble(layer, skin, drawn.edge, drawn.dots)
            if drawn.wander is not None:
                _full_beard(layer, skin, distance, off_lips, drawn.wander, drawn.sheet)
        return
    draws = [(number, drawn) for number, sketch in enumerate(skin.sketches) if (drawn := sketch.beards[part])]
    if not draws:
        return
    layer = layer.within("beard")
    chosen = [number for number, _ in draws]
    few, those = skin.some(chosen), layer.of(torch.tensor(chosen, device=skin.device))
    dots = few.drawn([drawn.dots for _, drawn in draws])
    distance, off_lips = _stubble(those, few, [drawn.edge for _, drawn in draws], dots)
    layer.put(torch.tensor(chosen, device=skin.device), those)
    for coiled in (False, True):
        full = [
            (place, number, drawn.wander, drawn.sheet)
            for place, (number, drawn) in enumerate(draws)
            if drawn.wander is not None and (drawn.sheet is None) == coiled
        ]
        if full:
            places, numbers, wander, sheets = zip(*full, strict=True)
            few, index = skin.some(numbers), torch.tensor(numbers, device=skin.device)
            those = layer.of(index)
            sheet = None if coiled else few.drawn(sheets)[:, None]
            _full_beard(those, few, distance[torch.tensor(places, device=skin.device)], off_lips, list(wander), sheet)
            layer.put(index, those)


def _stubble(layer: Layer, skin: Skin | Crowd, edge: Mixture | list[Mixture], dots: Plane) -> tuple[Plane, Plane]:
    """Paint the dots and their shadow; return how far texels lie inside the beard, in mm, and 1 where no lips are."""
    maps, box = layer.maps, layer.box
    distance = layer.mask("beard") + 3 * mix_noise(maps, "patch", box, edge)
    off_lips = 1 - smoothstep(layer.mask("lips"), *LIPS_CLEAR)
    grey = clip(1.15 * skin.greyness, 0, 1)
    dark = [c + grey * (0.75 * g - c) for c, g in zip(skin.hair_colour, GREY_HAIR, strict=True)]
    stubble = maximum(skin.stubble, 0.8 * (skin.beard > 0))
    inside = smoothstep(distance, *EDGE) * off_lips * smoothstep(maps.y[box], *THROAT) * (1 - layer.mask("ear"))
    spots = blurred_plane(single(dots), 0.55)
    dotted = clip(spots * 1.7, 0, 1) * (0.4 + single(0.6 * stubble))
    shade = SHADOW_COVERAGE * stubble * (1 - 0.6 * grey)
    alpha = inside * minimum(shade + (DOT_COVERAGE * minimum(1.0, 1.4 * stubble)) * dotted, 1.0)
    layer.cover(alpha, [c + 0.012 for c in dark], 0.8, 0.55)
    layer.height += 0.05 * stubble * inside * spots
    return distance, off_lips


def _full_beard(
    layer: Layer, skin: Skin | Crowd, distance: Plane, off_lips: Plane, wander: Mixture | list[Mixture], sheet: Plane
) -> None:
    strand = _hanging_strands(layer, wander, sheet)
    ragged = distance + STRAY * clip(strand, -2, 2)
    x, y = layer.maps.x[layer.box], layer.maps.y[layer.box]
    ragged += MOUSTACHE * (1 - smoothstep(abs(x), 14.0, 30.0)) * smoothstep(y, -44.0, -36.0)
    alpha = smoothstep(ragged, *BEARD_EDGE) * off_lips
    alpha *= 1 - layer.mask("ear")
    alpha *= smoothstep(layer.maps.y[layer.box] + 2 * strand, *BEARD_END)
    alpha *= clip(0.72 + 0.28 * skin.beard + 0.15 * strand, 0, 1)
    tone = exp(0.22 * strand)
    grey_share = minimum(1.0, 1.2 * skin.greyness)
    grey = smoothstep(strand, 2.6 - 6.0 * grey_share, 5.0 - 6.6 * grey_share)
    colour = [
        (1.05 * c + grey * (0.72 * g - 1.05 * c)) * tone for c, g in zip(skin.hair_colour, GREY_HAIR, strict=True)
    ]
    layer.cover(alpha, colour, BEARD_SPECULAR, BEARD_ROUGHNESS, scatter=0.0)
    layer.height *= 1 - alpha
    layer.height += alpha * BEARD_HEIGHT * strand


def _hanging_strands(layer: Layer, wander: Mixture | list[Mixture], sheet: Plane) -> Plane:
    """Strands [h, w] that hang down the jaw, zero mean and unit variance; or coils, without a sheet."""
    maps, box = layer.maps, layer.box
    if sheet is None:
        return (0.8 - abs(mix_noise(maps, "mottle", box, wander))) * 1.6
    around = maps.azimuth[box] * (80.0 / STRAND[0]) + 1.5 * mix_noise(maps, "patch", box, wander)
    columns = 512 + around * (1 - 2 * (maps.x[box] < 0))
    strands = looked_up(sheet, columns, 128 - maps.y[box] * (3.0 / STRAND[1]), wrap=True)
    return strands[:, 0] if strands.ndim == 4 else strands
