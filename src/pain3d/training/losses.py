"""Knows the label losses of arXiv 2509.16727: squared errors of PSPI and action units, cross entropy at 1, 2, 3.

A label that isn't known (NaN) costs nothing: SynPAIN knows pain or no pain, and neither PSPI nor action units.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pain3d.device import constant
from pain3d.facs.pain_score import MAX_PSPI
from pain3d.training.data.batch import Labels
from pain3d.training.data.samples import THRESHOLDS
from pain3d.training.model.heads import UNIT_SCALE
from pain3d.training.model.vitpain import Outputs, Pairs


def pair_losses(pairs: Pairs, labels: Labels, others: Tensor) -> dict[str, Tensor]:
    """The losses of faces beside other faces: how much more each hurts than the other, float32 scalars.

    Beside neutral faces alone no label is negative, so that whatever differs between two pictures is as good a first
    guess as pain. Of two faces that may both hurt the labels are as often negative, and what tells nothing of pain
    gains nothing.

    Args:
        pairs: Of B faces.
        labels: Of these.
        others: [B], beside which of them each was seen.

    Returns:
        ``pair_pspi`` and ``pair_au``: as ``pspi`` and ``au`` of `label_losses`, of differences.

    Gradients: to the pairs.
    """
    pspi, au = (label - label[others] for label in (labels.pspi, labels.au))
    share = labels.weight / labels.weight.sum().clamp_min(1e-12)
    known = ~au.isnan()
    units = ((pairs.au - au.nan_to_num()) / constant(UNIT_SCALE, au)).square() * known
    return {
        "pair_pspi": (((pairs.pspi - pspi.nan_to_num()) / MAX_PSPI).square() * ~pspi.isnan() * share).sum(),
        "pair_au": (units.sum(1) / known.sum(1).clamp_min(1) * share).sum(),
    }


def label_losses(outputs: Outputs, labels: Labels) -> dict[str, Tensor]:
    """The losses, each a weighted mean over the pictures that have the label, float32 scalars.

    Args:
        outputs: Of B pictures.
        labels: Theirs; `pain` stands in for PSPI ≥ 1 where PSPI is unknown.

    Returns:
        ``pspi`` mean ((said − PSPI)/16)²; ``au`` mean over known units of ((a − y)/scale)²; ``binary`` mean binary
        cross entropy over the thresholds. Where the model says how far off it may be, ``spread`` mean
        (spread − |said − PSPI|)² / 16², of which the score has no gradient.

    Gradients: to the outputs.
    """
    pspi, au = labels.pspi, labels.au
    share = labels.weight / labels.weight.sum().clamp_min(1e-12)
    known = ~pspi.isnan()
    off = outputs.pspi.float() / MAX_PSPI - pspi.nan_to_num() / MAX_PSPI
    scale = constant(UNIT_SCALE, au)
    known_au = ~au.isnan()
    units = ((outputs.au.float() - au.nan_to_num()) / scale).square() * known_au
    limits = constant(THRESHOLDS, pspi)
    truth = torch.where(known[:, None], (pspi[:, None] >= limits).float(), labels.pain[:, None])
    decided = known[:, None] | (limits == 1)
    crossed = F.binary_cross_entropy_with_logits(outputs.binary.float(), truth, reduction="none") * decided
    parts = {
        "pspi": (off.square() * known * share).sum(),
        "au": (units.sum(1) / known_au.sum(1).clamp_min(1) * share).sum(),
        "binary": (crossed.sum(1) / decided.sum(1).clamp_min(1) * share).sum(),
    }
    if outputs.pspi_std is not None:
        apart = outputs.pspi_std.float() / MAX_PSPI - off.detach().abs()
        parts["spread"] = (apart.square() * known * share).sum()
    return parts
