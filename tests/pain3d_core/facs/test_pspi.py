"""PSPI, its solutions and the laws that draw them."""

import numpy as np
import pandas as pd
import pytest
import torch

from pain3d.facs import MAX_PSPI, pspi, sample_pain_units, solutions
from pain3d.facs.pain_score import pspi_probabilities
from pain3d.random import keyed_generator


def test_published_examples() -> None:
    # AU4, 6, 7, 9, 10, 43 → PSPI, from the annotations of 3DPain.
    assert pspi(4, 2, 4, 3, 1, 1) == 12
    assert pspi(4, 5, 5, 0, 5, 0) == 14
    assert pspi(0, 3, 3, 0, 0, 1) == 4
    assert pspi(5, 5, 5, 5, 5, 1) == MAX_PSPI == 16


def test_many_are_scored_as_one_is() -> None:
    """Arrays, lists, tensors (with gradients) and columns of pandas, which keep their index."""
    rows = solutions(9)[::7]
    expected = [pspi(*map(float, row)) for row in rows]
    units = rows.T.astype(float)
    assert pspi(*units).tolist() == pspi(*units.tolist()).tolist() == expected == [9.0] * len(rows)
    assert pspi(*rows.T).tolist() == expected
    table = pd.DataFrame(units.T, columns=list("abcdef"), index=range(5, 5 + len(rows)))
    scored = pspi(*(table[name] for name in table))
    assert isinstance(scored, pd.Series) and scored.tolist() == expected and scored.index.equals(table.index)
    tensors = torch.from_numpy(units).requires_grad_()
    scores = pspi(*tensors[:5], 0 * tensors[5])
    scores.sum().backward()
    assert (scores + tensors[5]).tolist() == expected and tensors.grad is not None
    assert (tensors.grad[0] == 1).all() and (tensors.grad[1] + tensors.grad[2] == 1).all()
    assert pspi(np.float32(2), 1, 1, 0, 0, True) == 4


@pytest.mark.parametrize(
    ("au4", "message"),
    [
        (np.array([0.0, 6.0]), r"AU4 must be in 0\.\.5, got 6\.0 at 1$"),
        ([0.0, float("nan")], r"AU4 must be in 0\.\.5, got nan at 1$"),
        (torch.tensor([-1.0, 2.0]), r"AU4 must be in 0\.\.5, got -1\.0 at 0$"),
        (pd.Series(["1", "2"]), r"AU4 must be in 0\.\.5, got "),
        ("3", r"AU4 must be in 0\.\.5, got '3'$"),
    ],
)
def test_a_wrong_one_of_many_is_named(au4: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        pspi(au4, 0, 0, 0, 0, 0)
    assert "\n" not in str(caught.value)


def test_solutions_are_all_and_only_the_right_ones() -> None:
    total = 0
    for score in range(MAX_PSPI + 1):
        rows = solutions(score)
        assert len(np.unique(rows, axis=0)) == len(rows) > 0
        assert all(pspi(*map(float, row)) == score for row in rows)
        total += len(rows)
    assert total == 6**5 * 2
    assert solutions(16).tolist()[0][0] == 5 and len(solutions(0)) == 1


@pytest.mark.parametrize("score", [-1, 17, 2.5])
def test_unreachable_pspi(score: float) -> None:
    with pytest.raises(ValueError, match=r"^PSPI must be a whole number in 0\.\.16, got"):
        solutions(score)  # type: ignore[arg-type]


def test_uniform_law_is_uniform_in_score_and_in_solutions() -> None:
    rows = sample_pain_units(keyed_generator(0, "test"), "uniform", 17_000)
    score = rows[:, 0] + rows[:, 1:3].max(1) + rows[:, 3:5].max(1) + rows[:, 5]
    counts = np.bincount(score, minlength=17)
    assert counts.sum() == 17_000
    # 1,000 expected per score; a standard deviation is 31: six of them.
    assert np.abs(counts - 1000).max() < 186
    # PSPI 1 has 8 solutions: AU4, AU43, {AU6, AU7, both} and {AU9, AU10, both}.
    _, per_solution = np.unique(rows[score == 1], axis=0, return_counts=True)
    assert len(per_solution) == len(solutions(1)) == 8
    assert per_solution.min() > 0.6 * per_solution.mean()


def test_independent_law_has_no_correlation() -> None:
    rows = sample_pain_units(keyed_generator(1, "test"), "independent", 20_000).astype(float)
    correlation = np.corrcoef(rows.T) - np.eye(6)
    assert np.abs(correlation).max() < 0.035  # five standard deviations of 1/sqrt(20,000)
    assert set(np.unique(rows[:, 0])) == set(range(6)) and set(np.unique(rows[:, 5])) == {0, 1}


def test_clinical_law_is_mostly_zero() -> None:
    rows = sample_pain_units(keyed_generator(2, "test"), "clinical", 20_000)
    zero = (rows == 0).all(1).mean()
    assert abs(zero - 0.83) < 0.014  # five standard deviations
    assert abs(pspi_probabilities("clinical").sum() - 1) < 1e-12


def test_unknown_law() -> None:
    with pytest.raises(ValueError, match="law must be one of uniform, independent, clinical, got 'weekly'"):
        sample_pain_units(keyed_generator(0, "test"), "weekly")
