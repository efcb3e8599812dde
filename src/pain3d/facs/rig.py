"""From action units to the weights of a head's expression units: the curve, and the rules for units that meet.

Rules (each keeps every single action unit exactly as it is alone):

- Shut lids win: with AU43 the lid part of AU6 and AU7 and all of AU5 on that side give way; what they do to the skin
  around the eye stays, and AU7 squeezes the lids: they meet higher and bunch, so that it is still seen.
- One lower lid: the lid parts of AU6 and AU7 share a travel of 1 (AU7 first).
- Brow, nose and lid crowd the cheek: AU6 rises less (to 75 %) the further AU7, or AU4 with AU9, have come towards it.
- One upper lip: AU10 and AU25 lift it by the larger of the two, not their sum.
- One mouth corner: AU20 gives way (to 60 %) to AU12 on the same side.
- One jaw: the wider of AU26 and AU27 opens it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pain3d.device import constant
from pain3d.facs.action_units import AU_NUMBERS, CURVE_INTENSITIES, CURVE_WEIGHTS, JAW, MOVES

CROWDED_CHEEK = 0.25  # of AU6 lost when AU7, or both AU4 and AU9, are at 5
CORNER_YIELD = 0.4  # of AU20 lost when AU12 is at 5
SIDE_NAMES = ("Left", "Right")
LID_PARTS = ("eyeSquintLid", "cheekSquintLid")  # of AU7 and AU6, which give way where lids are shut
SQUEEZED = "eyeSqueeze"  # of AU7, where they are


def au_weights(au: Tensor) -> Tensor:
    """Weights 0–1 of intensities of any shape (AU43 apart: see `expression_weights`). Gradients: to `au`."""
    knots, weights = constant(tuple(CURVE_INTENSITIES), au), constant(tuple(CURVE_WEIGHTS), au)
    segment = (torch.searchsorted(knots, au.detach().contiguous(), right=True) - 1).clamp(0, len(knots) - 2)
    slope = (weights[segment + 1] - weights[segment]) / (knots[segment + 1] - knots[segment])
    return weights[segment] + slope * (au - knots[segment])


def action_weights(au: Tensor) -> Tensor:
    """Weights [B, A, 2] 0–1 of the action units themselves, after the rules for units that meet.

    What follows an action unit but moves no vertex (wrinkles, occlusion) goes by them; AU26 counts by what it opens
    beyond AU27, AU25 by what AU10 leaves of the upper lip. Gradients: to `au`.
    """
    weight, _ = _ruled(au)
    weight[26] = (JAW[26] * weight[26] - JAW[27] * weight[27]).clamp(min=0) / JAW[26]
    lift = dict(MOVES[25])["mouthUpperUp"]
    weight[25] = (weight[25] - weight[10] * lift).clamp(min=0)
    return torch.stack(list(weight.values()), 1)


def _ruled(au: Tensor) -> tuple[dict[int, Tensor], Tensor]:
    """Weight [B, 2] of each action unit after the rules that act on a whole unit, and the shutting of the lids."""
    weight = dict(zip(AU_NUMBERS, au_weights(au).unbind(1), strict=True))
    shut = au[:, AU_NUMBERS.index(43)].clamp(0, 1)
    weight[43] = shut
    weight[5] = weight[5] * (1 - shut)
    weight[6] = weight[6] * (1 - CROWDED_CHEEK * torch.maximum(weight[7], weight[4] * weight[9]))
    weight[20] = weight[20] * (1 - CORNER_YIELD * weight[12])
    return weight, shut


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
    weight, shut = _ruled(au)
    lid_squint = weight[7] * (1 - shut)
    lid_cheek = torch.minimum(weight[6] * (1 - shut), (1 - lid_squint).clamp(min=0))
    lift = torch.maximum(weight[10], dict(MOVES[25])["mouthUpperUp"] * weight[25])
    squeezed = weight[7] * shut
    rows = torch.stack([*weight.values(), lift, lid_squint, lid_cheek, squeezed], 1).flatten(1)  # [B, (A + 4) · 2]
    columns = torch.zeros_like(rows[:, :1])
    for places, shares in contributions(tuple(units)):
        seen = rows.index_select(1, constant(places, rows, torch.int64))
        columns = columns + constant(shares, rows) * seen
    jaw = torch.stack([JAW[n] * weight[n].amax(1) for n in JAW], 1).amax(1)
    return columns, jaw, shut


@lru_cache(maxsize=16)
def contributions(units: tuple[str, ...]) -> tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]:
    """What moves each expression unit: passes of (place in the flat rows of `expression_weights`, share) per unit.

    A unit that fewer action units move than there are passes has a share of 0 in the rest.
    """
    moves: dict[str, list[tuple[int, float]]] = {}
    for row, number in enumerate(AU_NUMBERS):
        for stem, share in MOVES[number]:
            moves.setdefault(stem, []).append((row, share))
    for row, stem in enumerate(("mouthUpperUp", *LID_PARTS, SQUEEZED), len(AU_NUMBERS)):
        moves[stem] = [(row, 1.0)]
    found: list[list[tuple[int, float]]] = []
    for unit in units:
        side = next((s for s, name in enumerate(SIDE_NAMES) if unit.endswith(name)), None)
        stem = "" if side is None else unit.removesuffix(SIDE_NAMES[side])
        found.append([(2 * row + (side or 0), share) for row, share in moves.get(stem, [])])
    passes = []
    for number in range(max((len(entries) for entries in found), default=0)):
        chosen = [entries[number] if number < len(entries) else (0, 0.0) for entries in found]
        passes.append((tuple(place for place, _ in chosen), tuple(share for _, share in chosen)))
    return tuple(passes)
