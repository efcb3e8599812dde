"""Knows heads that say nothing where two faces don't differ: h(d) − h(0) of a difference d of late features.

They stand where `pain3d.training.model.heads` has the published ones. A difference is taken of normed features and not
normed itself: a norm would make much of the little by which one picture differs from itself, saved again. What stays of
that, and of roundings, lies below MARGIN, and is cut.

Late features subtracted gained more from a neutral face than scores subtracted, and late more than early ones, on
photographs (arXiv 2409.00240).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pain3d.training.data.samples import THRESHOLDS
from pain3d.training.model.heads import (
    FIRST_UNIT,
    UNIT_SCALE,
    Intensity,
    UnitQueries,
    hidden_widths,
    in_float32,
    ordered,
)

MARGIN: Final = 1 / 64  # of a scale, PSPI 0.25 of 16: an answer below it is 0
FIRST_SHARE: Final = 0.5  # of a PSPI of 16, what is first said of all that differs: about the mean of the labels
FIRST_LOGIT: Final = 4.0  # likewise of the thresholds, above CALM_LOGIT
CALM_LOGIT: Final = -3.0  # of PSPI ≥ 1, 2, 3 where nothing differs: a chance of 5 %
# What differences are multiplied by. At the first weights those of rendered faces are 0.12 (CLS) and 0.17 (units), root
# mean square, and the layers behind are made for 1.
GAIN: Final = 8.0
QUIET: Final = 0.2  # of last layers' first weights: an answer that differences make loud is farther off than their mean
SQUEEZE: Final = 1 / 64  # what a score keeps from 0 and 1 where its logit is asked for, so that it is finite

FIRST_OFF: Final = -2.0  # softplus of it is PSPI 2, about what a net is off after a hundred steps


class FromZero(nn.Module):
    """h(d) − h(0), with one dropout mask for both: exactly 0 at d = 0, while training too.

    Args:
        layers: h; whatever it is made of sees [2, ..., D], d first.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, difference: Tensor) -> Tensor:
        """[..., D] → [..., E] float32."""
        both = torch.stack([difference, torch.zeros_like(difference)])
        for layer in self.layers:
            both = both * layer(torch.ones_like(both[0])) if isinstance(layer, nn.Dropout) else layer(both)
        return both[0] - both[1]


def apart(difference: Tensor) -> Tensor:
    """1 − exp(−|d|² / D) of differences [..., D], [...]: 0 and flat where there is none, and soon 1.

    Times a weight that is learned it stands for the last bias, which h(d) − h(0) takes away. Without it heads have to
    learn the mean of the labels from whatever two pictures happen to differ by, before they learn anything else.
    """
    return 1 - (-difference.square().mean(-1)).exp()


