"""From action units to the weights of a head's expression units: the curve, and the rules for units that meet.

Rules (each keeps every single action unit exactly as it is alone):

- Shut lids win: with AU43 the lid part of AU6 and AU7 and all of AU5 on that side give way; what they do to the skin
  around the eye stays, so that AU7 under shut lids is still seen.
- One lower lid: the lid parts of AU6 and AU7 share a travel of 1 (AU7 first).
- Brow, nose and lid crowd the cheek: AU6 rises less (to 75 %) the further AU7, or AU4 with AU9, have come towards it.
- One upper lip: AU10 and AU25 lift it by the larger of the two, not their sum.
- One mouth corner: AU20 gives way (to 60 %) to AU12 on the same side.
- One jaw: the wider of AU26 and AU27 opens it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pain3d.facs.action_units import AU_NUMBERS, CURVE_INTENSITIES, CURVE_WEIGHTS, JAW, MOVES

CROWDED_CHEEK = 0.25  # of AU6 lost when AU7, or both AU4 and AU9, are at 5
CORNER_YIELD = 0.4  # of AU20 lost when AU12 is at 5
SIDE_NAMES = ("Left", "Right")


def au_weights(au: Tensor) -> Tensor:
    """Weights 0–1 of intensities of any shape (AU43 apart: see `expression_weights`). Gradients: to `au`."""
    knots = au.new_tensor(CURVE_INTENSITIES)
    weights = au.new_tensor(CURVE_WEIGHTS)
    segment = (torch.searchsorted(knots, au.detach().contiguous(), right=True) - 1).clamp(0, len(knots) - 2)
    slope = (weights[segment + 1] - weights[segment]) / (knots[segment + 1] - knots[segment])
    return weights[segment] + slope * (au - knots[segment])


def expression_weights(au: Tensor, units: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of a head's expression units, the opening of its jaw and the shutting of its lids.

    Args:
        au: [B, A, 2] intensities, rows as `AU_NUMBERS`, left and right.
        units: Names of the head's expression units, such as ``browDownLeft``.

    Returns:
        Weights [B, U] (units that no action unit moves stay 0), jaw opening [B] as a share of the head's jaw angle,
        and shut [B, 2] 0–1 for the lids of each side.

    Gradients: to `au`, through the piecewise linear curve and the rules.
    """
    weight = {number: au_weights(au[:, row]) for row, number in enumerate(AU_NUMBERS)}
    shut = au[:, AU_NUMBERS.index(43)].clamp(0, 1)
    weight[43] = shut
    weight[5] = weight[5] * (1 - shut)
    weight[6] = weight[6] * (1 - CROWDED_CHEEK * torch.maximum(weight[7], weight[4] * weight[9]))
    weight[20] = weight[20] * (1 - CORNER_YIELD * weight[12])
    lid_squint = weight[7] * (1 - shut)
    lid_cheek = torch.minimum(weight[6] * (1 - shut), (1 - lid_squint).clamp(min=0))
    moved: dict[str, Tensor] = {}
    for number, moves in MOVES.items():
        for stem, share in moves:
            moved[stem] = moved.get(stem, torch.zeros_like(shut)) + share * weight[number]
    lift = dict(MOVES[25])["mouthUpperUp"]
    moved["mouthUpperUp"] = torch.maximum(weight[10], lift * weight[25])
    moved["eyeSquintLid"], moved["cheekSquintLid"] = lid_squint, lid_cheek
    columns = []
    for unit in units:
        side = next((s for s, name in enumerate(SIDE_NAMES) if unit.endswith(name)), None)
        stem = unit.removesuffix(SIDE_NAMES[side]) if side is not None else unit
        columns.append(moved[stem][:, side] if side is not None and stem in moved else torch.zeros_like(au[:, 0, 0]))
    jaw = torch.stack([JAW[n] * weight[n].amax(1) for n in JAW], 1).amax(1)
    return torch.stack(columns, 1), jaw, shut
