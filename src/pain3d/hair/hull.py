"""Knows where the skin is for hair that falls: a person's head, neck and shoulders as one radius over two angles.

A capsule stands in the head: above its middle a sphere's centre, below it a vertical axis. The skin is a radius over
the angle around the axis and the way along it, so that a strand is pushed out by one look-up. Ears lie flat in it:
hair passes over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pain3d.head.model import Head

Floats = npt.NDArray[np.float64]

MIDDLE = (0.0, 42.0, -8.0)  # mm: centre of the sphere; the axis runs down from it
AROUND = 72  # columns of 5 degrees
STEP = 6.0  # mm of a row
SPHERE = 90.0  # mm: radius that turns the angle above the middle to millimetres
LOWEST = -252.0  # mm from the middle, on the chest
SHOULDERS, HANGS = -115.0, 88.0  # mm from the middle, below which hair goes no farther out: it falls on a shoulder
SPREAD = (0.02, 0.15, 0.30, 0.45, 0.60, 0.75, 0.90)  # where faces are looked at, along two edges


@dataclass(frozen=True)
class Hull:
    """One person's skin, or a template's.

    Attributes:
        grid: [AROUND + 1, R, 4] radius in mm and the unit normal, the first column again at the end.
    """

    grid: Floats

    def look(self, points: Floats) -> tuple[Floats, Floats]:
        """Signed distance [N] in mm from the skin, positive outside, and its normals [N, 3] at points [N, 3] mm."""
        column, row, radius, outward = capsule(points)
        rows = self.grid.shape[1]
        row = np.clip(row, 0, rows - 1.001)
        left, low = column.astype(np.int64), row.astype(np.int64)
        u, v = (column - left)[:, None], (row - low)[:, None]
        flat = self.grid.reshape(-1, 4)
        at = left * rows + low
        mixed = (flat[at] * (1 - v) + flat[at + 1] * v) * (1 - u) + (
            flat[at + rows] * (1 - v) + flat[at + rows + 1] * v
        ) * u
        normal = mixed[:, 1:] / np.sqrt((mixed[:, 1:] ** 2).sum(1, keepdims=True))
        return (radius - mixed[:, 0]) * np.clip((normal * outward).sum(1), 0.2, 1), normal


def capsule(points: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Column, row (both from 0, fractions), radius [N] mm and outward direction [N, 3] of points [N, 3] mm."""
    offset = points - np.array(MIDDLE)
    flat = np.sqrt(offset[:, 0] ** 2 + offset[:, 2] ** 2)
    high = offset[:, 1] > 0
    radius = np.where(high, np.sqrt(flat**2 + offset[:, 1] ** 2), flat)
    along = np.where(high, np.arctan2(offset[:, 1], flat) * SPHERE, offset[:, 1])
    column = np.mod(np.arctan2(offset[:, 0], offset[:, 2]) * (AROUND / (2 * np.pi)), AROUND)
    column = np.minimum(column, AROUND - 1e-6)
    outward = np.where(high[:, None], offset, offset * np.array([1.0, 0.0, 1.0])) / np.maximum(radius, 1e-6)[:, None]
    return column, (along - LOWEST) / STEP, radius, outward


def wrap_hull(head: Head, points: Floats) -> Hull:
    """The hull of vertices [V, 3] mm of a head, ears laid."""
    corners, shares, near = _places(head)
    places = np.einsum("ckj,cj->ck", points[corners].transpose(0, 2, 1), shares)
    radius = capsule(places)[2]
    filled = radius[near]
    filled = (filled + np.roll(filled, 1, 0) + np.roll(filled, -1, 0)) / 3
    padded = np.pad(filled, ((0, 0), (1, 1)), mode="edge")
    radius = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    low = (np.arange(radius.shape[1]) * STEP + LOWEST) < SHOULDERS
    return Hull(_with_normals(np.where(low, np.minimum(radius, HANGS), radius)))


def _with_normals(radius: Floats) -> Floats:
    columns, rows = radius.shape
    angle = np.arange(columns) * (2 * np.pi / columns)
    along = np.arange(rows) * STEP + LOWEST
    tilt = np.clip(along / SPHERE, 0, np.pi / 2)
    flat = radius * np.cos(tilt)
    height = radius * np.sin(tilt) + np.minimum(along, 0)
    places = np.stack([flat * np.sin(angle)[:, None], height, flat * np.cos(angle)[:, None]], -1)
    around = np.roll(places, -1, 0) - np.roll(places, 1, 0)
    up = np.gradient(places, axis=1)
    normal = np.cross(up, around) * -1
    out = np.stack(
        [
            np.sin(angle)[:, None] * np.cos(tilt),
            np.broadcast_to(np.sin(tilt), radius.shape),
            np.cos(angle)[:, None] * np.cos(tilt),
        ],
        -1,
    )
    length = np.sqrt((normal**2).sum(-1, keepdims=True))
    near_pole = np.clip((tilt / (np.pi / 2) - 0.85) / 0.1, 0, 1)[None, :, None]
    normal = np.where(length > 1e-6, normal / np.maximum(length, 1e-6), out) * (1 - near_pole) + out * near_pole
    normal /= np.sqrt((normal**2).sum(-1, keepdims=True))
    grid = np.concatenate([radius[..., None], normal], -1)
    return np.concatenate([grid, grid[:1]])


@lru_cache(maxsize=4)
def _places(head: Head) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.int64]]:
    """Where the skin of a template lies outermost in each cell of the grid.

    Of each of the C cells that it fills the face [C, 3] and the place on it [C, 3]; of every cell [AROUND, R] the
    nearest of those.
    """
    points = laid_template(head)
    names = [head.part_names.index(name) for name in ("skin", "neck")]
    faces = head.faces.cpu().numpy()[np.isin(head.face_parts.cpu().numpy(), names)].astype(np.int64)
    shares = np.array([(1 - a - b, a, b) for a in SPREAD for b in SPREAD if a + b < 1])
    samples = np.einsum("fkc,sk->fsc", points[faces], shares).reshape(-1, 3)
    column, row, radius, _ = capsule(samples)
    rows = round((SPHERE * np.pi / 2 - LOWEST) / STEP) + 1
    cell = (np.rint(column).astype(np.int64) % AROUND) * rows + np.clip(np.rint(row).astype(np.int64), 0, rows - 1)
    order = np.lexsort((radius, cell))
    last = np.flatnonzero(np.append(np.diff(cell[order]) != 0, True))
    chosen = order[last]
    filled = cell[chosen]
    own = np.stack([filled // rows, filled % rows], 1)
    # Empty cells (between sparse vertices, at the pole, below the chest) take the nearest filled ones.
    everywhere = np.stack(np.meshgrid(np.arange(AROUND), np.arange(rows), indexing="ij"), -1).reshape(-1, 2)
    across = np.abs(everywhere[:, None, 0] - own[None, :, 0])
    across = np.minimum(across, AROUND - across) * np.cos(np.clip((own[:, 1] * STEP + LOWEST) / SPHERE, 0, 1.5))[None]
    squared = across**2 + (everywhere[:, None, 1] - own[None, :, 1]) ** 2
    near = squared.argmin(1)
    return faces[chosen // len(shares)], shares[chosen % len(shares)], near.reshape(AROUND, rows)


def laid_template(head: Head) -> Floats:
    """Vertices [V, 3] of a template in mm, its ears laid under hair."""
    points = head.template.detach().cpu().double().numpy() * 1000
    ears, offset = head.laid_ears()
    points = points.copy()
    points[ears.cpu().numpy()] += offset.cpu().double().numpy() * 1000
    return np.asarray(points)
