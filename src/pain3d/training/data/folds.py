"""Knows how people are dealt into folds: whoever is tested was never seen, neither in training nor for a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.random import keyed_generator
from pain3d.training.data.samples import Samples

LEAST_FOLDS = 3  # one to test, one to choose by, one to learn from


def assign_folds(subjects: Sequence[str], k: int, seed: int) -> npt.NDArray[np.int64]:
    """Deal people into k folds whose sizes differ by one at most; with as many folds as people, leave one out.

    Args:
        subjects: [S] unique names. A fold depends on the names, not on their order.
        k: Folds.
        seed: Of the deal.

    Returns:
        [S] the fold of each, 0 to k − 1.

    Raises:
        RefusedError: Fewer than LEAST_FOLDS folds, or more folds than people.
    """
    if k < LEAST_FOLDS:
        raise RefusedError(f"{k} folds are too few: one is tested, one chosen by, at least one is learnt from")
    if k > len(subjects):
        raise RefusedError(f"{k} folds need at least {k} people, there are {len(subjects)}")
    by_name = np.argsort(np.array(subjects), kind="stable")
    dealt = by_name[keyed_generator(seed, "folds").permutation(len(subjects))]
    folds = np.empty(len(subjects), np.int64)
    folds[dealt] = np.arange(len(subjects)) % k
    return folds


def fold_split(samples: Samples, k: int, fold: int, seed: int) -> Samples:
    """The samples with the splits of one fold: `fold` is tested, the next one validates, the others teach.

    People without a picture count nowhere; a split that the samples had is forgotten.

    Args:
        samples: Any samples.
        k: Folds.
        fold: Which one is tested, 0 to k − 1.
        seed: Of the deal; the same in all folds of one evaluation.

    Raises:
        RefusedError: Too few people for so many folds, or no such fold.
    """
    if not 0 <= fold < k:
        raise RefusedError(f"there is no fold {fold}: {k} folds are numbered 0 to {k - 1}")
    present = np.unique(samples.subject)
    try:
        folds = assign_folds([samples.subjects[person] for person in present], k, seed)
    except RefusedError as error:
        raise RefusedError(f"{samples.name}: {error}") from error
    words = {fold: "test", (fold + 1) % k: "validation"}
    of_picture = folds[np.searchsorted(present, samples.subject)]
    return replace(samples, split=tuple(words.get(int(number), "train") for number in of_picture))
