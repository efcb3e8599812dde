"""Scenes: sampled by key, balanced, small, and a pure function of their arguments."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pain3d.scene import CELLS, Scene, demographic_grid, sample_expression, sample_scenes


@settings(max_examples=40)
@given(st.integers(1, 200), st.integers(0, 2**40))
def test_grid_is_balanced_to_within_one_for_any_number(identities: int, seed: int) -> None:
    cells = demographic_grid(identities, seed)
    counts = Counter(cells)
    every = [counts.get(cell, 0) for cell in CELLS]
    assert len(cells) == identities and max(every) - min(every) <= 1
    for axis in ("sex", "ancestry", "age_group"):
        values = Counter(getattr(cell, axis) for cell in demographic_grid(len(CELLS), seed))
        assert len(set(values.values())) == 1
    for start in range(0, 24, 6):
        six = demographic_grid(24, seed)[start : start + 6]
        assert len({(cell.sex, cell.ancestry) for cell in six}) == 6
        assert max(Counter(cell.age_group for cell in six).values()) <= 2


def test_scenes_of_an_identity() -> None:
    cell = demographic_grid(3, 0)[2]
    scenes = sample_scenes(seed=0, identity_id=2, cell=cell, expressions=4, views=3, size=256)
    assert [(s.expression_id, s.view_id) for s in scenes] == [(e, v) for e in range(5) for v in range(3)]
    assert all(scene.au.pspi() == 0 and not scene.au.nonzero() for scene in scenes[:3])
    assert len({scene.identity for scene in scenes}) == 1
    # One moment is filmed by several cameras: pose and light belong to the expression, the camera to the view.
    for expression in range(5):
        moment = scenes[3 * expression : 3 * expression + 3]
        assert len({s.light for s in moment}) == len({s.pose for s in moment}) == len({s.au for s in moment}) == 1
        assert [s.camera for s in moment] == [s.camera for s in scenes[:3]]
    yaws = [s.camera.yaw for s in scenes[:3]]
    assert yaws == sorted(yaws) and -38 <= yaws[0] < -12 and 12 < yaws[2] <= 38


def test_json_goes_round_in_two_kilobytes() -> None:
    for identity in range(8):
        cell = demographic_grid(8, 1)[identity]
        for scene in sample_scenes(seed=2**62, identity_id=identity, cell=cell, expressions=3, views=2, asymmetry=0.3):
            text = scene.to_json()
            assert Scene.from_json(text) == scene
            assert len(text.encode()) <= 2048 and "\n" not in text
    with pytest.raises(ValueError, match=r"^not a scene"):
        Scene.from_json('{"seed": 1}')


@pytest.mark.parametrize("law", ["uniform", "independent", "clinical"])
def test_expressions_leave_pspi_alone(law: str) -> None:
    plain = [sample_expression(3, 7, e, law, co_occurring=False) for e in range(40)]
    joined = [sample_expression(3, 7, e, law, co_occurring=True) for e in range(40)]
    askew = [sample_expression(3, 7, e, law, co_occurring=True, asymmetry=0.5) for e in range(40)]
    assert [a.pspi() for a in plain] == [a.pspi() for a in joined]
    assert np.allclose([a.pspi() for a in askew], [a.pspi() for a in joined])
    assert any(set(a.nonzero()) - set(b.nonzero()) for a, b in zip(joined, plain, strict=True))
    assert any("_L" in name for a in askew for name in a.nonzero()) or law == "clinical"


def test_bad_asymmetry() -> None:
    with pytest.raises(ValueError, match=r"^asymmetry must be in 0\.\.1, got 2"):
        sample_scenes(seed=0, identity_id=0, cell=CELLS[0], asymmetry=2)
