"""Knows bare skin: its pigment and blood region by region, its gloss, and the fine relief of pores, grain and lips."""

from __future__ import annotations

import numpy as np

from pain3d.skin.appearance import Skin
from pain3d.skin.blemishes import lay_blemishes
from pain3d.skin.chromophores import skin_planes
from pain3d.skin.crowd import Crowd
from pain3d.skin.layer import Layer, chosen_noise, mixed_noise
from pain3d.skin.maps import Box, Plane, SurfaceMaps
from pain3d.skin.planes import Number, add_, clip, cos, full, maximum_, minimum, ones, smoothstep

SKIN_ROUGHNESS, SHINE_ROUGHNESS, LIP_ROUGHNESS = 0.55, 0.38, 0.43
SEAM_BLOOD, SEAM_SHADE = 0.15, -0.42  # added where the lips meet
GRAIN, OLD_GRAIN = 0.016, 1.6  # mm, standard deviation of the finest relief that a texel holds; what age adds, in it
UNDULATION = 0.014  # mm, of the relief 3 mm wide
PORE_DEPTH, PORE_SHADE = 0.065, 0.13  # mm; share of light that a pore swallows
CREPE, CREPE_WIDTH = 0.085, 0.50  # mm, of the lines that cross old skin; of the noise whose zeros they follow
CREPE_ONSET = 0.25  # of age marks, where they begin
NECK_RINGS = (0.10, 0.55)  # mm, of the lines around the neck: everybody's, and what age adds
PORES = (0.9, 2.0)  # of the grain's noise: where a pore begins and where it is deepest
# Lower lips against cheeks, medians of 102 studio photographs (Face Research Lab London Set, DeBruine & Jones 2017): L*
# −5, a* +12, b* −6 of 69 white people, −7, +9, −9 of 9 East Asians, +12 (it is moist there), +5, −9 of 13 black people;
# upper lips are 7 to 10 L* darker. Blood gives a*; that b* falls the tables of skin don't know: it is a gain of blue.
LIP_BLUE = (1.15, 0.02)  # gain of blue on lips, and what melanin squared adds: with all of it they look made up
UPPER_LIP, LIPS_MEET = (
    (0.07, -0.09),
    (-44.5, -41.5),
)  # melanin and shade that the upper lip has more; mm of height between
LIP_LINES = 2.1  # mm from one line across the lips to the next
LIP_DEPTH = 0.11  # mm
VASCULAR = (0.55, 1.5)  # how much a person's blood differs from region to region and from blotch to blotch
BLOTCHES = 0.017  # haemoglobin, of either scale of blotches
FLECKS = 0.7  # of small vessels, 3 mm wide, beside a blotch
EVEN = 0.8  # melanin that blotches lack where they have blood: in photographs lighter spots are hardly less red
BEARD_TINT = (0.13, 0.095, 0.06)  # share of red, green and blue that shaved hair under a man's skin takes


