"""Knows the hair of a scalp: where it grows, how its strands catch the light, and how it thins out at its edge."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from pain3d.skin.appearance import GREY_HAIR, Skin
from pain3d.skin.crowd import Crowd, Draws
from pain3d.skin.hairline import COVERING, hair_outline
from pain3d.skin.layer import Layer, bounds, mixed_noise
from pain3d.skin.maps import Floats, Plane
from pain3d.skin.masks import distance_on_head, draw_distance
from pain3d.skin.planes import Number, clip, exp, maximum, minimum, single, smoothstep, sqrt
from pain3d.skin.strands import COILED, Strands, lay_strands

HAIR_SPECULAR, HAIR_ROUGHNESS, GREY_ROUGHNESS = 0.80, 0.46, 0.55
COVERAGE = {"buzz": 0.90, "bald": 0.62}  # of the density, where hair grows; other styles 1
LONGER = 0.22  # of coverage that length adds: long hair lies over the skin between its roots
EDGE = {"buzz": (-4.0, 12.0), "bald": (-4.0, 16.0)}  # mm from the hairline over which hair closes up
LONG_EDGE = (-5.0, 6.0)  # of other styles, whose shell stands off there
RAGGED = {"buzz": 2.5, "bald": 3.0}  # mm by which locks move the hairline; other styles `LONG_RAGGED`
LONG_RAGGED, LOCK_RAGGED = 1.6, 0.8  # mm, by single strands and by locks
BABY_HAIR, BABY_REACH = 0.28, 9.0  # coverage of fine hairs before the hairline, and how far they reach, mm
STRAND_HEIGHT, LOCK_HEIGHT, COIL_HEIGHT = 0.20, 0.16, 0.28  # mm
CROWN, CROWN_RADIUS = (0.0, 128.0, -38.0), 78.0  # mm: where the hair thins at recession above 0.6, up to this far
FURTHEST = 24.0  # mm before the hairline beyond which nothing grows: baby hairs, and what rags and noise can add
GREY_STRANDS = 0.45  # share of grey that comes in whole strands; the rest mixes finer than a texel
DEGREES = float(np.float32(180) / np.float32(np.pi))  # of a radian, in single precision
SHADOW, SHADOW_REACH = 0.45, 26.0  # of hair that hangs, on the neck below it; mm
UNDER_HAIR_FROM = 82.0  # degrees from the front: nearer there is the cheek, which hanging hair leaves in the light


def paint_scalp(layer: Layer, skin: Skin | Crowd) -> None:
    """Hair strand by strand, ragged at the hairline, thinner where it recedes; in place."""
    if not isinstance(skin, Crowd):
        generator = skin.generator("skin/scalp")
        _paint(layer, skin, skin.hair_style, _pole(skin, generator), draw_hairline(skin), generator)
        return
    poles = [(skin_of, generator) for skin_of in skin.skins for generator in [skin_of.generator("skin/scalp")]]
    kinds: dict[tuple[str, str, bool], list[int]] = {}
    for number, (one, generator) in enumerate(poles):
        kinds.setdefault((one.hair_style, _pole(one, generator), one.hair_curl > COILED), []).append(number)
    for (style, pole, _), numbers in kinds.items():
        chosen = torch.tensor(numbers, device=skin.device)
        few, those = skin.some(numbers), layer.of(chosen)
        draws = Draws([poles[k][1] for k in numbers], skin.device)
        _paint(those, few, style, pole, few.drawn([sketch.hairline for sketch in few.sketches])[:, None], draws)
        layer.put(chosen, those)


@lru_cache(maxsize=8)
def draw_hairline(skin: Skin) -> Floats:
    """Distance from a person's hairline on the unrolled head, see `masks.draw_distance`; kept for the next part."""
    return draw_distance(hair_outline(skin))


def _pole(skin: Skin, generator: np.random.Generator) -> str:
    pole = ("left", "right")[int(generator.random() < 0.5)]
    if skin.hair_style in ("buzz", "bald", "curly", "short"):
        return "whorl"
    return "bun" if skin.hair_style == "bun" else pole


def _paint(
    layer: Layer,
    skin: Skin | Crowd,
    style: str,
    pole: str,
    unrolled: Plane,
    generator: np.random.Generator | Draws,
) -> None:
    distance = _hairline_distance(layer, skin, style, unrolled)
    if style in COVERING:
        _shade_neck(layer, distance)
    if not isinstance(skin, Crowd):
        grows = distance > -FURTHEST
        if style in COVERING:
            grows |= layer.mask("laid_ear") > 0
        if not grows.any():
            return
        inside = bounds(grows)
        layer, distance = layer.part(inside), distance[inside]
    coiled = skin.all_alike(lambda one: one.hair_curl > COILED) if isinstance(skin, Crowd) else skin.hair_curl > COILED
    lie = lay_strands(layer, pole, skin.hair_curl, generator, coiled=coiled, cropped=style in COVERAGE)
    alpha = _coverage(layer, skin, style, distance, lie, generator)
    roughness = HAIR_ROUGHNESS + (GREY_ROUGHNESS - HAIR_ROUGHNESS) * skin.greyness
    layer.cover(alpha, _colour(skin, lie, coiled), HAIR_SPECULAR, roughness, scatter=0.0)
    short = 0.35 if style in ("buzz", "bald") else 1.0
    relief = (COIL_HEIGHT if coiled else STRAND_HEIGHT) * short * lie.fine + LOCK_HEIGHT * short * lie.locks
    layer.height *= 1 - alpha
    layer.height += alpha * relief
    # Strands that lie deeper see less of the light.
    layer.specular *= 1 - alpha * (0.35 - 0.25 * clip(lie.fine, -1.4, 1.4))


