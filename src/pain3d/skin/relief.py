"""Knows how a height on the chart becomes the slopes that tilt a normal: along the surface's horizontal and vertical.

A texel's position P changes with its column and row as P_c and P_r. The gradient g of a height h lies in the tangent
plane and obeys g · P_c = h_c and g · P_r = h_r; the slopes are −g · t and −g · b with unit t along up × n and b along
n × t, as `pain3d.kernels.render` adds them to the normal. Both are one 2 × 2 matrix per texel away from (h_c, h_r).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pain3d.skin.maps import Plane
from pain3d.skin.planes import clip_, differences

Floats = npt.NDArray[np.float32]
Covered = npt.NDArray[np.bool_]

LONGEST_STEP = 6.0  # mm from texel to texel: wider ones are folds of the chart, where no slope means anything
NARROWEST = 0.02  # sine between the directions of rows and columns below which a face is seen edge-on on the chart
UPRIGHT = 0.05  # length of up × n below which no horizontal direction is left
TINY = np.float32(1e-12)
BAND = 32  # rows: what is computed of so many of 1024 texels stays in a core's cache
STEEPEST = 1.2  # slope: a normal that leans more than 50 degrees belongs to geometry


def slope_matrix(x: Floats, y: Floats, z: Floats, part: npt.NDArray[np.uint8], covered: Covered) -> Floats:
    """[4, H, W]: slope_t = m₀ h_c + m₁ h_r and slope_b = m₂ h_c + m₃ h_r, for heights in the unit of the positions.

    0 outside the charts, on their last texel and where the chart folds.

    Args:
        x: [H, W] position, any unit; y and z alike.
        y: See x.
        z: See x.
        part: [H, W] which part a texel belongs to; no slope is taken across two.
        covered: [H, W] whether a texel lies on a chart.
    """
    inside = covered.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inside &= np.roll(covered, step, axis) & (np.roll(part, step, axis) == part)
    inside[[0, -1]] = inside[:, [0, -1]] = False
    matrix = np.empty((4, *x.shape), np.float32)
    for top in range(0, len(x), BAND):
        rows = slice(max(top - 1, 0), top + BAND + 1)  # with the rows beside, of which differences are taken
        band = _matrix_of([plane[rows] for plane in (x, y, z)], inside[rows])
        matrix[:, top : top + BAND] = band[:, top - rows.start :][:, :BAND]
    return matrix


def _matrix_of(points: list[Floats], inside: Covered) -> Floats:
    """`slope_matrix` of some rows; those at their border, where a row beside is missing, are not meant."""
    pairs = [differences(plane) for plane in points]
    column, row = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    normal = _cross(row, column)  # rows run down: this points out of the head
    area = _length(normal)
    steps = _length(column), _length(row)
    inside = inside & (steps[0] < LONGEST_STEP) & (steps[1] < LONGEST_STEP) & (area > NARROWEST * steps[0] * steps[1])
    normal = [plane / np.maximum(area, TINY) for plane in normal]
    level = np.hypot(normal[0], normal[2])  # of up × n = (n_z, 0, −n_x)
    inside &= level > UPRIGHT
    horizontal = [normal[2] / np.maximum(level, TINY), np.zeros_like(area), -normal[0] / np.maximum(level, TINY)]
    vertical = _cross(normal, horizontal)
    # −g = h_c (P_r × n) / area + h_r (n × P_c) / area: the dual basis of (P_c, P_r), as n points along P_r × P_c.
    towards = _cross(row, normal), _cross(normal, column)
    scale = np.where(inside, 1 / np.maximum(area, TINY), np.float32(0))
    rows = [scale * _dot(basis, direction) for direction in (horizontal, vertical) for basis in towards]
    return np.asarray(np.stack(rows), np.float32)


def _cross(a: list[Floats], b: list[Floats]) -> list[Floats]:
    return [a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3] for k in range(3)]


def _dot(a: list[Floats], b: list[Floats]) -> Floats:
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2], np.float32)


def _length(a: list[Floats]) -> Floats:
    return np.asarray(np.sqrt(_dot(a, a)), np.float32)


def slopes(height: Plane, matrix: Plane) -> tuple[Plane, Plane]:
    """Slopes (slope_t, slope_b), each [h, w], of a height [h, w] with the matrix [4, h, w] of the same texels.

    Height in the unit of the positions that made the matrix; of many people [K, h, w], and the matrix [4, h, w] or
    [4, K, h, w]. Clamped to ±`STEEPEST`.
    """
    across, down = differences(height)
    both = []
    for first, second in ((matrix[0], matrix[1]), (matrix[2], matrix[3])):
        total = first * across
        total += second * down
        clip_(total, -STEEPEST, STEEPEST)
        both.append(total)
    return both[0], both[1]