def bare_skin(maps: SurfaceMaps, box: Box, skin: Skin | Crowd, facial: bool) -> Layer:
    """Skin without hair on the rows and columns `box`; with marks where `facial`."""
    generator = skin.generator("skin/complexion")
    broad, patch, mottle = (mixed_noise(maps, scale, box, generator) for scale in ("broad", "patch", "mottle"))
    redness, flecks = (mixed_noise(maps, scale, box, generator) for scale in ("patch", "mottle"))
    grain = chosen_noise(maps, "grain", box, generator)
    spots = mixed_noise(maps, "blotch", box, generator)
    vascular = generator.uniform(*VASCULAR)
    flush, shine, sallow, ruddy = (maps.masks[name][box] for name in ("flush", "shine", "sallow", "ruddy"))
    age = skin.age_marks
    add_(spots, redness, 1.0)
    add_(spots, flecks, FLECKS)

    def add_within(name: str, plane: Plane, weight: Number, noise: Plane = None) -> None:
        """Add a mask, or its product with a noise, where the mask is."""
        inside = maps.bounds_of(name, box)
        mask = maps.masks[name][box][inside]
        add_(plane[(..., *inside)], mask if noise is None else mask * noise[(..., *inside)], weight)

    # Sums of weighted planes, in place: a pass over the texture costs more than the arithmetic.
    melanin = full(broad, skin.melanin)
    haemoglobin = full(broad, skin.haemoglobin)
    uneven = (0.6 + 0.8 * age) * (1 - 0.6 * skin.melanin)  # a step of melanin darkens dark skin more
    add_(melanin, broad, 0.012 * uneven)
    add_(melanin, patch, 0.015 * uneven)
    add_(melanin, mottle, 0.010 * uneven)
    add_within("socket", melanin, 0.02 + 0.07 * skin.undereye)
    add_(melanin, sallow, 0.015)
    add_(melanin, flush, -0.02)
    add_(haemoglobin, flush, vascular * (0.04 + 0.14 * skin.flush))
    add_(haemoglobin, ruddy, vascular * (0.08 + 0.12 * skin.flush))
    add_(haemoglobin, sallow, -0.06 * vascular)
    add_(haemoglobin, spots, (BLOTCHES + 0.008 * age) * vascular)
    add_(haemoglobin, spots * flush, (0.8 * BLOTCHES + 0.012 * age) * vascular)  # small vessels of the cheeks
    add_(melanin, spots, -EVEN * BLOTCHES * (1 - skin.melanin) * (1 - skin.melanin))
    add_(haemoglobin, broad, -0.018)
    add_within("socket", haemoglobin, 0.02 + 0.06 * skin.undereye)
    add_within("corner", haemoglobin, 0.35)
    add_within("margin", haemoglobin, 0.22)
    add_(haemoglobin, maps.cavity[box], 0.12)
    lip_melanin, lip_blood, lip_shade = _lips(skin)
    mouth = maps.bounds_of("lips", box)
    lips = maps.masks["lips"][box][mouth]
    upper = lips * smoothstep(maps.y[box][mouth], *LIPS_MEET)
    add_(melanin[(..., *mouth)], upper, UPPER_LIP[0] * (0.6 + 1.2 * skin.melanin))
    add_within("lips", melanin, lip_melanin)
    add_within("lips", haemoglobin, lip_blood)
    add_within("lips", haemoglobin, 0.04, flecks)
    add_within("seam", haemoglobin, SEAM_BLOOD)
    blemishes = lay_blemishes(maps, box, skin) if facial else None
    if blemishes is not None:
        melanin[(..., *blemishes.inside)] += (0.32 - 0.14 * skin.melanin) * blemishes.dark
        haemoglobin[(..., *blemishes.inside)] += 0.30 * blemishes.red
    albedo = skin_planes(melanin, haemoglobin, skin)

    pores = smoothstep(grain, *PORES)
    pores *= maps.masks["pored"][box]
    pores[(..., *mouth)] *= 1 - lips
    furrows = _lip_lines(maps, box, patch[(..., *mouth)])
    shade = ones(grain)
    add_(shade, pores, -PORE_SHADE)
    add_(shade, grain, 0.012)
    add_(shade[(..., *mouth)], furrows, -0.10)
    add_within("seam", shade, SEAM_SHADE)
    add_within("lips", shade, lip_shade)
    add_(shade[(..., *mouth)], upper, UPPER_LIP[1])
    layer = Layer(maps, box, albedo, ones(shade), full(shade, SKIN_ROUGHNESS))
    layer.multiply(shade)
    layer.albedo[2][(..., *mouth)] *= 1 + (_lip_blue(skin) - 1) * lips
    men = skin.sex > 0.5
    if isinstance(skin, Crowd) or men:
        shaved = layer.within("beard")
        for plane, share in zip(shaved.albedo, BEARD_TINT, strict=True):
            plane *= 1 - men * (0.35 + 0.65 * skin.stubble) * share * shaved.mask("tinted")

    add_(layer.height, grain, GRAIN * (1 + OLD_GRAIN * age))
    add_(layer.height, mottle, UNDULATION * (1 + 0.5 * age))
    creased = clip((age - CREPE_ONSET) / (1 - CREPE_ONSET), 0, 1)
    if isinstance(skin, Crowd) or creased > 0:
        add_(layer.height, minimum(abs(mottle), CREPE_WIDTH), CREPE / CREPE_WIDTH * creased)
    rings = NECK_RINGS[0] + NECK_RINGS[1] * age
    add_within("neck_ring", layer.height, -rings)
    add_within("neck_ring", layer.height, -0.4 * rings, redness)
    add_(layer.height, pores, -PORE_DEPTH)
    add_(layer.height[(..., *mouth)], furrows, -LIP_DEPTH * (1 + 0.5 * age))
    if blemishes is not None:
        layer.height[(..., *blemishes.inside)] += blemishes.height
    add_(layer.roughness, shine, -(SKIN_ROUGHNESS - SHINE_ROUGHNESS) * (0.3 + 0.7 * skin.oiliness))
    add_(layer.roughness, flecks, 0.02)
    add_(layer.roughness, sallow, 0.03)
    add_(layer.specular, shine, 0.25 * skin.oiliness)
    add_(layer.specular, mottle, 0.06)
    add_(layer.specular, pores, -0.35)
    add_(layer.specular, maps.cavity[box], -0.8)
    add_within("lips", layer.specular, 0.10 + 0.32 * skin.lip_gloss)
    add_within("lips", layer.roughness, -(SKIN_ROUGHNESS - LIP_ROUGHNESS) - 0.06 * skin.lip_gloss)
    # Between the lips normals turn away from the eye, where Fresnel's law makes a mirror: nothing shines in there.
    for name in ("mouth_corner", "seam"):
        dull = layer.within(name)
        dull.specular *= 1 - 0.95 * dull.mask(name)
    maximum_(layer.specular, 0.1)
    return layer


