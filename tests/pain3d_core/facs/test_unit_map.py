"""The table of action units in other words: made by its tool, each unit found again by its words, more is more."""

import csv

import numpy as np
import pytest
import torch

import pain3d
from pain3d.facs.action_units import AU_NUMBERS, AU_OF_ARKIT, intensity_to_weight
from pain3d.facs.unit_map import COLUMNS, TABLE, unit_names
from tools.build_unit_map import arkit_shapes, on_the_packaged_head

LEFT_OVER = 0.11  # of ARKit's words on the packaged head; worst seen .104 (AU26: a straight line for a turn)


@pytest.fixture(scope="module")
def moved() -> np.ndarray:
    """[A, V, 3] of each unit of ours at intensity 5."""
    head = pain3d.Head.default()
    faces = [pain3d.ActionUnits(**{f"AU{n}": 1 if n == 43 else 5}) for n in AU_NUMBERS]
    with torch.no_grad():
        return (head(au=faces).vertices - head().vertices).double().numpy()


def said(number: int, shapes: dict[str, np.ndarray]) -> np.ndarray:
    """[V, 3] of a unit's words in ARKit's shapes."""
    return sum(share * shapes[stem] for stem, share in unit_names()[number].arkit.items())


def test_the_table_is_what_its_tool_makes_of_the_packaged_head() -> None:
    assert tuple(unit_names()) == AU_NUMBERS
    for number, fit in on_the_packaged_head().items():
        row = unit_names()[number]
        assert tuple(row.arkit) == fit.shapes
        assert np.allclose(list(row.arkit.values()), fit.coefficients[0], atol=6e-3)  # two digits are written
        assert abs(row.arkit_left_over - fit.share[0]) < 2e-3 and row.arkit_left_over < LEFT_OVER
    with TABLE.open(newline="") as file:
        assert tuple(csv.DictReader(file).fieldnames or ()) == COLUMNS


def test_each_unit_is_found_again_by_its_words(moved: np.ndarray) -> None:
    """Round trip: of all our units, the one that a unit's ARKit words look most like is that unit (a jaw is a jaw)."""
    shapes = arkit_shapes(pain3d.Head.default())
    flat = moved.reshape(len(moved), -1)
    for place, number in enumerate(AU_NUMBERS):
        words = said(number, shapes).ravel()
        found = AU_NUMBERS[int(((flat - words) ** 2).sum(1).argmin())]
        assert found == number
        if len(unit_names()[number].arkit) == 1 and number not in (26, 27):
            (stem,) = unit_names()[number].arkit
            assert AU_OF_ARKIT[stem] == number
        assert np.linalg.norm(flat[place] - words) / np.linalg.norm(flat[place]) < LEFT_OVER + 0.02


def test_more_intensity_is_more_movement_and_signs_agree() -> None:
    weights = [intensity_to_weight(dose) for dose in range(6)]
    assert (np.diff(weights) > 0).all()
    for row in unit_names().values():
        assert all(share > 0 for share in (*row.arkit.values(), *row.ict.values())), row.au
        assert 0 <= row.arkit_left_over < 1 and 0 < row.ict_left_over < 1 and row.ict_residual_mm > 0
