"""Knows numbers of a picture that no net has learned to overlook: its grain, contrast, colour and light.

A net that reads pain is taught, by augmentation, to say the same of pictures with another grain or light; so its
features tell little of a picture that is of another kind. These numbers do.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from pain3d.device import constant
from pain3d.training.data.augmentation import MEAN, STD
from pain3d.training.data.style import LUMA

BANDS: Final = (1 / 32, 1 / 16, 1 / 8, 1 / 5, 1 / 3, 0.5)  # cycles a pixel, the ends of the bands from the first on
LEAST: Final = 1e-4  # of 1: a hundredth of a level of 8 bits, below which no contrast is told from none
FLAT: Final = 0.25  # of the places of a picture, those of least contrast: what is left there is grain
PATCH: Final = 8  # pixels a side of such a place
STATISTICS: Final = len(BANDS) - 1 + 3 + 3 + 1 + 2 + 2


@torch.no_grad()
def picture_statistics(seen: Tensor) -> Tensor:
    """Numbers of pictures as a net sees them.

    Args:
        seen: [B, 3, S, S], (x − mean) / std; S at least 16.

    Returns:
        [B, STATISTICS] float32, most of them logarithms: power in bands of frequency; mean and spread of lightness and
        of two differences of colour; skewness of lightness; peakedness of gradients at two scales; grain in flat
        places and how uneven contrast is.
    """
    spread, middle = constant(STD, seen), constant(MEAN, seen)
    rgb = (seen.float() * spread[:, None, None] + middle[:, None, None]).clamp(0, 1)
    red, green, blue = rgb.unbind(1)
    light = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    opponent = torch.stack([light, red - green, blue - light], 1).flatten(2)
    means, spreads = opponent.mean(2), opponent.std(2)
    about = light - light.mean((1, 2), keepdim=True)
    skewness = about.pow(3).mean((1, 2)) / spreads[:, 0].clamp_min(LEAST).pow(3)
    coarse = F.avg_pool2d(light[:, None], 2)[:, 0]
    peaks = torch.stack([_peakedness(one) for one in (light, coarse)], 1)
    fine = (light[:, 1:-1, 1:-1] - F.avg_pool2d(light[:, None], 3, 1)[:, 0]).square()
    places = F.avg_pool2d(fine[:, None], PATCH).flatten(1)
    ordered = places.sort(1).values
    flat, uneven = _quantile(ordered, FLAT), _quantile(ordered, 1 - FLAT)
    return torch.cat(
        [
            _bands(about), means, (spreads + LEAST).log(), skewness[:, None], peaks, (flat + LEAST**2).log()[:, None],
            ((uneven + LEAST**2) / (flat + LEAST**2)).log()[:, None],
        ],
        1,
    )  # fmt: skip


def _bands(about: Tensor) -> Tensor:
    """Logarithms of power in each band [B, bands], the same where a small picture has none; `about` has mean 0."""
    side = about.shape[1]
    window = torch.hann_window(side, periodic=False, device=about.device)
    power = torch.fft.rfft2(about * window * window[:, None], norm="ortho").abs().square()
    down = torch.fft.fftfreq(side, device=about.device)[:, None]
    across = torch.fft.rfftfreq(side, device=about.device)
    radius = torch.hypot(down, across)
    parts = [((radius >= low) & (radius < high)).float() for low, high in pairwise(BANDS)]
    return torch.stack([((power * part).sum((1, 2)) / part.sum().clamp_min(1) + LEAST**2).log() for part in parts], 1)


def _quantile(ordered: Tensor, share: float) -> Tensor:
    """Quantile [B] of rows [B, N] in ascending order, between neighbours in proportion."""
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    return torch.lerp(ordered[:, below], ordered[:, above], place - below)


def _peakedness(light: Tensor) -> Tensor:
    """Logarithm of mean g² over (mean |g|)² of the gradient across, [B]: how few edges hold how much of it."""
    step = light[:, :, 1:] - light[:, :, :-1]
    return ((step.square().mean((1, 2)) + LEAST**2) / (step.abs().mean((1, 2)) + LEAST).square()).log()
