"""Knows how the gloss of pores is told from the skin below: by its colour.

The depth that a painter was given has no pores, so their gloss is not that which the light mirrors on the smooth head.
But gloss has the colour of the light, while skin differs from place to place by melanin and blood alone (Tsumura et
al., Image-based skin color and texture analysis/synthesis by extracting hemoglobin and melanin information in the skin,
SIGGRAPH 2003). What a texel is off its surroundings is shared out among the three by their variances.
"""

from __future__ import annotations

from typing import Final

import cv2
import torch
from torch import Tensor
from torch.nn.functional import pad

from pain3d.pipeline.texture.light_fit import dot
from pain3d.skin.photographed import ALBEDO

SURROUNDINGS: Final = 1 / 57  # of the texture's side, that a texel is held against: 7 mm on the cheek
# ln, standard deviations over such a distance: of what melanin and blood do to an albedo, of what else does.
MELANIN, BLOOD, ELSE = 0.05, 0.03, 0.02
# Of gloss, as a share of what the smooth head mirrors: slopes of 0.03, as pores have, times 7, the slope of ln of the
# lobe of skin (roughness 0.54) at 20 degrees.
GLOSS: Final = 0.2


def relief_gloss(albedo: Tensor, mirrored: Tensor, place: Tensor, size: int, melanin: Tensor, blood: Tensor) -> Tensor:
    """How much more, or less, P texels of a view mirror than the smooth head does.

    Args:
        albedo: [P, 3] linear, gloss of pores still in it.
        mirrored: [P, 3] what the smooth head mirrors, as albedo: divided by the light.
        place: [P] in the flat texture.
        size: Texels a side of it.
        melanin: [3] what more melanin adds to the logarithm of this skin's albedo, of any length.
        blood: [3] the same of blood.

    Returns:
        [P] as a share of `mirrored`: the most probable one.

    Gradients: none.
    """
    directions = torch.stack([MELANIN * melanin / melanin.norm(), BLOOD * blood / blood.norm()], 1)
    certain = torch.linalg.inv(directions @ directions.T + ELSE**2 * torch.eye(3))
    seen = albedo.clamp(min=ALBEDO[0])
    tone = seen.log()
    change = mirrored / seen
    weighed = change @ certain
    off = tone - _around(tone, place, size)
    return dot(weighed, off) / (GLOSS**-2 + dot(weighed, change))


def _around(tone: Tensor, place: Tensor, size: int) -> Tensor:
    """Means [P, 3] over a square around each texel, of those that are there."""
    if len(place) == 0:
        return tone
    side = round(size * SURROUNDINGS) // 2 * 2 + 1
    row, column = place // size, place % size
    top, left = int(row.min()) - side, int(column.min()) - side
    high, wide = int(row.max()) + side + 1 - top, int(column.max()) + side + 1 - left
    at = (row - top) * wide + column - left
    planes = torch.zeros(high * wide, 4).index_copy_(0, at, pad(tone, (0, 1), value=1.0)).view(high, wide, 4)
    around = torch.from_numpy(cv2.blur(planes.numpy(), (side, side))).view(-1, 4).index_select(0, at)
    return around[:, :3] / around[:, 3:]
