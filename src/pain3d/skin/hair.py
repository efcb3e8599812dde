"""Knows the hair of a scalp: where it grows, how its strands catch the light, and how it thins out at its edge."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pain3d.skin.appearance import GREY_HAIR, Skin
from pain3d.skin.crowd import Crowd, Draws, stacked
from pain3d.skin.hairline import COVERING, hair_outline
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.maps import Box, Floats, Plane, bounds
from pain3d.skin.masks import distance_on_head, draw_distance
from pain3d.skin.planes import Number, clip, exp, maximum, minimum, single, smoothstep, sqrt
from pain3d.skin.strands import COILED, CROPPED, POLES, Strands, lay_strands

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
STRIP = 64  # rows that hair is painted on at a time
GREY_STRANDS = 0.45  # share of grey that comes in whole strands; the rest mixes finer than a texel
DEGREES = float(np.float32(180) / np.float32(np.pi))  # of a radian, in single precision
SHADOW, SHADOW_REACH = 0.45, 26.0  # of hair that hangs, on the neck below it; mm
UNDER_HAIR_FROM = 82.0  # degrees from the front: nearer there is the cheek, which hanging hair leaves in the light


class Style(NamedTuple):
    """What a person's way of wearing hair means to the brush, as numbers; of many people tensors [K, 1, 1].

    Attributes:
        pole: Number in `POLES` of where strands part; of many people [K].
        speed: How many times shorter than long hair's the strands are.
        covering: 1 where it lies over the ears.
        low: mm from the hairline at which hair begins to close up.
        high: mm at which it is closed.
        ragged: mm by which strands move the hairline.
        thin: Coverage where hair grows.
        short: How far strands stand off, as a share of long ones.
        crown: mm around the crown in which hair thins; minus infinity where it does not.
    """

    pole: Number
    speed: Number
    covering: Number
    low: Number
    high: Number
    ragged: Number
    thin: Number
    short: Number
    crown: Number


def paint_scalp(layer: Layer, skin: Skin | Crowd) -> None:
    """Hair strand by strand, ragged at the hairline, thinner where it recedes; in place."""
    if not isinstance(skin, Crowd):
        generator = skin.generator("skin/scalp")
        _paint(layer, skin, _style(skin, generator), draw_hairline(skin), generator, skin.hair_curl > COILED)
        return
    for coiled, numbers in skin.alike(lambda one: one.hair_curl > COILED).items():
        chosen = torch.tensor(numbers, device=skin.device)
        few, those = skin.some(numbers), layer.of(chosen)
        generators = few.generator("skin/scalp")
        pole, *rest = np.array(
            [_style(*each) for each in zip(few.skins, generators.together(lambda g: g), strict=True)]
        ).T
        style = Style(torch.from_numpy(pole.astype(np.int64)).to(skin.device), *stacked(np.array(rest), skin.device))
        unrolled = few.drawn([sketch.hairline for sketch in few.sketches])[:, None]
        _paint(those, few, style, unrolled, generators, coiled)
        layer.put(chosen, those)


@lru_cache(maxsize=8)
def draw_hairline(skin: Skin) -> Floats:
    """Distance from a person's hairline on the unrolled head, see `masks.draw_distance`; kept for the next part."""
    return draw_distance(hair_outline(skin))


def crown_radius(skin: Skin) -> float:
    """How far the hair around a person's crown has thinned: mm, 0 where it has not."""
    return CROWN_RADIUS * (1.15 if skin.hair_style == "bald" else max(0.0, (skin.recession - 0.55) / 0.45))


def _style(skin: Skin, generator: np.random.Generator) -> Style:
    name, density = skin.hair_style, skin.hair_density
    pole = ("left", "right")[int(generator.random() < 0.5)]
    if name in ("buzz", "bald", "curly", "short"):
        pole = "whorl"
    elif name == "bun":
        pole = "bun"
    cropped = name in COVERAGE
    return Style(
        list(POLES).index(pole),
        CROPPED if cropped else 1.0,
        float(name in COVERING),
        *EDGE.get(name, LONG_EDGE),
        RAGGED.get(name, LONG_RAGGED),
        density * COVERAGE[name] if cropped else min(1.0, density + LONGER),
        0.35 if cropped else 1.0,
        crown_radius(skin) or -math.inf,
    )


