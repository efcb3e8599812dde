"""Knows how the nearest face is found: Levenberg and Marquardt's steps, each the lowest point of a bounded quadratic.

Sources: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters" (1963); limits by an active set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.fitting.objective import Objective, Slope
from pain3d.fitting.parameters import Block

Doubles = npt.NDArray[np.float64]

FIRST_DAMPING, LEAST_DAMPING = 1e-2, 1e-6
LESS, MORE = 0.25, 8.0  # factors on the damping after a step that helped and one that didn't
TRIALS: Final = 5
ENOUGH: Final = 1e-3  # share of the cost: a step that gains less is the last


def minimise(
    objective: Objective,
    values: Doubles,
    free: Sequence[Block],
    rounds: int,
    watch: Callable[[Slope], None] | None = None,
) -> Doubles:
    """Values [P] from which at most so many steps lead no further down; only numbers of free blocks change."""
    numbers = objective.numbers
    places, damping = numbers.places(list(free)), FIRST_DAMPING
    for _ in range(rounds):
        slope = objective.slope(values, free)
        if watch is not None:
            watch(slope)
        matrix, gradient = slope.matrix[np.ix_(places, places)], slope.gradient[places]
        low, high = (numbers.low - values)[places], (numbers.high - values)[places]
        for _ in range(TRIALS):
            tried = values.copy()
            tried[places] += bounded_step(matrix + damping * np.diag(np.diag(matrix)), gradient, low, high)
            tried = np.clip(tried, numbers.low, numbers.high)
            cost = objective.cost(tried)
            if cost < slope.cost:
                break
            damping *= MORE
        else:
            return values
        values, damping = tried, max(damping * LESS, LEAST_DAMPING)
        if slope.cost - cost < ENOUGH * abs(slope.cost):
            break
    return values


def bounded_step(matrix: Doubles, gradient: Doubles, low: Doubles, high: Doubles) -> Doubles:
    """The step [P] between low ≤ 0 and high ≥ 0 that minimises gradient · step + ½ step · matrix · step.

    Numbers that leave their limits are held there and the rest is solved again; one that is pushed back is let go.
    """
    step, held = np.zeros(len(gradient)), np.zeros(len(gradient), bool)
    for _ in range(3 * len(gradient)):
        loose = ~held
        step[loose] = np.linalg.solve(
            matrix[np.ix_(loose, loose)], -(gradient[loose] + matrix[np.ix_(loose, held)] @ step[held])
        )
        beyond = loose & ((step < low) | (step > high))
        if beyond.any():
            step = np.clip(step, low, high)
            held |= beyond
            continue
        force = gradient + matrix @ step
        pushed_back = held & (((step <= low) & (force < -1e-9)) | ((step >= high) & (force > 1e-9)))
        if not pushed_back.any():
            break
        held[np.argmax(np.where(pushed_back, np.abs(force), 0.0))] = False
    return np.clip(step, low, high)
