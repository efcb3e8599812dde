"""Knows how a config becomes a model whose first weights belong to a seed, and to nothing that was drawn before."""

from __future__ import annotations

import torch

from pain3d.random import keyed_number
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.siamese import SiameseConv
from pain3d.training.model.vitpain import ViTPain

Model = ViTPain | SiameseConv


def build_model(config: ModelConfig, *, seed: int = 0, weights: str | None = None) -> Model:
    """A model, on the CPU, in training mode.

    Args:
        config: Its shape.
        seed: Of the weights that are drawn; the same seed gives the same weights.
        weights: First weights of the encoders, see `make_backbone`; the heads are drawn.

    Raises:
        RefusedError: The backbone is unknown, or the weights are missing, unsafe or of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(keyed_number(seed, "model weights"))
        return SiameseConv(config, weights) if config.architecture == "siamese" else ViTPain(config, weights)
