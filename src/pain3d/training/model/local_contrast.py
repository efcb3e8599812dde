"""Knows local contrast: a picture's brightness beside that of the place around it, by how much it varies there.

A fold is a change of brightness over a few pixels. Colour, exposure, a film's curve, a lamp that falls off over the
face and a lens that veils it are all changes of what lies around it, and a net that never sees them has neither to
learn them nor to be told in how many forms they come (divisive normalisation, Carandini and Heeger 2012; local contrast
normalisation, Jarrett et al. 2009). A line of ink, a speck, an edge between a file's blocks can be louder than folds:
where contrast is bounded they drown them less.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor
from torch.nn import functional as F

from pain3d.training.data.augmentation import STD
from pain3d.training.data.style import LUMA

WEIGHTS: Final = tuple(weight * spread for weight, spread in zip(LUMA, STD, strict=True))  # of normalised channels
CELLS: Final = 20  # a side, over which a picture is averaged first
AROUND: Final = 5  # cells a side are the place around: a quarter of the picture, an eye and its brow
LEAST: Final = 0.032  # standard deviation on 0–1 that counts as half a variation: flat walls stay flat


def as_local_contrast(pictures: Tensor, bounded: bool = False) -> Tensor:
    """Pictures as their own local contrast: c = (y − mean) / √(variance + LEAST²) of brightness y, three times.

    Args:
        pictures: [B, 3, S, S], (x − mean) / std as for ImageNet.
        bounded: Show c / (1 + |c|).

    Returns:
        [B, 3, S, S] float32, about −2–2, or bounded by −1 and 1; its three channels are one in memory. Gradients: to
        the pictures.
    """
    red, green, blue = pictures.float().chunk(3, 1)
    bright = WEIGHTS[0] * red + WEIGHTS[1] * green + WEIGHTS[2] * blue  # on 0–1, but for a constant
    detail = bright - _around(bright)
    contrast: Tensor = detail / (_around(detail.square()) + LEAST**2).sqrt()
    return (F.softsign(contrast) if bounded else contrast).expand_as(pictures)


def _around(planes: Tensor) -> Tensor:
    """Means of planes [B, 1, S, S] over the place around each pixel; beyond the edge nothing counts."""
    side = planes.shape[2]
    cell = max(1, round(side / CELLS))
    means = F.avg_pool2d(planes, cell, ceil_mode=True)
    means = F.avg_pool2d(means, AROUND, 1, AROUND // 2, count_include_pad=False)
    whole = cell * means.shape[2]
    grown = F.interpolate(means, size=(whole, whole), mode="bilinear", align_corners=False)
    return grown[:, :, :side, :side]
