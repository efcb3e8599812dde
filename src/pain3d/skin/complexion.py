"""Knows bare skin: its pigment and blood region by region, its gloss, and the fine relief of pores, grain and lips."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin
from pain3d.skin.blemishes import draw_blemishes
from pain3d.skin.chromophores import skin_albedo
from pain3d.skin.layer import Layer, mixed_noise
from pain3d.skin.maps import Box, SurfaceMaps
from pain3d.skin.masks import smoothstep

Floats = npt.NDArray[np.float32]

SKIN_ROUGHNESS, SHINE_ROUGHNESS, LIP_ROUGHNESS = 0.55, 0.38, 0.38
SEAM_BLOOD, SEAM_SHADE = 0.15, -0.42  # added where the lips meet
GRAIN = 0.016  # mm, standard deviation of the finest relief that a texel holds; twice that in old skin
UNDULATION = 0.020  # mm, of the relief 3 mm wide
PORE_DEPTH = 0.05  # mm
PORES = (0.9, 2.0)  # of the grain's noise: where a pore begins and where it is deepest
LIP_LINES = 2.1  # mm from one line across the lips to the next
LIP_DEPTH = 0.11  # mm
BEARD_TINT = (0.13, 0.095, 0.06)  # share of red, green and blue that shaved hair under a man's skin takes


def bare_skin(maps: SurfaceMaps, box: Box, skin: Skin, facial: bool) -> Layer:
    """Skin without hair on the rows and columns `box`; with marks where `facial`."""
    generator = keyed_generator(skin.seed, "skin/complexion", skin.identity)
    broad, patch, mottle = (mixed_noise(maps, scale, box, generator) for scale in ("broad", "patch", "mottle"))
    redness, flecks = (mixed_noise(maps, scale, box, generator) for scale in ("patch", "mottle"))
    grain = maps.noise["grain"][int(generator.integers(len(maps.noise["grain"])))][box]
    flush, socket, lips, shine, sallow, ruddy = (
        maps.masks[name][box] for name in ("flush", "socket", "lips", "shine", "sallow", "ruddy")
    )
    age = skin.age_marks

    # Sums of weighted planes, in place: a pass over the texture costs more than the arithmetic.
    melanin = np.full(broad.shape, np.float32(skin.melanin), np.float32)
    haemoglobin = np.full(broad.shape, np.float32(skin.haemoglobin), np.float32)
    uneven = (0.6 + 0.8 * age) * (1 - 0.6 * skin.melanin)  # a step of melanin darkens dark skin more
    _add(melanin, broad, 0.012 * uneven)
    _add(melanin, patch, 0.015 * uneven)
    _add(melanin, mottle, 0.010 * uneven)
    _add(melanin, socket, 0.02 + 0.07 * skin.undereye)
    _add(melanin, sallow, 0.015)
    _add(melanin, flush, -0.02)
    _add(haemoglobin, flush, 0.04 + 0.14 * skin.flush)
    _add(haemoglobin, ruddy, 0.06 + 0.10 * skin.flush)
    _add(haemoglobin, sallow, -0.04)
    _add(haemoglobin, redness, 0.030 + 0.025 * age)
    _add(haemoglobin, flecks, 0.016 + 0.012 * age)
    _add(haemoglobin, flecks * flush, 0.025 + 0.05 * age)  # small vessels of the cheeks
    _add(haemoglobin, broad, -0.018)
    _add(haemoglobin, socket, 0.05 + 0.08 * skin.undereye)
    _add(haemoglobin, maps.masks["corner"][box], 0.35)
    _add(haemoglobin, maps.masks["margin"][box], 0.22)
    _add(haemoglobin, maps.cavity[box], 0.12)
    lip_melanin, lip_blood, lip_shade = _lips(skin)
    _add(melanin, lips, lip_melanin)
    _add(haemoglobin, lips, lip_blood)
    _add(haemoglobin, lips * flecks, 0.04)
    _add(haemoglobin, maps.masks["seam"][box], SEAM_BLOOD)
    blemishes = draw_blemishes(maps, box, skin) if facial else None
    if blemishes is not None:
        melanin[blemishes.inside] += np.float32(0.32 - 0.14 * skin.melanin) * blemishes.dark
        haemoglobin[blemishes.inside] += np.float32(0.30) * blemishes.red
    albedo = [np.asarray(plane, np.float32) for plane in cv2.split(skin_albedo(melanin, haemoglobin, skin.carotene))]

    pores = smoothstep(grain, *PORES)
    pores *= np.float32(0.25) + np.float32(0.75) * np.maximum(shine, np.float32(0.8) * flush)
    pores *= 1 - lips
    furrows = _lip_lines(maps, box, patch)
    shade = np.ones_like(grain)
    _add(shade, pores, -0.10)
    _add(shade, grain, 0.012)
    _add(shade, furrows, -0.10)
    _add(shade, maps.masks["seam"][box], SEAM_SHADE)
    _add(shade, lips, lip_shade)
    layer = Layer(maps, box, albedo, np.ones_like(shade), np.full_like(shade, SKIN_ROUGHNESS))
    layer.multiply(shade)
    if skin.sex > 0.5:
        beard = smoothstep(maps.masks["beard"][box], -4.0, 9.0) * (1 - lips)
        for plane, share in zip(layer.albedo, BEARD_TINT, strict=True):
            plane *= 1 - np.float32((0.35 + 0.65 * skin.stubble) * share) * beard

    _add(layer.height, grain, GRAIN * (1 + age))
    _add(layer.height, mottle, UNDULATION * (1 + 0.8 * age))
    _add(layer.height, pores, -PORE_DEPTH)
    _add(layer.height, furrows, -LIP_DEPTH * (1 + 0.5 * age))
    if blemishes is not None:
        layer.height[blemishes.inside] += blemishes.height
    _add(layer.roughness, shine, -(SKIN_ROUGHNESS - SHINE_ROUGHNESS) * (0.3 + 0.7 * skin.oiliness))
    _add(layer.roughness, flecks, 0.02)
    _add(layer.roughness, sallow, 0.03)
    _add(layer.specular, shine, 0.25 * skin.oiliness)
    _add(layer.specular, mottle, 0.06)
    _add(layer.specular, pores, -0.35)
    _add(layer.specular, maps.cavity[box], -0.8)
    _add(layer.specular, lips, 0.15 + 0.35 * skin.lip_gloss)
    _add(layer.roughness, lips, -(SKIN_ROUGHNESS - LIP_ROUGHNESS) - 0.06 * skin.lip_gloss)
    # Between the lips normals turn away from the eye, where Fresnel's law makes a mirror: nothing shines in there.
    for dull in ("mouth_corner", "seam"):
        layer.specular *= 1 - np.float32(0.95) * maps.masks[dull][box]
    np.maximum(layer.specular, np.float32(0.1), out=layer.specular)
    return layer


def _lip_lines(maps: SurfaceMaps, box: Box, noise: Floats) -> Floats:
    """Grooves 0–1 [h, w] that run down the lips, fanning out and uneven; 0 elsewhere."""
    lips = maps.masks["lips"][box]
    grooves = np.zeros_like(lips)
    rows, columns = np.flatnonzero(lips.any(1)), np.flatnonzero(lips.any(0))
    if len(rows) == 0:
        return grooves
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    phase = maps.x[box][inside] * np.float32(2 * np.pi / LIP_LINES) + np.float32(1.6) * noise[inside]
    waves = np.cos(phase)
    waves += np.float32(0.6) * np.cos(phase * np.float32(1.63) + np.float32(1.1))
    grooves[inside] = smoothstep(waves, 0.2, 1.5) * lips[inside]
    return grooves


def _lips(skin: Skin) -> tuple[float, float, float]:
    """What lips add to melanin, haemoglobin and shade: thin skin over much blood."""
    return 0.02 - 0.05 * skin.melanin, 0.22 + 0.32 * skin.lip_tint, -0.10 - 0.08 * skin.melanin


def lip_edge_colour(skin: Skin) -> list[float]:
    """Linear albedo where the lips turn into the mouth."""
    melanin, blood, shade = _lips(skin)
    shares = skin.melanin + melanin, skin.haemoglobin + blood + SEAM_BLOOD
    pigment, red = (np.full((1, 1), share, np.float32) for share in shares)
    albedo = skin_albedo(pigment, red, skin.carotene)[0, 0]
    return [float(c * (1 + shade + SEAM_SHADE)) for c in albedo]


def _add(plane: Floats, mask: Floats, weight: float) -> None:
    cv2.scaleAdd(mask, float(weight), plane, dst=plane)
