"""Knows how to draw on texels: soft spots, lines and tapered strands with sub-texel ends, on 8-bit canvases."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SHIFT = 4  # bits of sub-texel position that cv2 keeps
ONE = 1 << SHIFT


def draw_lines(
    canvas: Bytes, lines: Sequence[Floats] | Floats, value: int, thickness: int = 1, closed: bool = False
) -> None:
    """Draw antialiased polylines, each [K, 2] (column, row; texel centres at whole numbers), onto `canvas` in place.

    Those of equally many points may be one array [N, K, 2]: thousands are brought to whole numbers at once.
    """
    if isinstance(lines, np.ndarray):
        fixed = list(np.rint(lines * ONE).astype(np.int32))
    else:
        fixed = [np.rint(line * ONE).astype(np.int32) for line in lines]
    cv2.polylines(canvas, fixed, closed, int(value), thickness, cv2.LINE_AA, SHIFT)


def draw_pieces(canvas: Bytes, line: Floats, values: Sequence[int], thickness: int) -> None:
    """Draw one polyline [K, 2] in pieces of equally many segments, each in its value, as `draw_lines` draws a piece."""
    fixed = np.rint(line * ONE).astype(np.int32)
    step = (len(line) - 1) // len(values)
    for number, value in enumerate(values):
        piece = fixed[number * step : (number + 1) * step + 1]
        cv2.polylines(canvas, [piece], False, value, thickness, cv2.LINE_AA, SHIFT)


def fill_outline(canvas: Bytes, outline: Floats, value: int) -> None:
    """Fill a closed outline [K, 2] with an antialiased edge, in place."""
    cv2.fillPoly(canvas, [np.rint(outline * ONE).astype(np.int32)], int(value), cv2.LINE_AA, SHIFT)


def draw_spots(canvas: Bytes, centres: Floats, radii: Floats, values: npt.NDArray[np.integer]) -> None:
    """Draw antialiased discs at centres [N, 2] with radii [N] in texels and values [N], in place; later ones cover."""
    places = np.rint(centres * ONE).astype(int)
    sizes = np.rint(radii * ONE).astype(int)
    for (column, row), size, value in zip(places, sizes, values, strict=True):
        cv2.circle(canvas, (int(column), int(row)), int(size), int(value), -1, cv2.LINE_AA, SHIFT)


def smooth_curve(points: Floats, count: int, closed: bool = False) -> Floats:
    """[count, ...] points along the Catmull–Rom spline through `points` [K, ...], even in the parameter."""
    total = len(points)
    if closed:
        place = np.arange(count) * total / count
        around = points
    else:
        place = np.linspace(0, total - 1, count)
        around = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    index = np.minimum(place.astype(int), total - (1 if closed else 2))
    t = (place - index).reshape(-1, *[1] * (points.ndim - 1)).astype(np.float32)
    if closed:
        a, b, c, d = (points[(index + k) % total] for k in (-1, 0, 1, 2))
    else:
        a, b, c, d = (around[index + k] for k in range(4))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.asarray(curve, np.float32)


def blurred(canvas: Bytes, sigma: float) -> Floats:
    """The canvas as float32 in 0–1 after a Gaussian blur of `sigma` texels."""
    if sigma > 0:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), sigma), np.uint8)
    return np.asarray(canvas, np.float32) * np.float32(1 / 255)
