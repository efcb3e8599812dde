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
from pain3d.training.model.fusion import neutral_rows
from pain3d.training.model.heads import (
    FIRST_SPREAD,
    FIRST_UNIT,
    UNIT_SCALE,
    Intensity,
    in_float32,
    ordered,
)
from pain3d.training.model.vitpain import Outputs

NARROW: Final = 32  # channels of a place in the picture before all places are read together
EMBEDDING: Final = 128


class SiameseConv(nn.Module):
    """The same door as `ViTPain`; one token per picture, no attention to show.

    The embedding is no mean over the picture: where a line is tells its muscle.

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
        self.mix = nn.Linear(EMBEDDING * (2 if config.neutral else 1), EMBEDDING)
        self.out = nn.Linear(EMBEDDING, 1 + len(THRESHOLDS) + len(UNIT_SCALE))
        self.intensity = Intensity()
        for layer in (self.narrow, self.embed, self.mix):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.out.weight, std=FIRST_SPREAD)
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
    ) -> Outputs:
        """What it says of pictures; arguments as `ViTPain.forward`, and `Outputs.attention` is None.

        With K neutral faces their embeddings are averaged.

        Raises:
            ValueError: The model takes a neutral picture and got none, or the other way round.
        """
        if (neutral is not None) != self.config.neutral:
            raise ValueError(f"this model takes {'a' if self.config.neutral else 'no'} neutral picture")
        if neutral is None:
            both = faces = self.embedded(image)
        else:
            rows = neutral_rows(image.shape[0], neutral, neutral_of)
            everything = self.embedded(torch.cat([image, neutral]))
            faces, neutrals = everything[: image.shape[0]], everything[image.shape[0] :]
            both = torch.cat([faces, neutrals[rows].mean(1)], 1)
        mixed = F.relu(self.mix(both))
        with in_float32(mixed):
            outputs: Tensor = self.out(mixed.float())
        return Outputs(
            tokens=faces[:, None],
            pspi_logit=outputs[:, 0],
            pspi=outputs[:, 0].sigmoid() * MAX_PSPI,
            au=self.intensity(outputs[:, 1 + len(THRESHOLDS) :]),
            binary=ordered(outputs[:, 1 : 1 + len(THRESHOLDS)], self.training),
            attention=None,
        )
