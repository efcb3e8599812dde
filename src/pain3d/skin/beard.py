"""Knows beards: stubble dot by dot over the shadow of what lies below the skin, and full ones hair by hair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pain3d.skin.appearance import GREY_HAIR, Skin
from pain3d.skin.beard_hairs import STEP, STEPS, BeardHairs
from pain3d.skin.crowd import Crowd
from pain3d.skin.layer import Layer, Mixture, draw_mixture, mix_noise
from pain3d.skin.maps import Bytes, Floats, Plane, SurfaceMaps
from pain3d.skin.planes import blurred_plane, clip, maximum, minimum, single, smoothstep
from pain3d.skin.strands import COILED
from pain3d.skin.strokes import draw_lines

DOT = 235  # of 255: what a hair of a stubble marks of the finest texels
DOT_COVERAGE, SHADOW_COVERAGE = 0.80, 0.20  # of a dot, and of the shadow of what lies below the skin
EDGE = (-7.0, 14.0)  # mm over which stubble thins out at its edge
ROUGH = (3.0, 3.5)  # mm that noise moves the edge: of a grown man, and what the patches of a young one add
PATCHY_AGES = (34.0, 19.0)  # years between which a beard is still patchy
BARE_CHEEKS = 9.0  # mm that a young man's beard begins lower on the cheeks
THROAT = (-112.0, -84.0)  # mm of height over which stubble thins out on the throat
BEARD_EDGE = (-5.0, 12.0)  # mm over which a full beard thins out
MOUSTACHE = 8.0  # mm that the upper lip's hair is denser than its distance from the edge would make it
BEARD_END = (-108.0, -88.0)  # mm of height over which a full beard ends on the throat
LENGTH = (3.2, 9.0)  # mm of a hair that lies on the skin: of the shortest beard, and what the longest adds
OVER_LIP = (3.2, 8.0)  # mm: the longest that hair of the upper lip is beside its middle and at the corners
POINTS = (4, 6)  # of a drawn hair, and of one that coils
TONES = 9  # groups of hairs that are drawn in one tone
DARK, LIGHT = (20, 110), (145, 205)  # of 255: tones of hairs with their colour, and of grey ones
HAIR = (130, 215)  # of 255: coverage of single hairs
SPARSE = 0.55  # of that where hairs stand alone, or where texels are coarse
TUFTS = 0.6  # of the turn of a hair that it shares with those around it
COIL, TURNS = 0.85, 1.25  # mm of radius and turns of a hair that coils
BEARD_HEIGHT, BEARD_SPECULAR, BEARD_ROUGHNESS = 0.20, 0.60, 0.55
THICKET = 3.0  # texels of a 1024² texture: below so much hair around a texel the skin is in the dark
DENSE = {"skin": 0.55, "neck": 0.60}  # coverage around a texel from which on no skin is seen
UNDER = {"skin": 0.42, "neck": 0.70}  # of the hair's own colour that is left in there


@dataclass(frozen=True)
class BeardDraws:
    """What is random in one person's beard on one part of the head.

    Attributes:
        edge: Noise that moves the beard's edge.
        dots: [h, w] where hairs of a stubble stand, 0–255.
        hairs: [2, h, w] of a full beard: coverage of its hairs, and their tone; None without one.
    """

    edge: Mixture
    dots: Bytes
    hairs: Bytes | None = None


def grows_beard(skin: Skin) -> bool:
    """Whether there is any hair on the chin, shaved or not."""
    return skin.stubble > 0 or skin.beard > 0


def draw_beard(maps: SurfaceMaps, part: str, skin: Skin) -> BeardDraws | None:
    """Draw one person's numbers for a part; None where no beard grows."""
    rows, columns = maps.bounds_of("beard", maps.boxes[part])
    shape = rows.stop - rows.start, columns.stop - columns.start
    if not grows_beard(skin) or shape[0] == 0:
        return None
    generator, all_hairs = skin.generator("skin/beard"), maps.beard[part]
    edge = draw_mixture(generator, len(all_hairs.patch))
    one, other, turn = edge
    noise = all_hairs.patch[one] * np.float32(np.cos(turn)) + all_hairs.patch[other] * np.float32(np.sin(turn))
    inside = all_hairs.inside + (ROUGH[0] + ROUGH[1] * _patchy(skin)) * noise
    inside -= BARE_CHEEKS * _patchy(skin) * smoothstep(np.abs(all_hairs.across), 24.0, 40.0)
    chance = generator.random((4, len(inside)), np.float32)
    corner = maps.boxes[part][1].start + columns.start, maps.boxes[part][0].start + rows.start
    paths = all_hairs.paths - np.array(corner, np.float32)
    stands = chance[0] < smoothstep(inside, *EDGE) * smoothstep(all_hairs.height, *THROAT)
    column, row = np.rint(paths[stands, 0]).astype(np.int64).T
    held = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    weights = (all_hairs.share[stands] * (0.6 + 0.4 * chance[1][stands]))[held]
    dots = np.bincount((row * shape[1] + column)[held], DOT * weights, shape[0] * shape[1]).clip(0, 255)
    dots = dots.astype(np.uint8).reshape(shape)
    if skin.beard <= 0:
        return BeardDraws(edge, dots)
    return BeardDraws(edge, dots, _draw_hairs(all_hairs, paths, inside, chance, shape, skin, maps.size / 1024))


