"""Knows the judges' arithmetic: overlap of boxes, landmark error, rising responses, correlation, ranking, bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]

INNER = slice(17, 68)  # of the iBUG order: brows, nose, eyes, mouth
JAW = slice(0, 17)
OUTER_EYES = (36, 45)
YAW_EDGES = (0.0, 15.0, 30.0, 45.0, 90.0)
ROLL_EDGES = (0.0, 15.0, 45.0, 75.0, 180.0)


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1; 0 where they don't meet."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


def landmark_error(found: npt.ArrayLike, truth: npt.ArrayLike) -> Floats:
    """Distance of each of 68 points in per cent of the distance of the outer eye corners in the picture, [68]."""
    points = np.asarray(truth, float)[:68]
    scale = np.linalg.norm(points[OUTER_EYES[0]] - points[OUTER_EYES[1]])
    return np.asarray(100 * np.linalg.norm(np.asarray(found, float) - points, axis=1) / scale)


def rising(responses: npt.ArrayLike, tolerance: float = 0.0) -> Truths:
    """Which rows [N, K] rise from step to step.

    Strictly where `tolerance` is 0; else no step falls by more than the tolerance, and the last stands more than the
    tolerance above the first. A row with NaN (the face was not found) doesn't rise.
    """
    rows = np.asarray(responses, float)
    steps = np.diff(rows, axis=1)
    if tolerance == 0:
        return np.asarray((steps > 0).all(1))
    return np.asarray((steps >= -tolerance).all(1) & (rows[:, -1] - rows[:, 0] > tolerance))


def correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Pearson's r; NaN for fewer than 3 pairs or where one side doesn't vary."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def ranking(scores: npt.ArrayLike, truths: npt.ArrayLike) -> float:
    """Area under the ROC curve: the chance that a true case outranks a false one, ties half; NaN without both."""
    values, truth = np.asarray(scores, float), np.asarray(truths, bool)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    # Mann & Whitney: the rank sum of the true cases, with mean ranks for ties.
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def partial_correlation(first: npt.ArrayLike, second: npt.ArrayLike, given: npt.ArrayLike) -> float:
    """Pearson's r of what a straight line through `given` leaves of both."""
    base = np.stack([np.ones(len(np.asarray(given))), np.asarray(given, float)], 1)
    left = [np.asarray(x, float) for x in (first, second)]
    rest = [x - base @ np.linalg.lstsq(base, x, rcond=None)[0] for x in left]
    return correlation(*rest)


def angle_bin(degrees: float, edges: tuple[float, ...] = YAW_EDGES) -> str:
    """The bin that an angle falls into, whatever its sign, as ``0-15°``."""
    place = int(np.searchsorted(edges, abs(degrees), side="right")) - 1
    low, high = edges[min(place, len(edges) - 2)], edges[min(place + 1, len(edges) - 1)]
    return f"{low:g}-{high:g}°"


def percent(truths: npt.ArrayLike) -> float:
    """Share of what is true, per cent; NaN of nothing."""
    values = np.asarray(truths, float)
    return float(100 * values.mean()) if values.size else float("nan")


def median(values: npt.ArrayLike) -> float:
    """Median without NaN; NaN of nothing."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else float("nan")