class ScoreDifference(nn.Module):
    """Difference of fused CLS [B, D] → PSPI / 16 [B]; the widths of `ScoreHead`.

    Args:
        width: D.
        dropout: Four shares, one before each linear layer.
    """

    def __init__(self, width: int, dropout: Sequence[float]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = width
        for share, after in zip(dropout, (*hidden_widths(width), 1), strict=True):
            layers += [nn.Dropout(share), nn.Linear(before, after, bias=after > 1)]  # a last bias would cancel
            layers += [nn.GELU()] if after > 1 else []
            before = after
        self.said = FromZero(*layers)
        self.first = nn.Parameter(torch.tensor(FIRST_SHARE))
        with torch.no_grad():
            self.said.layers[-1].weight.mul_(QUIET)  # type: ignore[operator]

    def forward(self, difference: Tensor) -> Tensor:
        """[B, D] → [B] float32, on −1–1 but not held there; `above_margin` makes a score of it."""
        with in_float32(difference):
            signed: Tensor = self.said(difference.float())[:, 0] + self.first * apart(difference.float())
        return signed


class ThresholdDifference(nn.Module):
    """Difference of fused CLS [B, D] → logits of PSPI ≥ 1, 2, 3 [B, 3], in order; CALM_LOGIT where there is none.

    Args:
        width: D.
        dropout: Before the last layer.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        inside = hidden_widths(width)[2]
        self.said = FromZero(
            nn.Linear(width, inside), nn.GELU(), nn.Dropout(dropout), nn.Linear(inside, len(THRESHOLDS), bias=False)
        )
        self.first = nn.Parameter(torch.full((len(THRESHOLDS),), FIRST_LOGIT))

    def forward(self, difference: Tensor) -> Tensor:
        """[B, D] → [B, 3] float32."""
        with in_float32(difference):
            logits = self.said(difference.float()) + self.first * apart(difference.float())[:, None] + CALM_LOGIT
        return ordered(logits, self.training)


class UnitDifference(UnitQueries):
    """Fused patches of a face and of its neutral ones → action units [B, 6].

    Each unit's query finds its place in either face, wherever it lies; what it read there is subtracted. The reading
    is as in `UnitHead`.

    Args:
        width: D.
        heads: Heads of the attention.
        patches: P.
        dropout: Inside the MLP.
    """

    def __init__(self, width: int, heads: int, patches: int, dropout: float) -> None:
        super().__init__(width, heads, patches)
        inside = hidden_widths(width)[1]
        self.said = FromZero(nn.Linear(width, inside), nn.GELU(), nn.Dropout(dropout))
        self.reading = nn.Parameter(QUIET * torch.randn(len(UNIT_SCALE), inside) * inside**-0.5)
        self.first = nn.Parameter(torch.full((len(UNIT_SCALE),), FIRST_UNIT))
        self.intensity = Intensity()

    def forward(self, patches: Tensor, neutral_of: Tensor, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """What differs between faces and neutral faces.

        Args:
            patches: [B + M, P, D] of B faces and, behind them, of M neutral ones.
            neutral_of: [B, K] rows of the M; the mean of K is subtracted.
            weights: Whether the attention is handed back.

        Returns:
            Signed shares of each unit's scale [B, 6] float32, of which `shown` makes intensities, and, if asked, what
            each unit looked at in each face [B, 6, P], summing to 1.
        """
        read, looked = self.look(patches, weights)
        with in_float32(read):
            differs = GAIN * subtracted(read, neutral_of)
            signed: Tensor = (self.said(differs) * self.reading).sum(-1) + self.first * apart(differs)
        return signed, None if looked is None else looked[: neutral_of.shape[0]]

    def shown(self, signed: Tensor) -> Tensor:
        """Signed shares [B, 6] → intensities [B, 6]: those above the margin."""
        intensities: Tensor = self.intensity(signed - MARGIN)
        return intensities


class SpreadHead(nn.Module):
    """Fused CLS [B, D] → how far off the score is, [B] of 16, at least 0; nothing that it learns changes the score.

    It learns the mean of the score's error, which bears an outlier better than a variance does. `scale` makes a
    standard deviation of it, for people whom the model didn't learn from: see `evaluation.spread.spread_scale`.

    Args:
        width: D.
    """

    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        inside = hidden_widths(width)[2]
        last = nn.Linear(inside, 1)
        nn.init.constant_(last.bias, FIRST_OFF)
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inside), nn.GELU(), last)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, fused: Tensor) -> Tensor:
        """[B, D] → [B] float32. Gradients: to its own weights, none to `fused`."""
        with in_float32(fused):
            off: Tensor = F.softplus(self.layers(fused.detach().float())[:, 0]) * self.scale
        return off


def subtracted(features: Tensor, neutral_of: Tensor) -> Tensor:
    """Features [B + M, ...] of B faces and M neutral ones → [B, ...], each face minus the mean of its K neutral ones.

    Args:
        features: Faces first.
        neutral_of: [B, K] rows of the M.
    """
    count = neutral_of.shape[0]
    faces, neutral = features[:count], features[count:]
    chosen = neutral.index_select(0, neutral_of.flatten()).reshape(*neutral_of.shape, *neutral.shape[1:])
    return faces - chosen.mean(1)


def above_margin(share: Tensor, training: bool) -> Tensor:
    """What of a share is above MARGIN, held within 0 and 1.

    While training the gradient passes where the answer was cut, as in `Intensity`: a squared error asks it only ever to
    come back.
    """
    above = share - MARGIN
    cut = above.clamp(0, 1)
    return above + (cut - above).detach() if training else cut


def squeezed_logit(share: Tensor) -> Tensor:
    """Logit of a share on 0–1, drawn together to SQUEEZE and 1 − SQUEEZE: finite, and so are its gradients."""
    return torch.logit(SQUEEZE + (1 - 2 * SQUEEZE) * share)