def _patchy(skin: Skin | Crowd) -> Plane:
    return clip((PATCHY_AGES[0] - skin.age) / (PATCHY_AGES[0] - PATCHY_AGES[1]), 0, 1)


def _draw_hairs(
    all_hairs: BeardHairs,
    paths: Floats,
    inside: Floats,
    chance: Floats,
    shape: tuple[int, int],
    skin: Skin,
    scale: float,
) -> Bytes:
    """Coverage and tone [2, h, w] of a full beard, hair over hair."""
    generator = skin.generator("skin/beard/hairs")
    across, height = np.abs(all_hairs.across), all_hairs.height
    lip = smoothstep(height, -46.0, -38.0) * (1 - smoothstep(across, 26.0, 36.0))
    low, high = np.array(BEARD_EDGE) + np.array((-4.0, 10.0)) * _patchy(skin)
    dense = smoothstep(inside + MOUSTACHE * lip, float(low), float(high))
    dense *= 1 - 0.25 * lip * np.exp(-((across / 1.6) ** 2))  # the philtrum is thin
    dense *= smoothstep(height, *BEARD_END) * (0.75 + 0.25 * skin.beard)
    coarse = np.sqrt(all_hairs.share)  # a line is a texel wide: where they are coarse there are fewer
    grown = chance[0] < dense * coarse
    across, height, lip, dense, coarse = (values[grown] for values in (across, height, lip, dense, coarse))
    odd, mottle = chance[1:, grown], all_hairs.mottle[:, grown]
    one, other, turn = draw_mixture(generator, len(mottle))
    tuft = mottle[one] * np.float32(np.cos(turn)) + mottle[other] * np.float32(np.sin(turn))
    length = (LENGTH[0] + LENGTH[1] * skin.beard) * (0.45 + 0.65 * odd[0]) * (0.35 + 0.65 * dense)
    length *= 0.4 + 0.6 * np.minimum(1, coarse / scale)  # so that a coarse chart has no blades
    over = OVER_LIP[0] + (OVER_LIP[1] - OVER_LIP[0]) * smoothstep(across, 1.0, 24.0) + 2.5 * odd[1] ** 4
    free = height + 34.0 + 0.30 * across  # mm of bare skin between root and lip
    length = length + lip * (np.minimum(length, np.maximum(free, 0) + over * (0.5 + 0.7 * odd[0])) - length)
    lines = _grown_lines(paths[grown], length, odd, tuft, generator, skin)
    grey = odd[2] < np.clip(1.25 * skin.greyness - 0.12 + 0.22 * skin.greyness * np.exp(-((across / 15) ** 2)), 0, 1)
    # Tufts are lighter and darker than each other; single hairs differ too.
    group = np.clip(TONES * (0.5 + 0.16 * tuft + 0.9 * (generator.random(len(tuft)) - 0.5)), 0, TONES - 1).astype(int)
    alone = dense * coarse < 0.5
    fine = float(np.median(coarse)) if len(coarse) else 1.0
    mean = np.mean(DARK) + min(1.0, 1.1 * skin.greyness) * (np.mean(LIGHT) - np.mean(DARK))
    drawn: Bytes = np.zeros((2, *shape), np.uint8)
    drawn[1] = round(mean)
    thickness = max(1, round(scale))
    for place in ((number * 4) % TONES for number in range(TONES)):  # light and dark ones by turns
        share = place / (TONES - 1)
        for sparse in (True, False):
            solid = (HAIR[0] + (HAIR[1] - HAIR[0]) * (1 - share)) * (SPARSE if sparse else 1)
            for whitened, (darkest, lightest) in ((False, DARK), (True, LIGHT)):
                some = lines[(group == place) & (grey == whitened) & (alone == sparse)]
                draw_lines(drawn[0], some, round(solid), thickness)
                tone = darkest + (lightest - darkest) * share
                # Lines as wide as a coarse texel, each in its own tone, would be no hairs but dapples.
                draw_lines(drawn[1], some, round(float(mean + (tone - mean) * fine)), thickness)
    return drawn


