"""What the heads of a model say for one face: chances in order, the rest made to agree if asked."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pain3d.training.data.samples import pspi_of
from pain3d.training.evaluation.consistency import LARGEST, consistent_chances, consistent_units, heads_apart
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import build_model
from pain3d.training.model.heads import ordered
from tests.training.test_metrics import made_up

SHAPES = {
    "vitpain": {"depth": 1, "width": 32, "heads": 2, "fusion_heads": 2},
    "siamese": {},
}


@pytest.mark.parametrize("architecture", SHAPES)
def test_a_higher_threshold_is_never_likelier(architecture: str) -> None:
    """Whatever the weights are: here they ask for PSPI ≥ 3 more than for PSPI ≥ 1."""
    config = ModelConfig(architecture=architecture, image_size=32, neutral=False, **SHAPES[architecture])
    model = build_model(config)
    last = model.out if architecture == "siamese" else model.thresholds.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        first = 1 if architecture == "siamese" else 0
        last.bias[first : first + 3] = torch.tensor([-1.0, 0.0, 1.0])
        last.weight.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        said = model.eval()(torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(1))).binary
    assert (said.diff(dim=1) <= 0).all() and (said.diff(dim=1) == 0).any()


def test_what_is_in_order_stays_and_what_is_not_still_learns() -> None:
    fine, wrong = torch.tensor([[3.0, 1.0, -2.0]]), torch.tensor([[0.5, 1.0, -2.0]], requires_grad=True)
    assert torch.equal(ordered(fine, False), fine) and torch.equal(ordered(fine, True), fine)
    said = ordered(wrong, True)
    assert said.tolist() == ordered(wrong, False).tolist() == [[0.5, 0.5, -2.0]]
    said.sum().backward()
    assert wrong.grad is not None and wrong.grad.tolist() == [[1, 1, 1]]


@given(st.integers(0, 2**32), st.floats(0, 16))
def test_units_that_agree_with_the_score(seed: int, wanted: float) -> None:
    generator = np.random.default_rng(seed)
    au = generator.uniform(0, 1, (3, 6)) * [5, 5, 5, 5, 5, 1] * generator.integers(0, 2, (3, 6))
    made = consistent_units(au, np.full(3, wanted))
    # worst seen 3e-6 over 20,000 draws: `pspi_of` sums in float32
    assert np.abs(pspi_of(made) - wanted).max() < 1e-5
    assert (made >= 0).all() and (made <= [5, 5, 5, 5, 5, 1]).all()
    again = consistent_units(made, np.full(3, wanted))
    assert np.abs(again - made).max() < 1e-9  # worst seen 2e-15: what agrees stays


def test_no_other_units_are_nearer() -> None:
    """Against 4,000 draws of terms with the same sum."""
    generator = np.random.default_rng(0)
    for _ in range(10):
        terms, wanted = generator.uniform(0, 1, 4) * LARGEST, generator.uniform(0, 16)
        au = terms[[0, 1, 1, 2, 2, 3]][None]
        found = consistent_units(au, [wanted])[0, [0, 1, 3, 5]]
        others = generator.uniform(0, 1, (4000, 4)) * LARGEST
        others[:, 0] = wanted - others[:, 1:].sum(1)
        others = others[(others[:, 0] >= 0) & (others[:, 0] <= 5)]
        cost = (((others - terms) / LARGEST) ** 2).sum(1)
        assert (((found - terms) / LARGEST) ** 2).sum() <= cost.min(initial=np.inf) + 1e-12


def test_chances_agree_with_the_score_and_stay_in_order() -> None:
    chances = [[0.9, 0.8, 0.6], [0.4, 0.3, 0.1], [0.9, 0.2, 0.1]]
    assert consistent_chances(chances, [0.2, 3.5, 1.0]).tolist() == [[0.5, 0.5, 0.5], [0.5] * 3, [0.9, 0.2, 0.1]]


def test_how_far_heads_are_apart() -> None:
    found = made_up()
    said = heads_apart(found)
    apart = np.abs(found.pspi - pspi_of(found.au))
    assert said["mean"] == pytest.approx(apart.mean()) and said["largest"] == pytest.approx(apart.max())
    assert said["mean"] < said["most_of_95"] < said["largest"]
    assert said["mae_of_units"] == pytest.approx(np.abs(pspi_of(found.au) - found.pspi_true).mean(), rel=1e-5)
    assert said["sides"]["2"] == np.mean((found.binary[:, 1] >= 0.5) != (found.pspi >= 2))
