"""Holds what the teaching of the small skin model promises: what a step sees is drawn by key."""

import numpy as np
import pytest
import torch

from pain3d.pipeline.texture.skin_model.grid import NUMBERS, SIDE
from tools.train_skin_model import LOOSE, Lessons, batch_of


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    draw = np.random.Generator(np.random.Philox(3))
    return Lessons(
        pictures=torch.from_numpy(draw.integers(256, size=(3, 3, SIDE, SIDE)).astype(np.uint8)),
        told=torch.from_numpy(draw.standard_normal((3, NUMBERS), np.float32)),
        worn=torch.from_numpy(draw.random((3, SIDE, SIDE)) < 0.3),
        seen=draw.random((2, 8 + LOOSE, SIDE, SIDE)) < 0.3,
        mirror=np.tile(np.arange(SIDE)[::-1], (SIDE, 1)),
    )


def test_a_step_draws_the_same_whatever_was_drawn_before(lessons: Lessons) -> None:
    shown = torch.ones(1, 1, SIDE, SIDE)
    first, other, again = (batch_of(lessons, step, shown) for step in (5, 6, 5))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    assert first[0].abs().max() <= 1
