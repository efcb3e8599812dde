"""Knows what the small model sees of a texture: 128² texels in sRGB, folded 4 × 4, and six numbers about the person."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle, pixel_unshuffle

from pain3d.colour import linear_to_srgb, srgb_to_linear, typology_angle
from pain3d.pipeline.texture.completion import regions_of
from pain3d.skin.maps import Floats, SurfaceMaps
from pain3d.skin.photographed import photographable

SIDE = 128  # texels: one is 3.2 mm of a face
FOLD = 4  # texels a side that are one cell of the grid that is convolved: 32²
NUMBERS = 6  # that describe a person
WORN = 0.5  # share of hair and cloth from which on a texel is theirs
FACE = 40.0  # mm of z from which on skin is the face's
FACE_LOW = -85.0  # mm of y: above the throat
OLD, DARK = 55.0, 60.0  # years beyond 40, degrees of ITA: they bring the numbers to about −1 to 1


def reduced(albedo: Tensor) -> Tensor:
    """The texture [S, S, 3] linear as [3, 128, 128] sRGB in −1 to 1: means of linear light, then encoded."""
    small = cv2.resize(albedo.numpy(), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return coded(np.asarray(small, np.float32))


def coded(linear: Floats) -> Tensor:
    """Linear colours [128, 128, 3] as [3, 128, 128] sRGB in −1 to 1."""
    return torch.from_numpy(2 * linear_to_srgb(linear).astype(np.float32).transpose(2, 0, 1) - 1)


def dressed(base: Tensor, maps: SurfaceMaps) -> Tensor:
    """Where [1, 128, 128] a painted person [S, S, 16] has hair or cloth on skin's and neck's charts: 1, elsewhere 0."""
    bare = regions_of(base, maps)[0]
    return torch.from_numpy(
        cv2.resize((1 - bare) * photographable(maps), (SIDE, SIDE), interpolation=cv2.INTER_AREA) > WORN
    )[None].float()


def linear_of(code: Tensor) -> Floats:
    """Inverse of `coded`, [3, 128, 128] to [128, 128, 3] linear."""
    return np.asarray(srgb_to_linear((code.permute(1, 2, 0).numpy().clip(-1, 1) + 1) / 2), np.float32)


def fold(planes: Tensor) -> Tensor:
    """[B, C, 128, 128] to [B, 16 C, 32, 32]."""
    return pixel_unshuffle(planes, FOLD)


def unfold(cells: Tensor) -> Tensor:
    """Inverse of `fold`."""
    return pixel_shuffle(cells, FOLD)


def tone_of(texture: Tensor, maps: SurfaceMaps, seen: Tensor | None = None) -> float:
    """Individual typology angle of the mean albedo of a face's bare skin, degrees.

    Args:
        texture: [S, S, 16] a painted person, whose first channels may be another's.
        maps: Of the head.
        seen: [S, S] bool, what of it counts; None is all. Where it holds no bare skin of the face, all counts.
    """
    face = regions_of(texture, maps)[0] * photographable(maps) * maps.covered * (maps.z > FACE) * (maps.y > FACE_LOW)
    share = face if seen is None else face * seen.numpy()
    if share.sum() < 1:
        share = face
    mean = (np.where(share[..., None] > 0, texture[..., :3].numpy(), 0) * share[..., None]).sum((0, 1)) / share.sum()
    return float(typology_angle(mean))


def numbers_of(age: float, sex: float, ancestry: tuple[float, float, float], tone: float) -> Tensor:
    """What is told of a person, [6] at about −1 to 1: years, female to male, three shares, degrees of ITA."""
    return torch.tensor([(age - 40) / OLD, 2 * sex - 1, *(2 * share - 1 for share in ancestry), tone / DARK])


def push_pull(planes: Tensor, weight: Tensor) -> Tensor:
    """Spread planes [B, C, S, S] from where weight [B, 1, S, S] is 1 to where it is 0; 0 where nothing is known at all.

    Means of ever larger squares, and back (Gortler et al. 1996, section 3.4); S is a power of two.
    """
    known, sums = [weight], [torch.where(weight > 0, planes, 0) * weight]
    while known[-1].shape[-1] > 1:
        known.append(avg_pool2d(known[-1], 2))
        sums.append(avg_pool2d(sums[-1], 2))
    filled = sums[-1] / known[-1].clamp_min(1e-8)
    for some, total in zip(known[-2::-1], sums[-2::-1], strict=True):
        coarse = interpolate(filled, scale_factor=2, mode="bilinear")
        filled = coarse + (some > 0) * (total / some.clamp_min(1e-8) - coarse)
    return filled
