"""Knows what a panorama of radiance says about light: a key, nine harmonics of the rest, mirrors of it by roughness.

A panorama is [h, w, 3], linear and equirectangular: rows from the zenith down, columns from the subject's own front
round its back, so that the middle column lies behind the head and is what a camera before the face sees there, the
right way round. With the azimuth of `pain3d.light.direction` (0 before the face, positive to the subject's left) the
middle of column j has the azimuth 360° · (1 - (j + 0.5) / w).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pain3d.colour import LUMINANCE
from pain3d.kernels.shading import sh_basis
from pain3d.kernels.shading.reference import A0, A1, A2, Y2, Y20, Y22

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

STRIP_ELEVATION = (
    36.0  # degrees: a camera 13.5° up or down with a lens of 35 mm (±19°) sees no farther, nor rolled 4.8°
)
STRIP_WIDTH = 1024  # columns: 0.35°, a third of the blur of the sharpest background
LUMPS = (64, 128)  # rows and columns in which a source of light is looked for: 2.8°
MIRRORS = ((32, 64), (32, 64), (16, 32), (8, 16), (4, 8))  # rows and columns of the mirrors, and their roughness
ROUGHNESSES = (0.1, 0.25, 0.45, 0.7, 1.0)
KEY_REACH = np.radians(20.0)  # of one source around its middle: a window two metres wide, three metres away
KEY_RING = np.radians(32.0)  # between the two angles lies what the source stands out from
SEARCH = np.radians(10.0)
DARKEST = 0.04  # of the mean irradiance: what the harmonics may leave a surface that turns away
FULL = 4 * np.pi
CLAMPED_COSINE = np.array([A0] + [A1] * 3 + [A2] * 5)


@dataclass(frozen=True, eq=False)  # each is itself, and so can be looked up by
class Environment:
    """A place, in units of its mean luminance, turned as its panorama is.

    Attributes:
        name: What it is called.
        strip: [h, w, 3] what lies within `STRIP_ELEVATION` of the horizon, for what is seen behind the head.
        mirrors: Panoramas of `MIRRORS` sizes as surfaces of `ROUGHNESSES` mirror them, the key's source in them.
        sh: [9, 3] radiance without the key, see `pain3d.light.Light`.
        key_direction: [3] unit vector to the middle of the brightest source.
        key_colour: [3] its irradiance on a surface that faces it.
        key_radius: Of a disc that is as wide, radians.
    """

    name: str
    strip: Floats
    mirrors: tuple[Floats, ...]
    sh: Doubles
    key_direction: Doubles
    key_colour: Doubles
    key_radius: float

    @property
    def key_degrees(self) -> float:
        """Degrees under which the brightest source is seen."""
        return math.degrees(2 * self.key_radius)


def directions(rows: int, columns: int) -> Doubles:
    """Unit vectors [h, w, 3] to the middles of a panorama's texels."""
    polar = np.pi * (np.arange(rows) + 0.5) / rows
    azimuth = 2 * np.pi * (1 - (np.arange(columns) + 0.5) / columns)
    level, up = np.sin(polar)[:, None], np.cos(polar)[:, None]
    return np.stack([level * np.sin(azimuth), up + 0 * azimuth, level * np.cos(azimuth)], -1)


def solid_angles(rows: int, columns: int) -> Doubles:
    """Steradians [h, 1] of a texel of each row; over the whole panorama 4 π."""
    edges = np.cos(np.pi * np.arange(rows + 1) / rows)
    return np.asarray(((edges[:-1] - edges[1:]) * 2 * np.pi / columns)[:, None])


