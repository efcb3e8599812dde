"""Knows how the gloss of pores is told from the skin below: by its colour.

The depth that a painter was given has no pores, so their gloss is not that which the light mirrors on the smooth head.
But gloss has the colour of the light, while skin differs from place to place by melanin and blood alone (Tsumura et
al., Image-based skin color and texture analysis/synthesis by extracting hemoglobin and melanin information in the skin,
SIGGRAPH 2003). What a texel is off its surroundings is shared out among the three by their variances.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from pain3d.skin.photographed import ALBEDO

SURROUNDINGS: Final = 1 / 57  # of the texture's side, that a texel is held against: 7 mm on the cheek
# ln, standard deviations over such a distance: of what melanin and blood do to an albedo, of what else does.
MELANIN, BLOOD, ELSE = 0.05, 0.03, 0.02
# Of gloss, as a share of what the smooth head mirrors: slopes of 0.03, as pores have, times 7, the slope of ln of the
# lobe of skin (roughness 0.54) at 20 degrees.
GLOSS: Final = 0.2


def relief_gloss(albedo: Tensor, mirrored: Tensor, melanin: Tensor, blood: Tensor) -> Tensor:
    """How much more, or less, a view's texels mirror than the smooth head does.

    Args:
        albedo: [S, S, 3] linear, gloss of pores still in it; 0 where nothing is known.
        mirrored: [S, S, 3] what the smooth head mirrors, as albedo: divided by the light.
        melanin: [3] what more melanin adds to the logarithm of this skin's albedo, of any length.
        blood: [3] the same of blood.

    Returns:
        [S, S] as a share of `mirrored`: the most probable one.

    Gradients: none.
    """
    known = (albedo > 0).all(2)
    seen = albedo.clamp(min=ALBEDO[0])
    off = (seen.log() - _around(seen.log(), known)) * known[..., None]
    directions = torch.stack([MELANIN * melanin / melanin.norm(), BLOOD * blood / blood.norm()], 1)
    certain = torch.linalg.inv(directions @ directions.T + ELSE**2 * torch.eye(3))
    change = mirrored / seen
    weighed = change @ certain
    share: Tensor = (weighed * off).sum(2) / (GLOSS**-2 + (weighed * change).sum(2))
    return share


def _around(planes: Tensor, known: Tensor) -> Tensor:
    """Means [S, S, C] over a square around each texel, of what is known in it."""
    side = round(len(known) * SURROUNDINGS) // 2 * 2 + 1
    mask = known.numpy().astype(np.float32)
    total = cv2.blur(planes.numpy() * mask[..., None], (side, side))
    return torch.from_numpy(total / np.maximum(cv2.blur(mask, (side, side)), 1e-3)[..., None])
