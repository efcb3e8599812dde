"""The Prkachin–Solomon pain intensity (PSPI), all its solutions, and laws to draw action units by.

PSPI = AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43, 0 to 16.
Source: Prkachin & Solomon, "The structure, reliability and validity of pain expression", Pain 139 (2008).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any, Literal, get_args, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.random import DrawnNumbers
from pain3d.ranges import told

PAIN_AUS = (4, 6, 7, 9, 10, 43)
MAX_INTENSITY = 5  # FACS intensities A to E
MAX_PSPI = 3 * MAX_INTENSITY + 1  # 5 + 5 + 5 + 1: eye closure is yes or no

Law = Literal["uniform", "independent", "clinical"]
LAWS: tuple[str, ...] = get_args(Law)

# The clinical law: 83 % of frames at 0, as in the UNBC-McMaster archive (some 17 % of its 48,398 frames show pain), and
# above that each score CLINICAL_DECAY times as likely as the one before it. The decay is our choice: the archive's
# tail is long and thin, and with 0.62 one frame in 450 still reaches 10 or more.
CLINICAL_ZERO = 0.83
CLINICAL_DECAY = 0.62


def pspi_probabilities(law: str) -> npt.NDArray[np.float64]:
    """Probability of each PSPI 0–16 under the laws that draw the score first, [17]."""
    if law == "uniform":
        return np.full(MAX_PSPI + 1, 1 / (MAX_PSPI + 1))
    if law == "clinical":
        tail = CLINICAL_DECAY ** np.arange(MAX_PSPI)
        return np.concatenate([[CLINICAL_ZERO], (1 - CLINICAL_ZERO) * tail / tail.sum()])
    raise ValueError(f"law must be one of {', '.join(LAWS)}, got {law!r}")


@overload
def pspi(au4: float, au6: float, au7: float, au9: float, au10: float, au43: float) -> float: ...


@overload
def pspi(au4: Any, au6: Any, au7: Any, au9: Any, au10: Any, au43: Any) -> Any: ...


def pspi(au4: Any, au6: Any, au7: Any, au9: Any, au10: Any, au43: Any) -> Any:
    """PSPI of one face from FACS intensities (0–5, AU43 0 or 1), or of each of many.

    Args:
        au4: A number; or an array, a tensor or a column of pandas [...], also lists and numbers beside these.
        au6: As `au4`, of its shape; so are the rest.
        au7: See au6.
        au9: See au6.
        au10: See au6.
        au43: See au6.

    Returns:
        A number, or the kind that was given [...]; a column keeps its index.

    Gradients: of tensors, to all six; where two are equal half to each.

    Raises:
        ValueError: A value is out of range or none; names the action unit and, of many, the first place.
    """
    given = (au4, au6, au7, au9, au10, au43)
    for number, value in zip(PAIN_AUS, given, strict=True):
        check_intensity(number, value)
    if all([isinstance(value, int | float) for value in given]):
        return au4 + max(au6, au7) + max(au9, au10) + au43
    many: list[Any] = [np.asarray(value) if isinstance(value, list | tuple) else value for value in given]
    tensor = next((value for value in many if isinstance(value, Tensor)), None)
    larger: Any = np.maximum
    if tensor is not None:
        larger, many = torch.maximum, [torch.as_tensor(value, device=tensor.device) for value in many]
    au4, au6, au7, au9, au10, au43 = many
    return au4 + larger(au6, au7) + larger(au9, au10) + au43


def check_intensity(number: int, value: Any) -> None:
    """Raise ValueError, in one line that names the action unit, unless `value` is an intensity it can have, or many."""
    wanted = "0 or 1 (eyes open or shut)" if number == 43 else f"in 0..{MAX_INTENSITY}"
    if isinstance(value, int | float):
        if not (value in (0, 1) if number == 43 else 0 <= value <= MAX_INTENSITY):  # true for NaN too
            raise ValueError(f"AU{number} must be {wanted}, got {told(value)}")
        return
    many = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if many.dtype.kind not in "biuf":
        raise ValueError(f"AU{number} must be {wanted}, got {told(value)}")
    wrong = np.flatnonzero(~(np.isin(many, (0, 1)) if number == 43 else (many >= 0) & (many <= MAX_INTENSITY)))
    if len(wrong):
        place = f" at {wrong[0]}" if many.ndim else ""
        raise ValueError(f"AU{number} must be {wanted}, got {many.ravel()[wrong[0]]}{place}")


@lru_cache(maxsize=1)
def _all_solutions() -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    rows = np.array(list(product(*[range(6)] * 5, range(2))), np.int8)
    score = rows[:, 0] + rows[:, 1:3].max(1) + rows[:, 3:5].max(1) + rows[:, 5]
    return rows, score


@lru_cache(maxsize=MAX_PSPI + 1)
def _solutions(score: int) -> npt.NDArray[np.int8]:
    rows, scores = _all_solutions()
    return np.asarray(rows[scores == score])


@lru_cache(maxsize=len(LAWS))
def _cumulative(law: str) -> npt.NDArray[np.float64]:
    return np.cumsum(pspi_probabilities(law))


def solutions(score: int) -> npt.NDArray[np.int8]:
    """Every vector of whole intensities (columns AU4 AU6 AU7 AU9 AU10 AU43) with that PSPI, [N, 6], in a fixed order.

    Raises:
        ValueError: No vector has that PSPI (it is not a whole number from 0 to 16).
    """
    if score != int(score) or not 0 <= score <= MAX_PSPI:
        raise ValueError(f"PSPI must be a whole number in 0..{MAX_PSPI}, got {score}")
    return _solutions(int(score)).copy()


def sample_pain_units(
    generator: np.random.Generator | DrawnNumbers, law: str = "uniform", count: int = 1
) -> npt.NDArray[np.int8]:
    """Draw `count` vectors of AU4 AU6 AU7 AU9 AU10 AU43, [count, 6].

    Laws: ``uniform`` draws PSPI uniformly on 0–16, then a vector uniformly among its solutions; ``independent`` draws
    each action unit uniformly and alone (to judge action units: under the first law PSPI gives them away);
    ``clinical`` draws PSPI by `pspi_probabilities` (83 % zero), then as ``uniform``.

    Raises:
        ValueError: The law is unknown.
    """
    if law == "independent":
        top = np.array([MAX_INTENSITY] * 5 + [1]) + 1
        return np.asarray(np.floor(generator.random((count, 6)) * top), np.int8)
    scores = np.minimum(np.searchsorted(_cumulative(law), generator.random(count), side="right"), MAX_PSPI)
    rows = []
    for score in scores.tolist():
        candidates = _solutions(score)
        rows.append(candidates[int(generator.random(1)[0] * len(candidates))])
    return np.array(rows, np.int8).reshape(count, 6)
