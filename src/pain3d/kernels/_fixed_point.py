"""Knows sums whose order does not matter: floats as whole numbers of a common step, added as int64.

Threads that add floats to one place with atomics add them in any order, and each order rounds another way. Whole
numbers do not round. The step is a power of two, from the greatest value and the number of terms, so small that 62 bits
hold the sum of all of them at their greatest: of 2^20 terms each is off by less than 2^-40 of the greatest.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SUM_BITS = 62  # of 63: every term may be off by one step
MOST_STEPS = 2.0**SUM_BITS  # of a term: what is more, or NaN, is not added, and the sum's step is NaN
MOST_SHIFT = 100  # a step and its inverse are floats; what is below 2^-100 may be lost


class Steps(NamedTuple):
    """How floats become steps and back, a number for each sum or group of sums."""

    per_value: Tensor  # steps of a value of 1, a power of two
    value: Tensor  # of a step: 1 / per_value, NaN where a term is not finite


def steps_for(greatest: Tensor, terms: int) -> Steps:
    """Return the steps for sums of at most so many terms.

    Args:
        greatest: [...] float32, at least the size of each term; inf or NaN where one is.
        terms: At most 2^40.
    """
    exponent = (greatest.contiguous().view(torch.int32) >> 23) - 126  # greatest < 2^exponent
    shift = (SUM_BITS - terms.bit_length() - exponent).clamp(-MOST_SHIFT, MOST_SHIFT)

    def power(shift: Tensor) -> Tensor:
        return (shift + 127 << 23).view(torch.float32)  # by its bits: exact, which exp2 need not be

    return Steps(power(shift), torch.where(greatest.isfinite(), power(-shift), torch.nan))
