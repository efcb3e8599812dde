"""Knows what a model predicts for portraits, with the crops and numbers of training, and where its attention lay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.training.data.augmentation import centre_crop
from pain3d.training.data.batch import Batch, Labels, RawBatch
from pain3d.training.data.samples import THRESHOLDS, UNITS, pspi_of
from pain3d.training.evaluation.consistency import consistent_chances, consistent_units
from pain3d.training.model.both_ways import ask_both_ways
from pain3d.training.model.factory import Model
from pain3d.training.model.heads import UNIT_SCALE
from pain3d.training.model.vitpain import Outputs
from pain3d.training.prediction import features_of
from pain3d.training.score.out_of_distribution import Fitted, OodScore, grown, score_ood
from pain3d.training.score.portrait import Portrait

BATCH: Final = 32  # portraits; the attention of a large net over 196 patches is then some 60 MB
Map = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PortraitPrediction:
    """What a model predicts for a portrait.

    Attributes:
        pspi: 0–16.
        pspi_std: How far off it may be, the farther the stranger the face is; None where no head says so.
        au: [6] as UNITS: five intensities 0–5, and the chance of AU43.
        at_least: [3] chances of PSPI ≥ 1, 2, 3, none greater than the one before.
        pspi_of_units: PSPI that the six units make, AU43 by its chance.
        ood: Its out-of-distribution score; None where none was fitted.
        face: [S, S, 3] what it saw of the portrait.
        neutral: [S, S, 3] what it saw of the first neutral face; None if it takes none.
        au_attention: [6, h, w] of each action unit on the portrait, sums 1; None for a model without attention.
        neutral_attention: [h, w] of these places on the neutral face, sums 1; likewise.
    """

    pspi: float
    pspi_std: float | None
    au: tuple[float, ...]
    at_least: tuple[float, ...]
    pspi_of_units: float
    ood: OodScore | None
    face: Pixels
    neutral: Pixels | None
    au_attention: Map | None
    neutral_attention: Map | None


def predict_portraits(
    model: Model,
    fitted: Fitted | None,
    portraits: Sequence[Portrait],
    neutrals: Sequence[Portrait],
    consistent: bool = False,
) -> Iterator[PortraitPrediction]:
    """Predictions for portraits, in order.

    Args:
        model: In evaluation mode.
        fitted: The distribution of its features, see `fit_ood`.
        portraits: At least one; crops of one size, at least the model's.
        neutrals: Of the same person, compared with every portrait; none for a model that takes none.
        consistent: Move units and chances as little as makes them agree with PSPI.
    """
    device = next(model.parameters()).device
    for start in range(0, len(portraits), BATCH):
        part = portraits[start : start + BATCH]
        batch = centre_crop(_raw(part, neutrals), model.config.image_size, device)
        with torch.no_grad():
            outputs = ask_both_ways(model, batch.image, batch.neutral, batch.neutral_of, attention=True)
        yield from _predictions(model, fitted, outputs, part, neutrals, batch, consistent)


def attention_rollup(units: Tensor, neutral: Tensor) -> Tensor:
    """Attention of the action units on the neutral tokens, through the patches: [B, Ln], rows sum to at most 1.

    A unit's query weighs patches, a patch weighs neutral tokens; the product is the share of each neutral token
    (attention rollup, Abnar & Zuidema 2020, ACL). Heads and units are averaged.

    Args:
        units: [B, 6, P] attention of the action unit queries on the patches.
        neutral: [B, heads, L, Ln] attention of all tokens on the neutral ones; the last P of L are the patches.
    """
    patches = neutral.mean(1)[:, -units.shape[-1] :]
    return torch.einsum("bp,bpn->bn", units.mean(1), patches)


def _raw(portraits: Sequence[Portrait], neutrals: Sequence[Portrait]) -> RawBatch:
    """A batch without labels."""
    count = len(portraits)
    unknown = torch.full((count, len(UNITS), 2), torch.nan)
    return RawBatch(
        image=_crops(portraits),
        heatmap=None,
        neutral=_crops(neutrals) if neutrals else None,
        neutral_of=torch.arange(len(neutrals)).expand(count, -1) if neutrals else None,
        labels=Labels(
            au=unknown[:, :, 0],
            sides=unknown,
            pspi=unknown[:, 0, 0],
            pain=unknown[:, 0, 0],
            weight=torch.ones(count),
            row=torch.full((count,), -1),
        ),
    )


def _crops(portraits: Sequence[Portrait]) -> Tensor:
    return torch.from_numpy(np.stack([portrait.crop for portrait in portraits]))


def _predictions(
    model: Model,
    fitted: Fitted | None,
    outputs: Outputs,
    portraits: Sequence[Portrait],
    neutrals: Sequence[Portrait],
    batch: Batch,
    consistent: bool,
) -> Iterator[PortraitPrediction]:
    size = model.config.image_size
    au_attention, neutral_attention = _maps(model, outputs.attention or {})
    features = features_of(outputs.tokens, batch.image)
    ood = [None] * len(portraits) if fitted is None else score_ood(fitted, features)
    spread = outputs.pspi_std
    if spread is not None and fitted is not None:
        spread = grown(spread, fitted, features)
    pspi = outputs.pspi.float().cpu().double().numpy()
    chances = outputs.binary.float().sigmoid().cpu().double().numpy()
    # Nothing stops a net from predicting a little more.
    units = outputs.au.float().cpu().clamp(max=torch.tensor(UNIT_SCALE)).double().numpy()
    if consistent:
        units, chances = consistent_units(units, pspi), consistent_chances(chances, pspi)
    of_units = pspi_of(units)
    assert chances.shape[1] == len(THRESHOLDS) and len(batch.image) == len(portraits)
    for place, portrait in enumerate(portraits):
        yield PortraitPrediction(
            pspi=float(pspi[place]),
            pspi_std=None if spread is None else float(spread[place]),
            au=tuple(units[place].tolist()),
            at_least=tuple(chances[place].tolist()),
            pspi_of_units=float(of_units[place]),
            ood=ood[place],
            face=_middle(portrait.crop, size),
            neutral=_middle(neutrals[0].crop, size) if neutrals else None,
            au_attention=None if au_attention is None else au_attention[place],
            neutral_attention=None if neutral_attention is None else neutral_attention[place],
        )


def _maps(model: Model, attention: dict[str, Tensor]) -> tuple[Map | None, Map | None]:
    """Attention as maps: of the action units [B, 6, h, w], and of the neutral face [B, h, w]."""
    units, neutral = attention.get("au"), attention.get("neutral")
    if units is None:
        return None, None
    high, wide = model.grid
    attended = units.double().cpu().numpy().reshape(*units.shape[:2], high, wide)
    if neutral is None:
        return attended, None
    shares = attention_rollup(units.double(), neutral.double())[:, -high * wide :]  # without CLS and registers
    shares = shares / shares.sum(-1, keepdim=True)
    return attended, shares.cpu().numpy().reshape(-1, high, wide)


def _middle(crop: Pixels, size: int) -> Pixels:
    """What `plain` takes of a crop."""
    edge = (len(crop) - size) // 2
    return crop[edge : edge + size, edge : edge + size]
