"""Styles that are held out are functions of a picture and its row; another renderer shows the same head."""

import numpy as np
import pytest

from benchmarks.flat_shading import paint_flat
from benchmarks.held_out_styles import SEEN, Pixels, cartoon, compressed, grey_film, options_of, table_of
from pain3d.rendering.frames import render_scenes
from pain3d.scene import demographic_grid, sample_scenes


def picture() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)


@pytest.mark.parametrize("style", [grey_film, cartoon, compressed])
def test_a_style_is_a_function_of_picture_and_row(style: object) -> None:
    assert callable(style)
    made = style(picture(), 3)
    assert made.shape == (48, 40, 3) and made.dtype == np.uint8
    assert np.array_equal(made, style(picture(), 3)) and not np.array_equal(made, picture())


def test_film_is_grey() -> None:
    assert (np.ptp(grey_film(picture(), 3), axis=2) == 0).all()


def test_no_row_learns_what_it_is_asked_in() -> None:
    assert options_of("without blur") == ("--styles", f"{SEEN}-blur")
    assert options_of("only curve") == ("--styles", "curve")
    for arm in ("only grain", "nothing"):
        with pytest.raises(KeyError):
            options_of(arm)


def test_a_table_is_of_means_over_seeds() -> None:
    row = {"r": 0.9, "mae": 1.0, "neutral": 1.0, "same, 95 %": 0.0, "same, most": 0.0}
    seeds = [{"styles": {"cartoon": {**row, "r": r}}, "photographs": {"a": 0.25, "b": r}} for r in (0.8, 0.9)]
    table = table_of({"attention": seeds})
    assert "0.850 ± 0.071" in table
    assert table.splitlines()[-1].split() == ["attention", "photographs", "0.85"]


def test_another_renderer_shows_the_same_head() -> None:
    cell = demographic_grid(1, 3)[0]
    scenes = sample_scenes(seed=3, identity_id=0, cell=cell, expressions=1, views=1, size=96)
    seen, covered = paint_flat(scenes), render_scenes(scenes).alpha >= 128
    for flat, mask in zip(seen, covered, strict=True):
        drawn = (flat != flat[0, 0]).any(2)
        shared = (drawn & mask).sum() / (drawn | mask).sum()
        assert shared > 0.85  # worst of 12 pictures of 6 people .89: flat faces have no hair, which stands off the skin
    assert not np.array_equal(seen[0], seen[1])