def analyse(name: str, panorama: Floats) -> Environment:
    """What a panorama says about light.

    The key is what stands out of its surroundings within `KEY_REACH` of the brightest place. It is taken out of the
    panorama before the rest is projected on harmonics, which are then smoothed no more than it takes to leave no
    surface darker than `DARKEST` (Sloan 2008, "Stupid Spherical Harmonics Tricks", windowing): a window in a dark room
    would ring negative on the far side.

    Args:
        name: Of the place.
        panorama: [h, w, 3] linear radiance in any unit, finite, at least 16 × 32, see this file's head.

    Raises:
        ValueError: A panorama of another shape, or wholly dark.
    """
    if panorama.ndim != 3 or panorama.shape[2] != 3 or panorama.shape[0] < 16 or panorama.shape[1] < 32:
        raise ValueError(f"a panorama must be [h, w, 3], at least 16 x 32, got {list(panorama.shape)}")
    radiance = np.maximum(panorama.astype(np.float64), 0)
    lumps = resized(radiance, *LUMPS)
    shares = solid_angles(*LUMPS) / FULL
    mean = float(((lumps @ LUMINANCE) * shares).sum())
    if not mean > 0:
        raise ValueError("a panorama must have light in it")
    lumps /= mean
    towards, colour, radius, rest = _taken_out(lumps)
    basis = sh_basis(torch.from_numpy(directions(*LUMPS))).numpy()
    sh = np.einsum("hwl,hwc,hk->lc", basis, rest, shares * FULL)
    sharp = resized(radiance / mean, *MIRRORS[0])
    return Environment(
        name=name,
        strip=_strip(radiance / mean),
        mirrors=tuple(_mirrored(sharp, size, rough) for size, rough in zip(MIRRORS, ROUGHNESSES, strict=True)),
        sh=_smoothed(sh),
        key_direction=towards,
        key_colour=colour,
        key_radius=radius,
    )


def turned(sh: Doubles, yaw_degrees: float) -> Doubles:
    """Harmonics [9, C] of radiance that is turned about the vertical, towards the subject's left.

    Degree 1 is a vector; degree 2 is dᵀ M d with M symmetric and without trace, which turns to R M Rᵀ.
    """
    yaw = np.radians(yaw_degrees)
    turn = np.array([[np.cos(yaw), 0.0, np.sin(yaw)], [0.0, 1.0, 0.0], [-np.sin(yaw), 0.0, np.cos(yaw)]])
    y, z, x = sh[1:4]
    x, y, z = np.einsum("ij,jc->ic", turn, np.stack([x, y, z]))
    xy, yz, zz, xz, xx_yy = sh[4] * Y2 / 2, sh[5] * Y2 / 2, sh[6] * Y20, sh[7] * Y2 / 2, sh[8] * Y22
    form = np.stack([np.stack([xx_yy - zz, xy, xz]), np.stack([xy, -xx_yy - zz, yz]), np.stack([xz, yz, 2 * zz])])
    m = np.einsum("ij,jkc,lk->ilc", turn, form, turn)
    second = [
        2 * m[0, 1] / Y2,
        2 * m[1, 2] / Y2,
        m[2, 2] / (2 * Y20),
        2 * m[0, 2] / Y2,
        (m[0, 0] - m[1, 1]) / (2 * Y22),
    ]
    return np.stack([sh[0], y, z, x, *second])


def resized(panorama: Doubles, rows: int, columns: int) -> Doubles:
    """A panorama [h, w, 3] at another size, each texel the mean of what it covers."""
    return np.moveaxis(_shares(panorama.shape[0], rows) @ _across(panorama, columns), 0, -1)


def _across(panorama: Doubles, columns: int) -> Doubles:
    """The columns of a panorama or a strip resized; [h, w, 3] to [3, h, columns] with its rows in the middle axis."""
    return np.moveaxis(panorama, -1, 0) @ _shares(panorama.shape[1], columns).T


def _shares(given: int, wanted: int) -> Doubles:
    """Weights [wanted, given] of means over even stretches; each row sums to 1."""
    edges = np.arange(wanted + 1) * given / wanted
    places = np.arange(given)
    covered = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
    return np.asarray(np.clip(covered, 0, None) * wanted / given)


