"""Draws belong to keys: one by one or many at once."""

import numpy as np
import pytest

from pain3d.random import DrawnNumbers, keyed_generator, keyed_uniforms


@pytest.mark.parametrize("count", [1, 4, 7, 38])
def test_many_places_at_once_draw_what_each_generator_draws(count: int) -> None:
    ids = [(number, -number, 2**40 + number) for number in range(25)]
    expected = [keyed_generator(9, "stage", *each).random(count) for each in ids]
    assert np.array_equal(keyed_uniforms(9, "stage", ids, count), expected)
    assert keyed_uniforms(9, "stage", [], count).shape == (0, count)
    with pytest.raises(ValueError, match="seed must be in"):
        keyed_uniforms(-1, "stage", ids, count)


def test_drawn_numbers_are_handed_out_in_turn() -> None:
    generator, drawn = keyed_generator(1, "stage"), DrawnNumbers(keyed_uniforms(1, "stage", [()], 9)[0])
    for size in (1, (2, 3), 2):
        assert np.array_equal(drawn.random(size), generator.random(size))