def _coverage(
    layer: Layer, skin: Skin | Crowd, style: str, distance: Plane, lie: Strands, generator: np.random.Generator | Draws
) -> Plane:
    ragged = distance + RAGGED.get(style, LONG_RAGGED) * lie.fine + LOCK_RAGGED * lie.locks
    ragged += 1.5 * mixed_noise(layer.maps, "patch", layer.box, generator)
    alpha = smoothstep(ragged, *EDGE.get(style, LONG_EDGE))
    baby = clip(1 + distance * (1 / BABY_REACH), 0, 1) * smoothstep(lie.fine, 0.6, 1.6)
    alpha = maximum(alpha, BABY_HAIR * baby)
    density = skin.hair_density
    thin = density * COVERAGE[style] if style in COVERAGE else minimum(1.0, density + LONGER)
    thin = single(thin)
    alpha *= thin + (1 - thin) * clip(0.3 + 0.6 * lie.fine, 0, 1)
    alpha *= minimum(1.0, 4 * density)  # a density of 0 is none
    if style in COVERING:
        alpha = maximum(alpha, smoothstep(layer.mask("laid_ear"), 0.3, 0.8))
    else:
        alpha *= 1 - layer.mask("ear")
    return clip(alpha, 0, 1)


def _colour(skin: Skin | Crowd, lie: Strands, coiled: bool) -> list[Plane]:
    """Each strand has a tone of its own; grey comes strand by strand, and valleys between locks lie in the shade."""
    both = 0.95 * lie.fine + 0.3 * lie.locks
    first = 3.8 - 7.6 * skin.greyness
    if coiled:  # coils of both colours mix finer than a texel
        grey = clip(skin.greyness + 0.45 * skin.greyness * (1 - skin.greyness) * both, 0, 1)
    else:
        grey = smoothstep(both, first - 1.9, first + 1.9)
        grey = GREY_STRANDS * grey + (1 - GREY_STRANDS) * skin.greyness
    fair = clip(_mean(skin.hair_colour) / 0.2, 0, 1)
    tone = exp(0.22 * lie.fine + 0.07 * lie.locks)
    shade = 1 - 0.22 * clip(-lie.locks - 0.5, 0, 1)
    warm = 0.06 * fair * lie.locks  # sun bleaches locks: lighter ones are yellower
    pale = sqrt(tone)
    planes = []
    for channel, (dark, light) in enumerate(zip(skin.hair_colour, GREY_HAIR, strict=True)):
        hair = dark * tone * (1 + warm * (0.5, 0.0, -1.0)[channel])
        planes.append((hair + grey * (0.92 * light * pale - hair)) * shade)
    return planes


def _mean(colour: tuple[Number, Number, Number]) -> Number:
    return (colour[0] + colour[1] + colour[2]) / 3


def _shade_neck(layer: Layer, distance: Plane) -> None:
    """Darken the neck under hair that hangs before it, in place."""
    below = exp(minimum(distance, 0.0) * (1 / SHADOW_REACH))
    behind = smoothstep(layer.maps.azimuth[layer.box] * DEGREES, UNDER_HAIR_FROM, UNDER_HAIR_FROM + 12)
    low = 1 - smoothstep(layer.maps.y[layer.box], -45.0, -30.0)
    layer.multiply(1 - SHADOW * below * behind * low)


def _hairline_distance(layer: Layer, skin: Skin | Crowd, style: str, unrolled: Plane) -> Plane:
    maps, box = layer.maps, layer.box
    distance = distance_on_head(maps, unrolled, box)
    radius: Number
    if isinstance(skin, Crowd):
        distance = distance[:, 0]
        radius = skin.counted(lambda one: _crown(one) or -math.inf)
    else:
        radius = _crown(skin)
        if radius <= 0:
            return distance
    x, y, z = (plane[box] - c for plane, c in zip((maps.x, maps.y, maps.z), CROWN, strict=True))
    return minimum(distance, sqrt(x * x + y * y + z * z) - radius)


def _crown(skin: Skin) -> float:
    """Radius in mm in which hair thins out around the crown."""
    return CROWN_RADIUS * 1.15 if skin.hair_style == "bald" else CROWN_RADIUS * max(0.0, (skin.recession - 0.55) / 0.45)
