"""Knows the baseline: a small conv net that embeds a face and a neutral face alike and reads the two side by side."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pain3d.facs.pain_score import MAX_PSPI
from pain3d.training.data.samples import THRESHOLDS
from pain3d.training.model.backbone import make_backbone
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.differences import (
    CALM_LOGIT,
    MARGIN,
    FromZero,
    SpreadHead,
    above_margin,
    squeezed_logit,
    subtracted,
)
from pain3d.training.model.fusion import neutral_rows
from pain3d.training.model.heads import (
    FIRST_SPREAD,
    FIRST_UNIT,
    UNIT_SCALE,
    Intensity,
    in_float32,
    ordered,
)
from pain3d.training.model.vitpain import Outputs, Pairs

NARROW: Final = 32  # channels of a place in the picture before all places are read together
EMBEDDING: Final = 128


class SiameseConv(nn.Module):
    """The same door as `ViTPain`; one token per picture, no attention to show.

    The embedding is no mean over the picture: where a line is tells its muscle. With fusion ``difference`` what is said
    of the face beside the neutral one is h(face − neutral) − h(0), see `pain3d.training.model.differences`.

    Args:
        config: Its shape; `architecture` is ``siamese``.
        weights: First weights of the conv net, see `make_backbone`.

    Raises:
        RefusedError: The backbone is unknown or the weights don't fit.
    """

    def __init__(self, config: ModelConfig, weights: str | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = make_backbone(config, weights)
        self.prefix, self.grid = 1, (1, 1)
        places = self.backbone.grid[0] * self.backbone.grid[1]
        self.narrow = nn.Linear(self.backbone.width, NARROW)
        self.embed = nn.Linear(NARROW * places, EMBEDDING)
        self.mix = nn.Linear(EMBEDDING * (2 if config.neutral and not config.subtracts else 1), EMBEDDING)
        self.out = nn.Linear(EMBEDDING, 1 + len(THRESHOLDS) + len(UNIT_SCALE), bias=not config.subtracts)
        self.intensity = Intensity()
        self.said = FromZero(self.mix, nn.ReLU(), self.out) if config.subtracts else None
        self.spread = SpreadHead(EMBEDDING) if config.spread else None
        for layer in (self.narrow, self.embed, self.mix):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.out.weight, std=FIRST_SPREAD)
        if (
            config.subtracts
        ):  # a last bias would cancel; features are no less than 0, and a unit begins by saying something
            with torch.no_grad():
                self.out.weight[1 + len(THRESHOLDS) :].abs_()
        else:
            nn.init.zeros_(self.out.bias)
            with torch.no_grad():
                self.out.bias[1 + len(THRESHOLDS) :] = FIRST_UNIT

    def embedded(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, S, S] → [B, 128]."""
        places = F.relu(self.narrow(self.backbone.tokens(pictures)))
        return F.relu(self.embed(places.flatten(1)))

    def forward(
        self,
        image: Tensor,
        neutral: Tensor | None = None,
        neutral_of: Tensor | None = None,
        attention: bool = False,
        others: Tensor | None = None,
    ) -> Outputs:
        """What it says of pictures; arguments as `ViTPain.forward`, and `Outputs.attention` is None.

        With K neutral faces their embeddings are averaged.

        Raises:
            ValueError: The model takes a neutral picture and got none, or the other way round.
        """
        if (neutral is not None) != self.config.neutral:
            raise ValueError(f"this model takes {'a' if self.config.neutral else 'no'} neutral picture")
        rows: Tensor | None = None
        if neutral is None:
            both = faces = self.embedded(image)
        else:
            rows = neutral_rows(image.shape[0], neutral, neutral_of)
            everything = self.embedded(torch.cat([image, neutral]))
            faces, neutrals = everything[: image.shape[0]], everything[image.shape[0] :]
            both = torch.cat([faces, neutrals[rows].mean(1)], 1)
        spread = None if self.spread is None else self.spread(faces) * MAX_PSPI
        last = 1 + len(THRESHOLDS)
        if self.said is not None and rows is not None:
            embedded = everything.float()
            with in_float32(everything):
                outputs: Tensor = self.said(subtracted(embedded, rows))
                more = None if others is None else self.said(embedded[: len(faces)] - embedded[others])
            share = above_margin(outputs[:, 0], self.training)
            return Outputs(
                tokens=faces[:, None],
                pspi_logit=squeezed_logit(share),
                pspi=share * MAX_PSPI,
                au=self.intensity(outputs[:, last:] - MARGIN),
                binary=ordered(outputs[:, 1:last] + CALM_LOGIT, self.training),
                pspi_std=spread,
                pairs=None if more is None else Pairs(more[:, 0] * MAX_PSPI, more[:, last:] * self.intensity.scale),
            )
        mixed = F.relu(self.mix(both))
        with in_float32(mixed):
            outputs = self.out(mixed.float())
        return Outputs(
            tokens=faces[:, None],
            pspi_logit=outputs[:, 0],
            pspi=outputs[:, 0].sigmoid() * MAX_PSPI,
            au=self.intensity(outputs[:, last:]),
            binary=ordered(outputs[:, 1:last], self.training),
            pspi_std=spread,
        )
