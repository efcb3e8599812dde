"""Knows how an open lens and a hand that shakes blur a picture: sums of light over discs and strokes.

Picture by picture, and tap by tap in one order: no bit depends on what else is taken.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pain3d.optics import Optics, confusion, focal_length
from pain3d.setting import FRAME_MM

# Metres from the eyes within which a head and its shoulders lie, before them and behind; and how far the eyes at most
# are before the middle of the head: what bounds the discs before anything is rendered.
BEFORE, BEHIND, EYES_BEFORE = 0.10, 0.35, 0.12
SHARP = 0.5  # pixels of radius: a disc that is no larger than the pixel it comes from
STEP = 0.015  # metres: what is farther behind is another thing, not the same that turns away
MOST = 32.0  # and the largest that is drawn: those of a head are smaller in pictures of 2048² and less


def largest_disc(optics: Optics, fov_degrees: float, distance: float, size: int) -> float:
    """Pixels of radius that no disc of a head exceeds, `MOST` at most; 0 where none is larger than a pixel.

    Args:
        optics: Of the picture.
        fov_degrees: Vertical.
        distance: Of the middle of the head, metres along the view axis.
        size: Pixels of the picture's height.
    """
    if not optics.f_number:
        return 0.0
    focal, focus = focal_length(fov_degrees), max(distance - EYES_BEFORE, 2 * BEFORE)
    ends = (confusion(focal, optics.f_number, focus, focus + far) for far in (-BEFORE, BEHIND))
    radius = max(ends) / 2 * size
    return min(radius, MOST) if radius > SHARP else 0.0


def filled_depth(depth: Tensor) -> Tensor:
    """Depth [H, W] with that of what is near where there is none: what hair has that hangs beside the head.

    Means over ever larger squares, of the least that have any.
    """
    known = depth.isfinite()
    return _filled(torch.where(known, depth, 0.0)[None, None], known.to(depth)[None, None])[0, 0]


def _filled(values: Tensor, weight: Tensor) -> Tensor:
    height, width = values.shape[2:]
    if height == width == 1:
        return values
    padded = torch.nn.functional.pad(torch.cat([values * weight, weight]), (0, width % 2, 0, height % 2))
    pooled = torch.nn.functional.avg_pool2d(padded, 2)
    counted = pooled[1:]
    coarse = _filled(pooled[:1] / counted.clamp(min=1e-6), (counted > 0).to(values))
    finer = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")[:, :, :height, :width]
    return torch.where(weight > 0, values, finer)


def defocused(light: Tensor, depth: Tensor, focus: Tensor, optics: Optics, fov_degrees: float, disc: float) -> Tensor:
    """A head as a lens sees it that is focused on the eyes: each point a disc.

    A pixel is the mean of all whose discs reach it. What lies behind it spreads no farther than its own disc, so
    nothing soft runs over what is sharp; colour is multiplied by coverage, so the background leaves no rim.

    Args:
        light: [H, W, 4] linear, multiplied by the coverage that comes last.
        depth: [H, W] metres, of `filled_depth`.
        focus: Depth of the eyes, metres, a number.
        optics: Of the picture.
        fov_degrees: Vertical.
        disc: Pixels of the largest radius, of `largest_disc`.

    Returns:
        [H, W, 4].
    """
    height, width = depth.shape
    focal = focal_length(fov_degrees) * 1e-3
    scale = focal * focal / optics.f_number * 1e3 / FRAME_MM / 2 * height  # of `confusion`, to pixels of radius
    radius = (scale * (depth - focus).abs() / depth / (focus - focal)).clamp(0, disc)
    if radius.device.type == "cpu":  # taps beyond are 0; another device would be waited for
        disc = min(disc, float(radius.max()))
    reach = math.ceil(disc + 0.5)
    # Around the picture discs have no radius, so nothing comes from there.
    around = torch.nn.functional.pad(torch.cat([light.permute(2, 0, 1), depth[None], radius[None]]), (reach,) * 4)
    total, taken = torch.zeros_like(around[:4, :height, :width]), torch.zeros_like(depth)
    for down in range(-reach, reach + 1):
        for across in range(-reach, reach + 1):
            far = math.hypot(down, across)
            if far >= disc + 0.5:
                continue
            rows, columns = slice(reach + down, reach + down + height), slice(reach + across, reach + across + width)
            there = around[:, rows, columns]
            spread = torch.where(there[4] > depth + STEP, torch.minimum(there[5], radius), there[5]) + 0.5
            weight = (spread - far).clamp(0, 1) / (spread * spread)
            total += there[:4] * weight
            taken += weight
    return (total / taken).permute(1, 2, 0)


def disc_blurred(light: Tensor, radius: float) -> Tensor:
    """A picture [H, W, C] of which each point is a disc of so many pixels of radius; beyond the border it goes on."""
    if radius <= SHARP:
        return light
    reach = math.ceil(radius + 0.5)
    steps = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    weights = np.array([min(max(radius + 0.5 - math.hypot(*step), 0.0), 1.0) for step in steps])
    return summed(light, steps, weights / weights.sum())


def shaken(light: Tensor, optics: Optics) -> Tensor:
    """A picture [H, W, C] of linear light, smeared along a stroke whose middle stays; beyond the border it goes on."""
    length = optics.shake * light.shape[0]
    return summed(light, *_stroke(length, optics.shake_angle))


@lru_cache(maxsize=256)
def _stroke(
    length: float, degrees: float
) -> tuple[list[tuple[int, int]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Pixels (down, across) of a stroke and their shares: points close together, each spread over four pixels."""
    along = np.linspace(-0.5, 0.5, 8 * math.ceil(length) + 1) * length
    turn = math.radians(degrees)
    shares: dict[tuple[int, int], float] = {}
    for down, across in zip((-math.sin(turn) * along).tolist(), (math.cos(turn) * along).tolist(), strict=True):
        top, left = math.floor(down), math.floor(across)
        for y, near in ((top, 1 - down + top), (top + 1, down - top)):
            for x, beside in ((left, 1 - across + left), (left + 1, across - left)):
                if near * beside > 0:
                    shares[y, x] = shares.get((y, x), 0.0) + near * beside / len(along)
    return [*shares], np.array([*shares.values()])


def summed(
    light: Tensor, steps: list[tuple[int, int]], weights: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Tensor:
    """The sum of a picture [H, W, C] moved by each of so many steps (down, across), in their order."""
    height, width = light.shape[:2]
    reach = max(max(abs(y), abs(x)) for y, x in steps)
    around = torch.nn.functional.pad(light.permute(2, 0, 1)[None], (reach,) * 4, mode="replicate")[0]
    total = torch.zeros_like(around[:, :height, :width])
    for (down, across), weight in zip(steps, weights.tolist(), strict=True):
        if weight > 0:
            total += around[:, reach + down :, reach + across :][:, :height, :width] * weight
    return total.permute(1, 2, 0)
