"""A face and its mirror image are told alike."""

from dataclasses import fields

import pytest
import torch

from pain3d.training.model.both_ways import ask_both_ways
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import build_model

SHAPE = {"width": 32, "depth": 1, "heads": 2, "image_size": 32}
CONFIGS = {
    "difference": ModelConfig(**SHAPE, conv_stem=True, fusion="difference", spread=True),  # type: ignore[arg-type]
    "attention": ModelConfig(**SHAPE),  # type: ignore[arg-type]
    "siamese": ModelConfig("siamese", image_size=32),
    "alone": ModelConfig(**SHAPE, neutral=False, spread=True),  # type: ignore[arg-type]
}
SAID = ("pspi_logit", "pspi", "au", "binary", "pspi_std")


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_mean_of_both(name: str) -> None:
    model = build_model(CONFIGS[name], seed=1).eval()
    image, others = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    neutral = others[:2] if model.config.neutral else None
    of = torch.tensor([[0], [0], [1], [1]]) if model.config.neutral else None
    turned = None if neutral is None else neutral.flip(3)
    with torch.no_grad():
        one, other = model(image, neutral, of), model(image.flip(3), turned, of)
        both = ask_both_ways(model, image, neutral, of, attention=True)
        again = ask_both_ways(model, image.flip(3), turned, of)
    assert float((one.pspi - other.pspi).abs().max()) > 1e-4  # or there would be nothing to see here
    for field in fields(one):
        ours = getattr(both, field.name)
        if field.name in SAID and getattr(one, field.name) is not None:
            torch.testing.assert_close(ours, (getattr(one, field.name) + getattr(other, field.name)) / 2)
            assert torch.equal(ours, getattr(again, field.name))  # a sum of two has no order
        elif field.name in SAID:
            assert ours is None
    assert torch.equal(both.tokens, one.tokens)
    assert (both.attention is None) == (name == "siamese")
