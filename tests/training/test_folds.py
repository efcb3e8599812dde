"""Folds are of people: nobody is in two of them, and the deal depends on names and seed alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pain3d.console.refused import RefusedError
from pain3d.training.data.folds import assign_folds, fold_split
from pain3d.training.prediction import split_rows
from tests.training.made_samples import made_samples


@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**40))
def test_folds_are_even_and_know_no_order(people: int, k: int, seed: int) -> None:
    names = [f"person{number}" for number in range(people)]
    if k > people:
        with pytest.raises(RefusedError, match=f"{k} folds need at least {k} people, there are {people}"):
            assign_folds(names, k, seed)
        return
    folds = assign_folds(names, k, seed)
    sizes = np.bincount(folds, minlength=k)
    assert sizes.sum() == people and sizes.max() - sizes.min() <= 1
    again = assign_folds(names[::-1], k, seed)
    assert again[::-1].tolist() == folds.tolist()


def test_the_seed_deals() -> None:
    names = [f"person{number}" for number in range(20)]
    assert len({tuple(assign_folds(names, 5, seed).tolist()) for seed in range(5)}) == 5


def test_every_fold_is_tested_once() -> None:
    samples = made_samples([2, 3, 1, 4, 2, 2, 5])
    tested: list[int] = []
    for fold in range(3):
        split = fold_split(samples, 3, fold, 9)
        parts = {
            word: set(samples.subject[split_rows(split, word)].tolist()) for word in ("train", "validation", "test")
        }
        assert sum(len(part) for part in parts.values()) == 7  # disjoint: Samples would refuse otherwise
        tested += sorted(parts["test"])
        following = fold_split(samples, 3, (fold + 1) % 3, 9)
        assert parts["validation"] == set(samples.subject[split_rows(following, "test")].tolist())
    assert sorted(tested) == list(range(7))


def test_leave_one_out() -> None:
    samples = made_samples([2] * 5)
    alone = [np.unique(samples.subject[split_rows(fold_split(samples, 5, fold, 0), "test")]) for fold in range(5)]
    assert sorted(int(one[0]) for one in alone) == [0, 1, 2, 3, 4]
    assert all(len(one) == 1 for one in alone)


def test_people_without_a_picture_don_t_count() -> None:
    some = replace(made_samples([2] * 3), subjects=tuple(f"person{person}" for person in range(6)))
    assert set(fold_split(some, 3, 0, 0).split or ()) == {"train", "validation", "test"}
    with pytest.raises(RefusedError, match="made: 4 folds need at least 4 people, there are 3"):
        fold_split(some, 4, 0, 0)


@pytest.mark.parametrize(
    ("k", "fold", "message"), [(2, 0, "2 folds are too few"), (3, 3, "no fold 3"), (3, -1, "no fold")]
)
def test_impossible_folds(k: int, fold: int, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        fold_split(made_samples([1] * 5), k, fold, 0)
