"""Knows where each texel of a texture lies on the head: position, part, noise and the masks that no person changes.

`painting.surface_maps` makes them once per head and size and keeps them; everything else in this folder paints on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Box = tuple[slice, slice]

FRONTAL_EXTENT = 110.0  # mm: half the side of the frontal picture that turns (x, y) into texels
FRONTAL_SIZE = 440  # pixels: 0.5 mm each
FRONTAL_CENTRE = 20.0  # mm: height of its middle


@dataclass(frozen=True)
class SurfaceMaps:
    """What is known of each texel of a head's texture before anyone is painted on it.

    Texel row r lies at v = 1 − (r + ½)/H.

    Attributes:
        size: Texels a side.
        part_names: The head's parts.
        part: [H, W] uint8 index into `part_names`; between the charts, that of the nearest chart.
        covered: [H, W] bool, whether the texel's centre lies on a chart.
        x: [H, W] template position, millimetres; y and z alike. Between the charts, that of the nearest texel on one.
        y: See x.
        z: See x.
        cavity: [H, W] 1 − occlusion of the head: 1 in the depth of nostrils and ears.
        noise: Name of the scale → [4, H, W] fields of zero mean and unit variance, functions of position.
        azimuth: [H, W] |angle| about the vertical axis, 0 in front to π behind.
        boxes: Name of the part → the rows and columns that hold all of it.
        frontal: [440, 440, 2] texel (column, row) under a frontal position, see `texels_at`.
        landmarks: Name → [3] mm; landmark_texels: name → [2] column, row.
        lid_texels: [2, R, 28, 2] texels of the rings around each eye, left first; lid_points: [2, R, 28, 3] mm.
        slopes: [4, H, W] from differences of a height in mm to the two slopes, see `relief.slope_matrix`.
        masks: Skin-independent masks by name, see `masks.skin_masks`.
    """

    size: int
    part_names: tuple[str, ...]
    part: Bytes
    covered: npt.NDArray[np.bool_]
    x: Floats
    y: Floats
    z: Floats
    cavity: Floats
    noise: dict[str, Floats]
    azimuth: Floats
    boxes: dict[str, Box]
    frontal: Floats
    landmarks: dict[str, Floats]
    landmark_texels: dict[str, Floats]
    lid_texels: Floats
    lid_points: Floats
    slopes: Floats
    masks: dict[str, Floats] = field(default_factory=dict)

    def texels_at(self, points: Floats) -> Floats:
        """Texels (column, row) [..., 2] of the skin seen from the front at (x, y) mm [..., 2]; outside, the nearest."""
        if points.size == 0:
            return points
        scale = FRONTAL_SIZE / (2 * FRONTAL_EXTENT)
        column = (points[..., 0] + FRONTAL_EXTENT) * scale - 0.5
        row = (FRONTAL_CENTRE + FRONTAL_EXTENT - points[..., 1]) * scale - 0.5
        column, row = (np.clip(place, 0, FRONTAL_SIZE - 1.001).astype(np.float32) for place in (column, row))
        left, top = column.astype(int), row.astype(int)
        across, down = (column - left)[..., None], (row - top)[..., None]
        upper, lower = (
            (1 - across) * self.frontal[below, left] + across * self.frontal[below, left + 1]
            for below in (top, top + 1)
        )
        return np.asarray((1 - down) * upper + down * lower, np.float32)
