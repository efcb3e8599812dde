"""Knows ViTPain: a transformer that sees a face and a neutral face of the same person and says how much it hurts.

After arXiv 2509.16727 v4: shared or separate encoders (LoRA where the weights were learnt elsewhere), one
cross-attention from all tokens of the face to all tokens of the neutral one, then a score, three thresholds and six
action units. Beyond it, the neutral face may go the same way, beside itself, and be subtracted before the heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pain3d.facs.pain_score import MAX_PSPI
from pain3d.training.model.backbone import make_backbone
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.differences import (
    GAIN,
    ScoreDifference,
    SpreadHead,
    ThresholdDifference,
    UnitDifference,
    above_margin,
    squeezed_logit,
    subtracted,
)
from pain3d.training.model.fusion import NeutralCrossAttention, neutral_rows
from pain3d.training.model.heads import ScoreHead, ThresholdHead, UnitHead
from pain3d.training.model.lora import add_lora


class Pairs(NamedTuple):
    """What is said of faces beside other faces of a batch, which may hurt too: how much more, or less.

    Attributes:
        pspi: [B] float32, about −16–16: nothing is cut.
        au: [B, 6] float32, likewise about −5–5, AU43 −1–1.
    """

    pspi: Tensor
    au: Tensor


@dataclass(frozen=True)
class Outputs:
    """What a model says of B pictures; float32 except `tokens`.

    Attributes:
        tokens: [B, L, D] of the face's encoder, CLS first, then what else stands before the patches, then patches;
            before the neutral face is looked at.
        pspi_logit: [B], of PSPI / 16; of a model that subtracts drawn together, see `squeezed_logit`.
        pspi: [B], 0–16.
        pspi_std: [B] of 16, at least 0: how far off it may be; None where no head says so.
        au: [B, 6] at least 0: AU04 AU06 AU07 AU09 AU10 on 0–5 and AU43 on 0–1.
        binary: [B, 3] logits of PSPI ≥ 1, 2, 3, none greater than the one before.
        attention: Where it was asked for and the model has any: ``au`` [B, 6, P] and, with a neutral face, ``neutral``
            [B, heads, L, Ln]; rows sum to 1.
        pairs: Where it was asked for, of the same faces beside others.
    """

    tokens: Tensor
    pspi_logit: Tensor
    pspi: Tensor
    au: Tensor
    binary: Tensor
    attention: dict[str, Tensor] | None = None
    pspi_std: Tensor | None = None
    pairs: Pairs | None = None


class ViTPain(nn.Module):
    """Pictures and neutral pictures in, `Outputs` out.

    Args:
        config: Its shape.
        weights: First weights of the encoders, see `make_backbone`.

    Raises:
        RefusedError: The backbone is unknown or the weights don't fit.
        ValueError: `fusion_heads` does not divide the backbone's width.
    """

    def __init__(self, config: ModelConfig, weights: str | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = make_backbone(config, weights)
        self.neutral_backbone = make_backbone(config, weights) if config.separate else None
        self.prefix, self.grid = self.backbone.prefix, self.backbone.grid
        width = self.backbone.width
        self.fusion = NeutralCrossAttention(width, config.fusion_heads) if config.neutral else None
        patches, last = self.grid[0] * self.grid[1], config.dropout[-1]
        self.score: ScoreHead | ScoreDifference
        self.thresholds: ThresholdHead | ThresholdDifference
        self.units: UnitHead | UnitDifference
        if config.subtracts:
            self.score = ScoreDifference(width, config.dropout)
            self.thresholds = ThresholdDifference(width, last)
            self.units = UnitDifference(width, config.fusion_heads, patches, last)
        else:
            self.score = ScoreHead(width, config.dropout)
            self.thresholds = ThresholdHead(width, last)
            self.units = UnitHead(width, config.fusion_heads, patches, last)
        self.spread = SpreadHead(width) if config.spread else None
        if config.lora_rank:
            for encoder in (self.backbone, self.neutral_backbone):
                if encoder is not None:
                    add_lora(encoder, config.lora_rank, config.lora_alpha, config.lora_dropout)

    def forward(
        self,
        image: Tensor,
        neutral: Tensor | None = None,
        neutral_of: Tensor | None = None,
        attention: bool = False,
        others: Tensor | None = None,
    ) -> Outputs:
        """What it says of pictures.

        Args:
            image: [B, 3, S, S], (x − mean) / std.
            neutral: [M, 3, S, S] distinct neutral pictures; each is encoded once.
            neutral_of: [B, K] rows of `neutral`; may be left out where M is B or 1.
            attention: Whether the attention is handed back.
            others: [B] rows of `image`, of a model that subtracts: beside whom each face is seen once more, for
                `Outputs.pairs`.

        Raises:
            ValueError: The model takes a neutral picture and got none, or the other way round.
        """
        if (neutral is not None) != (self.fusion is not None):
            raise ValueError(f"this model takes {'a' if self.fusion is not None else 'no'} neutral picture")
        compared: Tensor | None = None
        if neutral is None or self.fusion is None:
            tokens = fused = self.backbone.tokens(image)
        else:
            rows = neutral_rows(image.shape[0], neutral, neutral_of)
            tokens, neutral_tokens = self._encode_both(image, neutral)
            if self.config.subtracts:
                return self._subtracted(tokens, neutral_tokens, rows, attention, others)
            fused, compared = self.fusion(tokens, neutral_tokens, rows, attention)
        logit = self.score(fused[:, 0])
        units, looked = self.units(fused[:, self.prefix :], attention)
        return Outputs(
            tokens=tokens,
            pspi_logit=logit,
            pspi=logit.sigmoid() * MAX_PSPI,
            au=units,
            binary=self.thresholds(fused[:, 0]),
            attention=_maps(compared, looked) if attention else None,
            pspi_std=None if self.spread is None else self.spread(fused[:, 0]) * MAX_PSPI,
        )

    def _subtracted(
        self, tokens: Tensor, neutral: Tensor, rows: Tensor, attention: bool, others: Tensor | None
    ) -> Outputs:
        """What is said of tokens [B, L, D] beside neutral ones [M, L, D]; `rows` [B, K], `others` [B] of the B.

        A face looks at its neutral ones, each neutral one at itself, and the second is subtracted from the first. All
        go through fusion and heads in one pass, so that the same tokens are the same features. A face beside another
        is one that has that for its neutral one.
        """
        assert self.fusion is not None
        count = tokens.shape[0]  # len would fix the size of a batch in what is exported
        faces = tokens
        if others is not None:
            pairs = (neutral.shape[0] + others)[:, None].expand(-1, rows.shape[1])
            faces, neutral, rows = tokens.repeat(2, 1, 1), torch.cat([neutral, tokens]), torch.cat([rows, pairs])
        own = torch.arange(neutral.shape[0], device=rows.device)[:, None].expand(-1, rows.shape[1])
        fused, compared = self.fusion(torch.cat([faces, neutral]), neutral, torch.cat([rows, own]), attention)
        differs = GAIN * subtracted(fused[:, 0].float(), rows)
        signed = self.score(differs)
        share = above_margin(signed[:count], self.training)
        assert isinstance(self.units, UnitDifference)
        units, looked = self.units(fused[:, self.prefix :], rows, attention)
        return Outputs(
            tokens=tokens,
            pspi_logit=squeezed_logit(share),
            pspi=share * MAX_PSPI,
            au=self.units.shown(units[:count]),
            binary=self.thresholds(differs[:count]),
            attention=_maps(None if compared is None else compared[:count], None if looked is None else looked[:count])
            if attention
            else None,
            pspi_std=None if self.spread is None else self.spread(fused[:count, 0]) * MAX_PSPI,
            pairs=None
            if others is None
            else Pairs(signed[count:] * MAX_PSPI, units[count:] * self.units.intensity.scale),
        )

    def _encode_both(self, image: Tensor, neutral: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of faces and of neutral faces; one pass where both have the same encoder."""
        if self.neutral_backbone is not None:
            return self.backbone.tokens(image), self.neutral_backbone.tokens(neutral)
        tokens = self.backbone.tokens(torch.cat([image, neutral]))
        return tokens[: image.shape[0]], tokens[image.shape[0] :]


def _maps(neutral: Tensor | None, units: Tensor | None) -> dict[str, Tensor]:
    """The attention that there is, by name."""
    return {name: found for name, found in (("neutral", neutral), ("au", units)) if found is not None}