def _taken_out(lumps: Doubles) -> tuple[Doubles, Doubles, float, Doubles]:
    """Direction, irradiance and radius of the brightest source, and the panorama [h, w, 3] without it."""
    towards, angles = directions(*LUMPS), np.broadcast_to(solid_angles(*LUMPS), LUMPS)
    light = (lumps @ LUMINANCE) * angles
    coarse = light.reshape(LUMPS[0] // 2, 2, LUMPS[1] // 2, 2).sum((1, 3)).ravel()
    places = directions(LUMPS[0] // 2, LUMPS[1] // 2).reshape(-1, 3)
    near = np.einsum("pk,qk->pq", places, places) > np.cos(SEARCH)
    middle = places[int(np.argmax(np.einsum("pq,q->p", near, coarse)))]
    for _ in range(3):  # the source's own middle is not where the search began
        angle = np.arccos(np.clip(towards @ middle, -1, 1))
        ring = (angle >= KEY_REACH) & (angle < KEY_RING)
        inside = angle < KEY_REACH
        around = np.median(lumps[ring], axis=0)
        over = np.maximum(lumps - around, 0) * inside[..., None]
        weight = (over @ LUMINANCE) * angles
        if weight.sum() > 0:
            middle = np.einsum("hw,hwk->k", weight, towards)
            middle /= np.linalg.norm(middle)
    angle = np.arccos(np.clip(towards @ middle, -1, 1))
    colour = np.einsum("hwc,hw,hw->c", over, angles, np.cos(angle))
    # A disc of radius R has a mean square distance of R² / 2 from its middle.
    radius = float(np.sqrt(2 * (weight * angle**2).sum() / weight.sum())) if weight.sum() > 0 else float(KEY_REACH)
    return middle, colour, radius, lumps - over


def _smoothed(sh: Doubles) -> Doubles:
    """Harmonics with the weakest window 1 / (1 + λ l² (l + 1)²) that keeps irradiance above `DARKEST` of its mean."""
    basis = sh_basis(torch.from_numpy(directions(16, 32).reshape(-1, 3))).numpy() * CLAMPED_COSINE
    degree = np.array([0] + [1] * 3 + [2] * 5)
    hump = (degree * (degree + 1.0)) ** 2

    def windowed(strength: float) -> Doubles:
        return np.asarray(sh / (1 + strength * hump)[:, None])

    def dark(strength: float) -> bool:
        irradiance = np.einsum("pl,lc,c->p", basis, windowed(strength), LUMINANCE)
        return bool(irradiance.min() < DARKEST * irradiance.mean())

    least, most = 0.0, 1.0
    if not dark(least):
        return sh
    for _ in range(20):  # to a millionth
        middle = (least + most) / 2
        least, most = (middle, most) if dark(middle) else (least, middle)
    return windowed(most)


def _strip(radiance: Doubles) -> Floats:
    """What lies near the horizon, with square texels."""
    rows, columns = radiance.shape[0], min(radiance.shape[1], STRIP_WIDTH)
    first = int(np.floor(rows * (0.5 - STRIP_ELEVATION / 180)))
    band = radiance[first : rows - first]
    # As many rows as make the band exact: what is cut off is whole rows of what was given.
    high = max(round(band.shape[0] / rows * columns / 2), 1)
    small = np.moveaxis(_shares(band.shape[0], high) @ _across(band, columns), 0, -1)
    return np.ascontiguousarray(small, np.float32)


def _mirrored(sharp: Doubles, size: tuple[int, int], roughness: float) -> Floats:
    """What surfaces of a roughness mirror in each direction [h, w, 3]: the lobe of GGX seen along its own normal.

    With n = v = r (Karis 2013, "Real Shading in Unreal Engine 4") light from an angle θ off the mirrored direction
    counts D(cos θ/2) · max(cos θ, 0).
    """
    rows, columns = sharp.shape[:2]
    sources, angles = directions(rows, columns), solid_angles(rows, columns)
    squared = roughness**4  # α = r², and D has α²
    made = np.empty((*size, 3))
    for row, towards in enumerate(directions(*size)):
        cosine = np.clip(np.einsum("jk,hwk->jhw", towards, sources), -1, 1)
        half = (1 + cosine) / 2  # cos² θ/2
        lobe = np.maximum(cosine, 0) / (half * (squared - 1) + 1) ** 2 * angles
        made[row] = np.einsum("jhw,hwc->jc", lobe, sharp) / lobe.sum((1, 2))[:, None]
    return made.astype(np.float32)