def _grown_lines(
    paths: Floats, length: Floats, odd: Floats, tuft: Floats, generator: np.random.Generator, skin: Skin
) -> Floats:
    """Hairs [N, K, 2] of a length [N] in mm along their paths, which lean with their tuft [N], waver or coil."""
    coiled = skin.hair_curl > COILED
    share = np.linspace(0, 1, POINTS[coiled], dtype=np.float32)
    along = np.minimum(share * (length / STEP)[:, None], STEPS - 1.001)
    first, number = along.astype(np.int64), np.arange(len(paths))[:, None]
    rest = (along - first)[..., None]
    lines = paths[number, first] * (1 - rest) + paths[number, first + 1] * rest
    whole, t = lines[:, -1:] - lines[:, :1], share[None, :, None]
    lean, bend = generator.standard_normal((2, len(paths), 1, 1), np.float32)
    lean = (1 - TUFTS) * lean + TUFTS * tuft[:, None, None]
    if not coiled:
        aside, waver = whole[..., ::-1] * np.array([-1, 1], np.float32), 0.15 + 0.25 * skin.hair_curl
        return np.asarray(lines + aside * waver * (lean * t + bend * np.sin(np.pi * t)), np.float32)
    texels_per_mm = np.linalg.norm(whole, axis=2, keepdims=True) / np.maximum(length, 0.1)[:, None, None]
    turned = 2 * np.pi * (TURNS * t + odd[1][:, None, None]) * np.sign(lean)
    radius = COIL * texels_per_mm * (0.7 + 0.6 * odd[0][:, None, None])
    circle = np.concatenate([np.cos(turned), np.sin(turned)], 2) * radius
    return np.asarray(lines[:, :1] + 0.45 * (lines - lines[:, :1]) + circle, np.float32)


def paint_beard(layer: Layer, skin: Skin | Crowd, part: str) -> None:
    """The shadow of a shaved or three-day beard, or a full one; in place."""
    if not isinstance(skin, Crowd):
        drawn = draw_beard(layer.maps, part, skin)
        if drawn is not None:
            layer = layer.within("beard")
            _stubble(layer, skin, drawn.edge, drawn.dots)
            if drawn.hairs is not None:
                _full_beard(layer, skin, part, list(drawn.hairs))
        return
    draws = [(number, drawn) for number, sketch in enumerate(skin.sketches) if (drawn := sketch.beards[part])]
    if not draws:
        return
    layer = layer.within("beard")
    chosen = [number for number, _ in draws]
    few, those = skin.some(chosen), layer.of(torch.tensor(chosen, device=skin.device))
    _stubble(those, few, [drawn.edge for _, drawn in draws], few.drawn([drawn.dots for _, drawn in draws]))
    layer.put(torch.tensor(chosen, device=skin.device), those)
    full = [(number, drawn.hairs) for number, drawn in draws if drawn.hairs is not None]
    if full:
        numbers, hairs = zip(*full, strict=True)
        few, index = skin.some(numbers), torch.tensor(numbers, device=skin.device)
        those = layer.of(index)
        _full_beard(those, few, part, few.drawn(hairs).unbind(1))
        layer.put(index, those)


def _stubble(layer: Layer, skin: Skin | Crowd, edge: Mixture | list[Mixture], dots: Plane) -> None:
    """Paint the dots and the shadow below them, in place."""
    maps, box = layer.maps, layer.box
    patchy = _patchy(skin)
    distance = layer.mask("beard") + (ROUGH[0] + ROUGH[1] * patchy) * mix_noise(maps, "patch", box, edge)
    grey = clip(1.15 * skin.greyness, 0, 1)
    dark = [c + grey * (0.75 * g - c) for c, g in zip(skin.hair_colour, GREY_HAIR, strict=True)]
    stubble = maximum(skin.stubble, 0.8 * (skin.beard > 0))
    inside = smoothstep(distance, *EDGE) * smoothstep(maps.y[box], *THROAT)
    inside *= (1 - layer.mask("lips")) * (1 - layer.mask("ear"))
    spots = blurred_plane(single(dots), 0.55) * (1 / 255)
    shade = SHADOW_COVERAGE * stubble * (1 - 0.6 * grey)
    dotted = (DOT_COVERAGE * minimum(1.0, 1.4 * stubble) * (0.4 + 0.6 * stubble)) * 2.2
    alpha = minimum(shade * inside + dotted * spots, 0.92)
    layer.cover(alpha, [c + 0.012 for c in dark], 0.8, 0.55)
    layer.height += (0.08 * stubble) * spots


def _full_beard(layer: Layer, skin: Skin | Crowd, part: str, hairs: Sequence[Plane]) -> None:
    """Lay hairs [h, w] over the dark that they stand in, in place."""
    coverage, tone = (single(plane) * (1 / 255) for plane in hairs)
    around = blurred_plane(coverage, THICKET * layer.maps.size / 1024)
    depth = smoothstep(around, 0.03, DENSE[part]) * 0.95
    greyness = minimum(1.0, 1.1 * skin.greyness)
    under = [UNDER[part] * (c + greyness * (0.6 * g - c)) for c, g in zip(skin.hair_colour, GREY_HAIR, strict=True)]
    layer.cover(depth, under, BEARD_SPECULAR, BEARD_ROUGHNESS, scatter=0.0)
    grey = smoothstep(tone, 0.42, 0.78)
    light = 0.62 + 1.9 * minimum(tone, 0.46)
    pale = 0.62 + 0.42 * tone
    colour = [c * light + grey * (g * pale - c * light) for c, g in zip(skin.hair_colour, GREY_HAIR, strict=True)]
    if part == "neck":  # its texels are 2 mm wide, and so would be its hairs
        coverage = around
    layer.cover(coverage, colour, BEARD_SPECULAR, BEARD_ROUGHNESS, scatter=0.0)
    layer.height *= 1 - depth
    layer.height += BEARD_HEIGHT * (coverage - around) + 0.05 * depth
