"""Knows where each texel of a texture lies on the head: position, part, noise and the masks that no person changes.

`painting.surface_maps` makes them once per head and size and keeps them; everything else in this folder paints on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from pain3d.kernels._described import described

if TYPE_CHECKING:
    from pain3d.skin.beard_hairs import BeardHairs

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Box = tuple[slice, slice]
Plane = Any  # Floats [h, w] of one person or of the head; a tensor [K, h, w] of many people, or [h, w] on their device

MIRRORED = 2.0  # mm: how far off the mirror image the texel of the other side may lie
FRONTAL_EXTENT = 110.0  # mm: half the side of the frontal picture that turns (x, y) into texels
FRONTAL_SIZE = 440  # pixels: 0.5 mm each
FRONTAL_CENTRE = 20.0  # mm: height of its middle
# Where a tone is taken, seen from the front in mm: cheeks below the eyes and bridge of the nose, where no hair grows.
TONE_POINTS = ((-40.0, -2.0), (-30.0, -12.0), (0.0, 25.0), (30.0, -12.0), (40.0, -2.0))
# Masks whose bounds are kept, and from which value on they count: below it nothing would change in single precision; of
# the beard, mm that its ragged edge never reaches.
LIMITED = {
    "lips": 0.0, "seam": 0.0, "margin": 0.0, "lash": 0.0, "corner": 1e-8, "socket": 1e-9, "mouth_corner": 3e-8,
    "beard": -22.0, "neck_ring": 1e-6,
}  # fmt: skip


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
        eyes: Part → degrees from the optical axis, turn about it and degrees above it, see `eyes.eye_directions`.
        teeth: Part → number of each texel's tooth and mm to its edge, see `mouth.tooth_places`.
        beard: Part → the hairs that a beard has there, see `beard_hairs.place_hairs`.
        limits: Of masks, where `bounds_of` found them.
        copies: Device → these maps there.
    """

    __repr__ = described

    size: int
    part_names: tuple[str, ...]
    part: Plane
    covered: npt.NDArray[np.bool_]
    x: Plane
    y: Plane
    z: Plane
    cavity: Plane
    noise: dict[str, Plane]
    azimuth: Plane
    boxes: dict[str, Box]
    frontal: Floats
    landmarks: dict[str, Floats]
    landmark_texels: dict[str, Floats]
    lid_texels: Floats
    lid_points: Floats
    slopes: Plane
    masks: dict[str, Plane] = field(default_factory=dict)
    eyes: dict[str, tuple[Plane, Plane, Plane]] = field(default_factory=dict)
    teeth: dict[str, tuple[Plane, Plane]] = field(default_factory=dict)
    beard: dict[str, BeardHairs] = field(default_factory=dict)
    limits: dict[tuple[str, int, int], Box] = field(default_factory=dict)
    copies: dict[torch.device, SurfaceMaps] = field(default_factory=dict)

    def bounds_of(self, mask: str, box: Box) -> Box:
        """The rows and columns of a box that hold all of a mask of `LIMITED`; none where the box has none of it."""
        key = mask, box[0].start, box[1].start
        if key not in self.limits:
            self.limits[key] = bounds(self.masks[mask][box] > LIMITED[mask])
        return self.limits[key]

    @cached_property
    def mirror(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The column [S, S] of each texel's mirror image in its own row, and whether there is one.

        The charts of skin and neck are symmetric about an axis of constant u; texels whose image lies elsewhere (a few
        near the seam behind) have none.
        """
        columns = np.tile(np.arange(self.size), (self.size, 1))
        symmetric = np.zeros_like(self.covered)
        for name in ("skin", "neck"):
            inside = (self.part == self.part_names.index(name)) & self.covered
            across = np.flatnonzero(inside.any(0))
            columns[inside] = int(across[0] + across[-1]) - columns[inside]
            symmetric |= inside
        rows = np.arange(self.size)[:, None]
        near = symmetric & (self.part[rows, columns] == self.part) & self.covered[rows, columns]
        for plane, sign in ((self.x, -1), (self.y, 1), (self.z, 1)):
            near &= np.abs(plane[rows, columns] - sign * plane) < MIRRORED
        return columns, near

    def on(self, device: torch.device) -> SurfaceMaps:
        """The planes of these maps as tensors on a device, made once; what places strokes stays where it is."""
        if device not in self.copies:
            for name in LIMITED:  # on the device nothing is searched
                for box in self.boxes.values():
                    self.bounds_of(name, box)
            planes = ("part", "x", "y", "z", "cavity", "noise", "azimuth", "slopes", "masks", "eyes", "teeth")
            moved = {name: map_arrays(getattr(self, name), device) for name in planes}
            self.copies[device] = replace(self, **moved, copies={})
        return self.copies[device]

    def board(self) -> SurfaceMaps:
        """What a hand that draws needs of the maps: their places without their planes, small enough to be sent."""
        for name in LIMITED:
            for box in self.boxes.values():
                self.bounds_of(name, box)
        none = np.zeros((0, 0), np.float32)
        fields = {name: none[None].repeat(len(planes), 0) for name, planes in self.noise.items()}
        return replace(
            self,
            part=none.astype(np.uint8),
            covered=none.astype(bool),
            x=none,
            y=none,
            z=none,
            cavity=none,
            azimuth=none,
            slopes=none,
            noise=fields,
            masks={},
            eyes={},
            teeth={},
            limits=dict(self.limits),
            copies={},
        )

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


def tone_texels(maps: SurfaceMaps) -> list[npt.NDArray[np.int64]]:
    """The texels around each of `TONE_POINTS`, as places in the flat finest level."""
    reach, size = max(1, maps.size // 64), maps.size
    around = []
    for column, row in maps.texels_at(np.array(TONE_POINTS, np.float32)).round().astype(int).tolist():
        rows, columns = (np.arange(max(0, place - reach), min(size, place + reach)) for place in (row, column))
        around.append((rows[:, None] * size + columns).ravel())
    return around


def map_arrays(value: Any, device: torch.device) -> Any:
    """Arrays, also in dictionaries and tuples, as tensors on a device."""
    if isinstance(value, dict):
        return {key: map_arrays(item, device) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map_arrays(item, device) for item in value)
    return torch.from_numpy(np.ascontiguousarray(value)).to(device)


def bounds(where: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Box:
    """The rows and columns that hold all of `where` [h, w]; none where it is empty."""
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    (top, bottom), (left, right) = ((int(k[0]), int(k[-1]) + 1) if len(k) else (0, 0) for k in (rows, columns))
    return slice(top, bottom), slice(left, right)
