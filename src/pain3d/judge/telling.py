"""Knows how well a small classifier tells two kinds of pictures apart: asked of people it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.judge.measures import ranking
from pain3d.random import keyed_generator

Floats = npt.NDArray[np.floating]
Truths = npt.NDArray[np.bool_]

PENALTY: Final = 0.01  # on half the squared weights of standardised numbers, against a mean loss
STEPS: Final = 30  # of Newton's method; seen: the last change is below 1e-9 after 8
FOLDS: Final = 5
DRAWS: Final = 1000  # of people, for intervals
LEAST_PEOPLE: Final = 10  # of either kind: with fewer an interval says nothing


class Told(NamedTuple):
    """Accuracy (the mean of both kinds') and area under the curve, each with its 95 % interval; `weights` [K]."""

    accuracy: tuple[float, float, float]
    area: tuple[float, float, float]
    weights: Floats


def told_apart(numbers: Floats, real: Truths, people: Sequence[str], sources: Sequence[str] | None, seed: int) -> Told:
    """Ask a logistic regression, of people it was not fitted to, which are photographs.

    Args:
        numbers: [N, K] of N pictures.
        real: [N] which are photographs.
        people: [N] whose they are; a person is in one fold.
        sources: [N] where they come from; then a fold is a source of photographs and a share of the others' people, so
            that a source's own compression teaches nothing. None: FOLDS folds of people.
        seed: Of the folds and of the people that intervals draw.
    """
    fold = folds(real, people, sources, seed)
    scores = np.zeros(len(real))
    for number in np.unique(fold):
        asked = fold == number
        middle, spread = numbers[~asked].mean(0), numbers[~asked].std(0) + 1e-9
        weights = fitted((numbers[~asked] - middle) / spread, real[~asked])
        scores[asked] = with_one((numbers[asked] - middle) / spread) @ weights
    names, person = np.unique(np.asarray(people), return_inverse=True)
    kinds = np.array([real[person == k][0] for k in range(len(names))])
    rows = [np.flatnonzero(person == k) for k in range(len(names))]
    generator = keyed_generator(seed, "judge/telling/interval")
    drawn = []
    for _ in range(DRAWS):
        some = np.concatenate(
            [generator.choice(np.flatnonzero(kinds == kind), (kinds == kind).sum()) for kind in (0, 1)]
        )
        taken = np.concatenate([rows[k] for k in some])
        drawn.append((balanced(scores[taken], real[taken]), ranking(scores[taken], real[taken])))
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    whole = fitted((numbers - numbers.mean(0)) / (numbers.std(0) + 1e-9), real)
    return Told(
        (balanced(scores, real), float(low[0]), float(high[0])), (ranking(scores, real), float(low[1]), float(high[1])),
        whole[1:],
    )  # fmt: skip


def folds(real: Truths, people: Sequence[str], sources: Sequence[str] | None, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each picture [N]; see `told_apart`."""
    names = np.unique(np.asarray(people))
    if sources is None:
        shuffled = keyed_generator(seed, "judge/telling/folds").permutation(len(names))
        of_person = {str(names[place]): number % FOLDS for number, place in enumerate(shuffled)}
        return np.array([of_person[person] for person in people])
    kept = sorted({source for source, is_real in zip(sources, real, strict=True) if is_real})
    ours = sorted({person for person, is_real in zip(people, real, strict=True) if not is_real})
    of_ours = {person: number % len(kept) for number, person in enumerate(ours)}
    return np.array(
        [kept.index(s) if r else of_ours[p] for s, r, p in zip(sources, real, people, strict=True)], np.int64
    )


def fitted(numbers: Floats, real: Truths) -> Floats:
    """Weights [K + 1], first a constant's, of a ridge logistic regression by Newton's method; kinds count alike."""
    inputs = with_one(numbers)
    share = np.where(real, 0.5 / max(real.sum(), 1), 0.5 / max((~real).sum(), 1))
    ridge = np.diag([0.0, *[PENALTY] * numbers.shape[1]])
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (share * (chance - real)) + ridge @ weights
        curve = (inputs * (share * np.maximum(chance * (1 - chance), 1e-9))[:, None]).T @ inputs + ridge
        weights = weights - np.linalg.solve(curve + 1e-9 * np.eye(len(weights)), slope)
    return weights


def with_one(numbers: Floats) -> Floats:
    """A constant before the numbers."""
    return np.concatenate([np.ones((len(numbers), 1)), numbers], 1)


def balanced(scores: Floats, real: Truths) -> float:
    """Mean share of each kind that has its sign, per cent."""
    return float(50 * ((scores[real] > 0).mean() + (scores[~real] <= 0).mean()))
