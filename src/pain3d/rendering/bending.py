"""Knows how a lens that distorts takes a picture: a pinhole sees a little more, twice as fine, and is bent into place.

What is bent is light on its way to the sensor: blur and noise come after. Four pixels of the pinhole's make one,
weighted to its middle. The mean gradient of skin is then 5 to 8 % higher than in a picture that is not bent (one face
at 512², k1 of ±0.17 at 35 mm); with pixels as large as the picture's own it was 14 to 17 % lower. Places are whole
256ths of a pixel and sums of light whole numbers, so a picture has the same bytes alone or beside others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pain3d.colour import linear_to_srgb, srgb_to_linear
from pain3d.lens import straightening
from pain3d.rendering.view import View

FINER: Final = 2  # pixels of the pinhole's picture to one of the bent, each way
PLACES: Final = 256  # to a pixel of the pinhole's
LIGHT: Final = 2**15 - 1  # levels of linear light: by a weight of 16 bits it fits 31, and the darkest byte is ten


class Lens(NamedTuple):
    """How a lens bends what a pinhole sees.

    Attributes:
        k1: Coefficient, see `pain3d.lens`.
        half: How much of the plane z = 1 its picture would show to a side without distortion.
        pinhole: How much the pinhole sees, no less than `pinhole_reach`.
    """

    k1: float
    half: float
    pinhole: float


class Places(NamedTuple):
    """Where the P pixels of a bent picture look in that of a pinhole, both flat.

    Attributes:
        corners: [4, P] int32, the pixels around: above left and right, below left and right.
        weights: [4, P] int32, of each, in 65,536ths.
        nearest: [P] int32.
    """

    corners: Tensor
    weights: Tensor
    nearest: Tensor


def bend(seen: View, lenses: Sequence[Lens], size: int) -> View:
    """The pictures that N lenses take of what N pinholes see; nothing waits for the device.

    Image and alpha are bilinear, the image in linear light. So are attributes, over the pixels around that aren't 0, as
    background is, and where the nearest isn't. Depth and parts are those of the nearest pixel.

    Args:
        seen: N square pictures of pinholes, with image, alpha and attributes; depth and part_ids if they are wanted.
        lenses: N of them.
        size: Pixels a side of the bent pictures.

    Gradients: none.
    """
    shown = {name: pictures for name, pictures in vars(seen).items() if pictures is not None}
    bent: dict[str, dict[int, Tensor]] = {name: {} for name in shown}
    for lens in dict.fromkeys(lenses):  # with fixed cameras many pictures have one
        places = lookup(lens, size, shown["alpha"].shape[1], shown["alpha"].device)
        for number in (number for number, own in enumerate(lenses) if own == lens):
            for name, pictures in shown.items():
                taken = _taken(name, pictures[number].flatten(0, 1), places)
                bent[name][number] = taken.reshape(size, size, *taken.shape[1:])
    stacked = {name: torch.stack([own[number] for number in range(len(lenses))]) for name, own in bent.items()}
    return View(**{name: stacked.get(name) for name in vars(seen)})


def lookup(lens: Lens, size: int, seen: int, device: torch.device) -> Places:
    """Where the pixels of a bent picture of `size` a side look in a pinhole's of `seen`; see `bend`."""
    k1, half, pinhole = lens
    along = half * ((torch.arange(size, dtype=torch.float64, device=device) + 0.5) * (2 / size) - 1)
    quarter = along[size // 2 :] ** 2
    factor = straightening(k1 * (quarter[:, None] + quarter))  # that of all four quarters
    odd = size % 2
    factor = torch.cat([factor.flip(0), factor[odd:]])
    factor = torch.cat([factor.flip(1), factor[:, odd:]], 1)
    at = (factor * along / pinhole + 1) * (seen / 2) - 0.5  # column [H, W] in the pinhole's picture; row [W, H]
    whole = torch.floor(at * PLACES + 0.5).to(torch.int32)
    first = (whole // PLACES).clamp(0, seen - 2)
    share = (whole - first * PLACES).clamp(0, PLACES)
    nearest = first + (2 * share >= PLACES)
    left, right, top, bottom = PLACES - share, share, (PLACES - share).T, share.T
    corner = first + first.T * seen
    return Places(
        torch.stack([corner, corner + 1, corner + seen, corner + seen + 1]).flatten(1),
        torch.stack([top * left, top * right, bottom * left, bottom * right]).flatten(1),
        (nearest + nearest.T * seen).flatten(),
    )


def _taken(name: str, picture: Tensor, places: Places) -> Tensor:
    """One bent picture [P, ...] of one that a pinhole saw [S, ...]."""
    if name in ("depth", "part_ids"):
        return picture.index_select(0, places.nearest)
    if name == "alpha":
        return _mean(picture.to(torch.int32), places).to(torch.uint8)
    planes = picture.T.contiguous()
    if name == "image":
        light, encoded = _light(picture.device)
        means = [_mean(light.index_select(0, plane.to(torch.int32)), places) for plane in planes]
        return torch.stack([encoded.index_select(0, mean) for mean in means], 1)
    return torch.stack([_mean_of_shown(plane, places) for plane in planes], 1)


def _mean(levels: Tensor, places: Places) -> Tensor:
    """Weighted means [P] of whole numbers [S], rounded half up."""
    sums = torch.full_like(places.nearest, PLACES**2 // 2)
    for corner, weight in zip(places.corners, places.weights, strict=True):
        sums += levels.index_select(0, corner) * weight
    return sums >> 16


def _mean_of_shown(values: Tensor, places: Places) -> Tensor:
    """Weighted means [P] of those of the floats [S] around that aren't 0; 0 where the nearest is."""
    sums, weights = torch.zeros_like(places.nearest, dtype=values.dtype), torch.zeros_like(places.nearest)
    for corner, weight in zip(places.corners, places.weights, strict=True):
        around = values.index_select(0, corner)
        sums += around * weight
        weights += weight * (around != 0)
    return torch.where(values.index_select(0, places.nearest) != 0, sums / weights, 0.0)


@lru_cache(maxsize=8)
def _light(device: torch.device) -> tuple[Tensor, Tensor]:
    """Levels of linear light [256] int32 of sRGB's bytes, and the byte [LIGHT + 1] of each level."""
    light = np.rint(srgb_to_linear(np.arange(256) / 255) * LIGHT).astype(np.int32)
    encoded = np.rint(linear_to_srgb(np.arange(LIGHT + 1) / LIGHT) * 255).astype(np.uint8)
    return torch.from_numpy(light).to(device), torch.from_numpy(encoded).to(device)