def _lip_lines(maps: SurfaceMaps, box: Box, noise: Plane) -> Plane:
    """Grooves 0–1 that run down the lips, fanning out and uneven, on their bounds; `noise` is of these too."""
    inside = maps.bounds_of("lips", box)
    phase = maps.x[box][inside] * (2 * np.pi / LIP_LINES) + 1.6 * noise
    waves = cos(phase)
    waves += 0.6 * cos(phase * 1.63 + 1.1)
    return smoothstep(waves, 0.2, 1.5) * maps.masks["lips"][box][inside]


def _lips(skin: Skin | Crowd) -> tuple[Number, Number, Number]:
    """What lips add to melanin, haemoglobin and shade: thin skin over blood that melanin hides; hair shades them."""
    seen = 1 - 0.75 * skin.melanin
    under = minimum(1.0, 1.6 * skin.beard)
    return -0.06 * skin.melanin, (0.28 + 0.42 * skin.lip_tint) * seen * (1 - 0.2 * under), -0.09 - 0.12 * under


def _lip_blue(skin: Skin | Crowd) -> Number:
    return LIP_BLUE[0] + LIP_BLUE[1] * skin.melanin * skin.melanin


def lip_edge_colour(skin: Skin | Crowd) -> list[Number]:
    """Linear albedo where the lips turn into the mouth."""
    melanin, blood, shade = _lips(skin)
    pigment, red = skin.melanin + melanin, skin.haemoglobin + blood + SEAM_BLOOD
    if not isinstance(skin, Crowd):
        pigment, red = (np.full((1, 1), share, np.float32) for share in (pigment, red))
        planes: list[Number] = [float(plane[0, 0]) for plane in skin_planes(pigment, red, skin)]
    else:
        planes = skin_planes(pigment, red, skin)
    light = 1 + shade + SEAM_SHADE
    return [planes[0] * light, planes[1] * light, planes[2] * light * _lip_blue(skin)]
