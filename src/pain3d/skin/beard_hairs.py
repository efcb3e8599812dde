"""Knows where the hairs of a beard stand and which way each grows: one set of places, of which each man has some.

A hair's path is followed once, over the chart, along a direction in space: from the philtrum outwards to the corners of
the mouth, else down and, below the chin, backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.planes import differences, smoothstep

if TYPE_CHECKING:
    from pain3d.skin.maps import SurfaceMaps

Floats = npt.NDArray[np.float32]

# Roots per mm²: a man's face has some 30 to 60 beard hairs a cm². Without blades they would be drawn one by one.
DENSITY = 0.6
OUTSIDE = -8.0  # mm from the beard's outline beyond which nobody has a hair
LOWEST = -118.0  # mm of height
OFF_LIPS = (0.55, 1.01)  # of the lips' mask, beside the middle and at the corners: no hair grows on the red
CORNERS = (17.0, 24.0)  # mm from the midline between them
BACK = 7.0  # texels of 1024 that a neck's hairs begin above their place: none come down from the chin's chart
STEP, STEPS = 1.5, 9  # mm, points of a path
FOLLOWED = 4  # shorter steps that a path is followed in between two points
WIDEST = 6.0  # mm from texel to texel, beyond which the chart folds
FINEST = 0.14  # mm²: a texel as large as a stubble's hair looks in a picture; on coarser ones it covers less


@dataclass(frozen=True)
class BeardHairs:
    """Everybody's hairs on one part of the head, N of them, from the lowest up.

    Attributes:
        paths: [N, STEPS, 2] texels (column, row) from the root on, `STEP` mm each.
        inside: [N] mm inside the beard's outline, negative outside.
        across: [N] x of the root in mm; height: [N] its y.
        height: See across.
        patch: [4, N] the noise of that name at the root; mottle: alike, by which hairs gather in tufts.
        mottle: See patch.
        share: [N] of its texel that a short hair covers.
    """

    paths: Floats
    inside: Floats
    across: Floats
    height: Floats
    patch: Floats
    mottle: Floats
    share: Floats


def place_hairs(maps: SurfaceMaps, part: str) -> BeardHairs:
    """Sow a part of the head, ``skin`` or ``neck``, and follow its hairs."""
    box = maps.bounds_of("beard", maps.boxes[part])
    rows, columns = box
    top, left = maps.boxes[part][0].start, maps.boxes[part][1].start
    box = slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)
    x, y = maps.x[box], maps.y[box]
    flow, area = _flow(maps, box)
    sown = (maps.part[box] == maps.part_names.index(part)) & maps.covered[box] & (maps.masks["beard"][box] > OUTSIDE)
    off_lips = OFF_LIPS[0] + (OFF_LIPS[1] - OFF_LIPS[0]) * smoothstep(np.abs(x), *CORNERS)
    sown &= (maps.masks["lips"][box] < off_lips) & (maps.masks["ear"][box] < 0.5) & (y > LOWEST)
    weight = np.cumsum(np.where(sown, area, 0).ravel(), dtype=np.float64)
    count = int(weight[-1] * DENSITY) if len(weight) else 0
    generator = keyed_generator(0, f"skin/beard_hairs/{part}")
    # One in each share of the area, row after row: evener than chance alone.
    chosen = np.searchsorted(weight, (np.arange(count) + generator.random(count)) * (weight[-1] / max(count, 1)))
    chosen = chosen[np.argsort(y.ravel()[chosen], kind="stable")]
    place = np.stack(np.unravel_index(chosen, y.shape)[::-1], 1).astype(np.float32)
    place += generator.uniform(-0.5, 0.5, place.shape).astype(np.float32)
    path = [place]
    if part == "neck":
        back = _stepped(flow, place)
        back /= np.maximum(np.linalg.norm(back, axis=1, keepdims=True), 1e-6)
        path = [place - back * np.float32(BACK * maps.size / 1024), place]
    while len(path) < STEPS:
        for _ in range(FOLLOWED):
            place = place + _stepped(flow, place) * np.float32(STEP / FOLLOWED)
        path.append(place)
    origin = np.array([box[1].start, box[0].start], np.float32)
    return BeardHairs(
        paths=(np.stack(path, 1) + origin).astype(np.float32),
        inside=maps.masks["beard"][box].ravel()[chosen],
        across=x.ravel()[chosen],
        height=y.ravel()[chosen],
        patch=np.stack([field[box].ravel()[chosen] for field in maps.noise["patch"]]),
        mottle=np.stack([field[box].ravel()[chosen] for field in maps.noise["mottle"]]),
        share=np.minimum(1, FINEST / np.maximum(area.ravel()[chosen], 1e-6)).astype(np.float32),
    )


def _stepped(flow: list[Floats], place: Floats) -> Floats:
    """The flow [N, 2] at places [N, 2]."""
    if not len(place):
        return place
    column, row = np.ascontiguousarray(place.T)
    return np.stack([cv2.remap(plane, column, row, cv2.INTER_LINEAR).ravel() for plane in flow], 1)


def _flow(maps: SurfaceMaps, box: tuple[slice, slice]) -> tuple[list[Floats], Floats]:
    """Texels (columns, rows) per mm along which hairs grow, and mm² of each texel, [h, w]."""
    x, y, z = (plane[box] for plane in (maps.x, maps.y, maps.z))
    pairs = [differences(np.ascontiguousarray(plane)) for plane in (x, y, z)]
    column, row = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    way = _direction(x, y, z)
    cc, cr, rr = _dot(column, column), _dot(column, row), _dot(row, row)
    area = np.sqrt(np.maximum(cc * rr - cr * cr, 0))
    sound = (area > 1e-3) & (cc < WIDEST**2) & (rr < WIDEST**2)
    along, down = _dot(column, way), _dot(row, way)
    determinant = np.where(sound, cc * rr - cr * cr, 1)
    steps = (rr * along - cr * down) / determinant, (cc * down - cr * along) / determinant
    length = np.sqrt(_dot([c * steps[0] + r * steps[1] for c, r in zip(column, row, strict=True)], None))
    scale = np.where(sound, 1 / np.maximum(length, 0.2), 0)
    return [np.asarray(step * scale, np.float32) for step in steps], np.where(sound, area, 0).astype(np.float32)


def _direction(x: Floats, y: Floats, z: Floats) -> list[Floats]:
    """The direction in space that a hair strives for, before skin holds it down."""
    side, away = np.tanh(x / 1.5), np.abs(x)
    moustache = smoothstep(y, -47.0, -39.0) * (1 - smoothstep(away, 26.0, 38.0))
    spread = 0.10 + 1.15 * smoothstep(away, 2.0, 26.0)
    chin = (1 - smoothstep(away, 14.0, 30.0)) * (1 - smoothstep(y, -62.0, -50.0))
    across = side * (moustache * spread + (1 - moustache) * (0.04 - 0.16 * chin))
    return [across, -np.ones_like(y), np.asarray(-0.30 + 0.45 * smoothstep(y, -85.0, -60.0), np.float32)]


def _dot(one: list[Floats], other: list[Floats] | None) -> Floats:
    return np.asarray(sum(a * b for a, b in zip(one, other or one, strict=True)), np.float32)
