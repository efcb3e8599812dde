"""Knows the hair of a scalp: where it grows, how its strands catch the light, and how it thins out at its edge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.appearance import GREY_HAIR, Skin
from pain3d.skin.hairline import COVERING, hair_outline
from pain3d.skin.layer import Layer, bounds, mixed_noise
from pain3d.skin.masks import smoothstep, unrolled_distance
from pain3d.skin.strands import COILED, Strands, lay_strands

Floats = npt.NDArray[np.float32]

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
SHADOW, SHADOW_REACH = 0.45, 26.0  # of hair that hangs, on the neck below it; mm
UNDER_HAIR_FROM = 82.0  # degrees from the front: nearer there is the cheek, which hanging hair leaves in the light


def paint_scalp(layer: Layer, skin: Skin) -> None:
    """Hair strand by strand, ragged at the hairline, thinner where it recedes; in place."""
    generator = keyed_generator(skin.seed, "skin/scalp", skin.identity)
    whole = _hairline_distance(layer, skin)
    grows = whole > -FURTHEST
    if skin.hair_style in COVERING:
        _shade_neck(layer, whole)
        grows |= layer.mask("laid_ear") > 0
    if not grows.any():
        return
    inside = bounds(grows)
    layer, distance = layer.part(inside), whole[inside]
    pole = ("left", "right")[int(generator.random() < 0.5)]
    if skin.hair_style in ("buzz", "bald", "curly", "short"):
        pole = "whorl"
    elif skin.hair_style == "bun":
        pole = "bun"
    lie = lay_strands(layer, pole, skin.hair_curl, generator, cropped=skin.hair_style in COVERAGE)
    alpha = _coverage(layer, skin, distance, lie, generator)
    roughness = HAIR_ROUGHNESS + (GREY_ROUGHNESS - HAIR_ROUGHNESS) * skin.greyness
    layer.cover(alpha, _colour(skin, lie), HAIR_SPECULAR, roughness, scatter=0.0)
    short = 0.35 if skin.hair_style in ("buzz", "bald") else 1.0
    fine = COIL_HEIGHT if skin.hair_curl > COILED else STRAND_HEIGHT
    relief = np.float32(fine * short) * lie.fine + np.float32(LOCK_HEIGHT * short) * lie.locks
    layer.height *= 1 - alpha
    layer.height += alpha * relief
    # Strands that lie deeper see less of the light.
    layer.specular *= 1 - alpha * (np.float32(0.35) - np.float32(0.25) * np.clip(lie.fine, -1.4, 1.4))


def _coverage(layer: Layer, skin: Skin, distance: Floats, lie: Strands, generator: np.random.Generator) -> Floats:
    style = skin.hair_style
    ragged = distance + np.float32(RAGGED.get(style, LONG_RAGGED)) * lie.fine + np.float32(LOCK_RAGGED) * lie.locks
    ragged += np.float32(1.5) * mixed_noise(layer.maps, "patch", layer.box, generator)
    alpha = smoothstep(ragged, *EDGE.get(style, LONG_EDGE))
    baby = np.clip(1 + distance * np.float32(1 / BABY_REACH), 0, 1) * smoothstep(lie.fine, 0.6, 1.6)
    alpha = np.maximum(alpha, np.float32(BABY_HAIR) * baby)
    thin = np.float32(
        skin.hair_density * COVERAGE[style] if style in COVERAGE else min(1.0, skin.hair_density + LONGER)
    )
    alpha *= thin + (1 - thin) * np.clip(np.float32(0.3) + np.float32(0.6) * lie.fine, 0, 1)
    alpha *= np.float32(min(1.0, 4 * skin.hair_density))  # a density of 0 is none
    if style in COVERING:
        np.maximum(alpha, smoothstep(layer.mask("laid_ear"), 0.3, 0.8), out=alpha)
    else:
        alpha *= 1 - layer.mask("ear")
    return np.asarray(np.clip(alpha, 0, 1), np.float32)


def _colour(skin: Skin, lie: Strands) -> list[Floats]:
    """Each strand has a tone of its own; grey comes strand by strand, and valleys between locks lie in the shade."""
    both = np.float32(0.95) * lie.fine + np.float32(0.3) * lie.locks
    first = 3.8 - 7.6 * skin.greyness
    grey = smoothstep(both, first - 1.9, first + 1.9)
    grey = np.float32(GREY_STRANDS) * grey + np.float32((1 - GREY_STRANDS) * skin.greyness)
    if skin.hair_curl > COILED:  # coils of both colours mix finer than a texel
        grey = np.clip(np.float32(skin.greyness) + np.float32(0.45 * skin.greyness * (1 - skin.greyness)) * both, 0, 1)
    fair = float(np.clip(np.mean(skin.hair_colour) / 0.2, 0, 1))
    tone = np.exp(np.float32(0.22) * lie.fine + np.float32(0.07) * lie.locks)
    shade = 1 - np.float32(0.22) * np.clip(-lie.locks - np.float32(0.5), 0, 1)
    warm = np.float32(0.06 * fair) * lie.locks  # sun bleaches locks: lighter ones are yellower
    planes = []
    for channel, (dark, light) in enumerate(zip(skin.hair_colour, GREY_HAIR, strict=True)):
        hair = np.float32(dark) * tone * (1 + warm * np.float32((0.5, 0.0, -1.0)[channel]))
        light_hair = np.float32(0.92 * light) * np.sqrt(tone)
        planes.append(np.asarray((hair + grey * (light_hair - hair)) * shade, np.float32))
    return planes


def _shade_neck(layer: Layer, distance: Floats) -> None:
    """Darken the neck under hair that hangs before it, in place."""
    below = np.exp(np.minimum(distance, 0) * np.float32(1 / SHADOW_REACH))
    behind = smoothstep(np.degrees(layer.maps.azimuth[layer.box]), UNDER_HAIR_FROM, UNDER_HAIR_FROM + 12)
    low = 1 - smoothstep(layer.maps.y[layer.box], -45.0, -30.0)
    layer.multiply(1 - np.float32(SHADOW) * below * behind * low)


def _hairline_distance(layer: Layer, skin: Skin) -> Floats:
    maps, box = layer.maps, layer.box
    distance = unrolled_distance(maps, hair_outline(skin), box)
    radius = CROWN_RADIUS * max(0.0, (skin.recession - 0.55) / 0.45)
    if skin.hair_style == "bald":
        radius = CROWN_RADIUS * 1.15
    if radius > 0:
        x, y, z = (plane[box] - np.float32(c) for plane, c in zip((maps.x, maps.y, maps.z), CROWN, strict=True))
        np.minimum(distance, np.sqrt(x * x + y * y + z * z) - np.float32(radius), out=distance)
    return distance
