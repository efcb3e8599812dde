"""Knows how far two columns of numbers agree: Pearson, ICC(3,1), errors, and correlation given a third column.

Everything comes from sums over pictures. The sums of a person's pictures add up to those of any resample of people, so
a thousand resamples cost one product of matrices.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEAST: Final = 3  # pictures; two points always lie on a line
CONSTANT: Final = 1e-9  # variance below is rounding: float32 labels of 0-16 step by 1e-6, which varies by 1e-12


def sums_by_subject(
    truth: npt.ArrayLike, guess: npt.ArrayLike, subject: npt.NDArray[np.int64], people: int, given: npt.ArrayLike = 0.0
) -> Floats:
    """What all other functions need, added up per person, [S, 13]; rows with NaN in any column don't count.

    Args:
        truth: [N] labels.
        guess: [N] predictions.
        subject: [N] person of each row, 0 to S − 1.
        people: S.
        given: [N] a third column for `partial`.
    """
    x, y, z = np.broadcast_arrays(*(np.asarray(column, float) for column in (truth, guess, given)))
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    x, y, z, rows = x[known], y[known], z[known], subject[known]
    error = y - x
    if len(x):
        x, y, z = x - x.mean(), y - y.mean(), z - z.mean()  # no variance depends on it, and no digits are lost
    columns = [np.ones(len(x)), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z, np.abs(error), error**2, error]
    return np.stack([np.bincount(rows, column, people) for column in columns], 1)


def count(sums: Floats) -> Floats:
    """Number of pictures. As all functions below: sums [..., 13] in, a metric per leading index out."""
    return np.asarray(sums[..., 0])


def pearson(sums: Floats) -> Floats:
    """Pearson's r; NaN for fewer than 3 pictures or where one side is constant."""
    x, y, _, xy, _, _ = _moments(sums)
    return _where((sums[..., 0] >= LEAST) & (x > CONSTANT) & (y > CONSTANT), xy, np.sqrt(x * y))


def icc(sums: Floats) -> Floats:
    """ICC(3,1) of labels and predictions as two raters; NaN where `pearson` lacks pictures or the labels are constant.

    With two raters BMS = Var(x + y) / 2 and EMS = Var(x − y) / 2, so (BMS − EMS) / (BMS + EMS) =
    2 Cov(x, y) / (Var x + Var y). The test holds it against `icc_3_1`.
    """
    x, y, _, xy, _, _ = _moments(sums)
    return _where((sums[..., 0] >= LEAST) & (x > CONSTANT), 2 * xy, x + y)


def partial(sums: Floats) -> Floats:
    """Pearson's r of labels and predictions once a straight line through the third column is taken from both.

    (r_xy − r_xz r_yz) / sqrt((1 − r_xz²)(1 − r_yz²)), here with both sides multiplied by Var x Var y Var z.
    """
    x, y, z, xy, xz, yz = _moments(sums)
    left = [x * z - xz**2, y * z - yz**2]
    fine = (sums[..., 0] > LEAST) & (z > CONSTANT) & (left[0] > CONSTANT * z) & (left[1] > CONSTANT * z)
    return _where(fine, xy * z - xz * yz, np.sqrt(np.maximum(left[0], 0) * np.maximum(left[1], 0)))


def slope(sums: Floats) -> Floats:
    """Of the line that predicts the label from the prediction: 1 is calibrated, below 1 predictions spread too far."""
    _, y, _, xy, _, _ = _moments(sums)
    return _where((sums[..., 0] >= LEAST) & (y > CONSTANT), xy, y)


def mae(sums: Floats) -> Floats:
    """Mean absolute error; NaN of no pictures."""
    return _where(sums[..., 0] > 0, sums[..., 10], sums[..., 0])


def mse(sums: Floats) -> Floats:
    """Mean squared error; NaN of no pictures."""
    return _where(sums[..., 0] > 0, sums[..., 11], sums[..., 0])


def rmse(sums: Floats) -> Floats:
    """Root of the mean squared error; NaN of no pictures."""
    return np.sqrt(mse(sums))


def bias(sums: Floats) -> Floats:
    """Mean of prediction − label; NaN of no pictures."""
    return _where(sums[..., 0] > 0, sums[..., 12], sums[..., 0])


def undefined(sums: Floats, what: str, given: str | None = None) -> str | None:
    """Why a metric of these sums [13] can't be had; None where it can.

    Args:
        sums: As above.
        what: Name of the labels, as ``PSPI``.
        given: Name of the third column, for `partial`.
    """
    x, y, z, _, xz, yz = (float(value) for value in _moments(sums))
    pictures = int(sums[0])
    least = LEAST if given is None else LEAST + 1
    if pictures == 0:
        return f"no picture with a known {what}"
    if pictures < least:
        return f"fewer than {least} pictures"
    if x <= CONSTANT:
        return "the labels are constant"
    if y <= CONSTANT:
        return "the predictions are constant"
    if given is not None and z <= CONSTANT:
        return f"{given} is constant"
    if given is not None and min(x * z - xz**2, y * z - yz**2) <= CONSTANT * z:
        return f"nothing is left once {given} is known"
    return None


def icc_3_1(ratings: npt.ArrayLike) -> float:
    """ICC(3,1): two-way mixed, single rater, consistency (Shrout & Fleiss 1979, table 4 and equation for ICC(3,1)).

    (BMS − EMS) / (BMS + (k − 1) EMS), BMS the mean square between targets and EMS the residual's.

    Args:
        ratings: [N, k] targets by raters.

    Returns:
        The coefficient; NaN for fewer than 2 targets or raters, or where nothing varies.
    """
    table = np.asarray(ratings, float)
    targets, raters = table.shape
    if targets < 2 or raters < 2:
        return float("nan")
    rows, columns = table.mean(1), table.mean(0)
    between = raters * ((rows - table.mean()) ** 2).sum() / (targets - 1)
    rest = table - rows[:, None] - columns + table.mean()
    residual = (rest**2).sum() / ((targets - 1) * (raters - 1))
    total = between + (raters - 1) * residual
    return float((between - residual) / total) if total > CONSTANT else float("nan")


def _moments(sums: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    """Variances of x, y, z and covariances xy, xz, yz, with N below the line: every ratio of them is the same."""
    number = np.maximum(sums[..., 0], 1)
    mean = sums[..., 1:4] / number[..., None]
    variance = np.maximum(sums[..., 4:7] / number[..., None] - mean**2, 0)
    xy, xz, yz = (
        sums[..., 7 + place] / number - mean[..., first] * mean[..., second]
        for place, (first, second) in enumerate(((0, 1), (0, 2), (1, 2)))
    )
    return variance[..., 0], variance[..., 1], variance[..., 2], xy, xz, yz


def _where(fine: npt.NDArray[np.bool_], above: Floats, below: Floats) -> Floats:
    """A quotient where it is defined, NaN elsewhere."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(fine)))
