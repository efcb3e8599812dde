"""Knows a head as renderers with one index per corner want it, and a camera as a pose and a field of view."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]


def corners_of(shared: SimpleNamespace) -> tuple[Integers, Floats, Integers]:
    """One vertex for each pair of position and texture coordinate in use.

    Returns:
        Index of the position of each [N], its texture coordinates [N, 2] (v up), and faces [F, 3] int32 into them.
    """
    pairs = shared.faces.astype(np.int64).ravel() * len(shared.uvs) + shared.uv_faces.ravel()
    unique, indices = np.unique(pairs, return_inverse=True)
    return unique // len(shared.uvs), shared.uvs[unique % len(shared.uvs)], indices.astype(np.int32).reshape(-1, 3)


def pose_of(world_to_clip: Floats, position: Floats) -> tuple[Floats, float]:
    """Camera to world [4, 4] (it looks along its −Z, +Y up), and the field of view of a square picture, radians."""
    right, up = (row / np.linalg.norm(row) for row in world_to_clip[:2, :3].astype(np.float64))
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, up, -world_to_clip[3, :3], position
    return pose, float(2 * np.arctan(1 / np.linalg.norm(world_to_clip[1, :3])))


def encoded(linear: Floats) -> Floats:
    """sRGB of linear colour, both 0–1."""
    clipped = np.clip(linear, 0, 1)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