def _paint(
    layer: Layer,
    skin: Skin | Crowd,
    style: Style,
    unrolled: Plane,
    generator: np.random.Generator | Draws,
    coiled: bool,
) -> None:
    distance = _hairline_distance(layer, style, unrolled)
    if isinstance(skin, Crowd) or style.covering:
        _shade_neck(layer, style, distance)
    if isinstance(generator, Draws):
        _grow(layer, skin, style, distance, generator, coiled)
        return
    grows = distance > -FURTHEST
    if style.covering:
        grows |= layer.mask("laid_ear") > 0
    drawn = generator.bit_generator.state
    for inside in _strips(grows):
        generator.bit_generator.state = drawn  # each draws the same numbers
        _grow(layer.part(inside), skin, style, distance[inside], generator, coiled)


def _strips(grows: npt.NDArray[np.bool_]) -> list[Box]:
    """Rectangles that hold all that grows: between them lies the face, and in the caches a strip has room."""
    tall, wide = grows.shape
    strips = []
    for top in range(0, tall, STRIP):
        for left, right in ((0, wide // 2), (wide // 2, wide)):
            rows, columns = bounds(grows[top : top + STRIP, left:right])
            if rows.stop:
                strips.append(
                    (slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop))
                )
    return strips


def _grow(
    layer: Layer,
    skin: Skin | Crowd,
    style: Style,
    distance: Plane,
    generator: np.random.Generator | Draws,
    coiled: bool,
) -> None:
    lie = lay_strands(layer, style.pole, skin.hair_curl, generator, coiled=coiled, speed=style.speed)
    alpha = _coverage(layer, skin, style, distance, lie, generator)
    roughness = HAIR_ROUGHNESS + (GREY_ROUGHNESS - HAIR_ROUGHNESS) * skin.greyness
    layer.cover(alpha, _colour(skin, lie, coiled), HAIR_SPECULAR, roughness, scatter=0.0)
    fine = (COIL_HEIGHT if coiled else STRAND_HEIGHT) * style.short
    layer.height *= 1 - alpha
    layer.height += alpha * (fine * lie.fine + LOCK_HEIGHT * style.short * lie.locks)
    # Strands that lie deeper see less of the light.
    layer.specular *= 1 - alpha * (0.35 - 0.25 * clip(lie.fine, -1.4, 1.4))


def _coverage(
    layer: Layer,
    skin: Skin | Crowd,
    style: Style,
    distance: Plane,
    lie: Strands,
    generator: np.random.Generator | Draws,
) -> Plane:
    ragged = distance + style.ragged * lie.fine + LOCK_RAGGED * lie.locks
    ragged += 1.5 * mixed_noise(layer.maps, "patch", layer.box, generator)
    alpha = smoothstep(ragged, style.low, style.high)
    baby = clip(1 + distance * (1 / BABY_REACH), 0, 1) * smoothstep(lie.fine, 0.6, 1.6)
    alpha = maximum(alpha, BABY_HAIR * baby)
    thin = single(style.thin)
    alpha *= thin + (1 - thin) * clip(0.3 + 0.6 * lie.fine, 0, 1)
    alpha *= minimum(1.0, 4 * skin.hair_density)  # a density of 0 is none
    many = isinstance(skin, Crowd)
    if many or style.covering:
        alpha = maximum(alpha, style.covering * smoothstep(layer.mask("laid_ear"), 0.3, 0.8))
    if many or not style.covering:
        alpha *= 1 - (1 - style.covering) * layer.mask("ear")
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


def _shade_neck(layer: Layer, style: Style, distance: Plane) -> None:
    """Darken the neck under hair that hangs before it, in place."""
    below = exp(minimum(distance, 0.0) * (1 / SHADOW_REACH))
    behind = smoothstep(layer.maps.azimuth[layer.box] * DEGREES, UNDER_HAIR_FROM, UNDER_HAIR_FROM + 12)
    low = 1 - smoothstep(layer.maps.y[layer.box], -45.0, -30.0)
    layer.multiply(1 - SHADOW * style.covering * below * behind * low)


def _hairline_distance(layer: Layer, style: Style, unrolled: Plane) -> Plane:
    maps, box = layer.maps, layer.box
    distance = distance_on_head(maps, unrolled, box)
    if isinstance(distance, torch.Tensor):
        distance = distance[:, 0]
    elif style.crown < 0:
        return distance
    x, y, z = (plane[box] - c for plane, c in zip((maps.x, maps.y, maps.z), CROWN, strict=True))
    return minimum(distance, sqrt(x * x + y * y + z * z) - style.crown)
