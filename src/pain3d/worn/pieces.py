"""Knows what things are made of: ribbons, tubes of three crossed ribbons, and sheets of cards, in rows like hair's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.hair import strip_faces
from pain3d.hair.cards import LONG, WIDE

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Vector = Sequence[float] | Floats
# Tiles: opaque; a round bar, darker at its borders; a clear tube; as clear as v says; a soft shadow that lies on skin.
PLAIN, ROUND, CLEAR, VEIL, SHADE = range(5)
SHADE_ALPHA = 0.42
VEIL_BEYOND = 0.06  # by which a veil's alpha is 0 and 1 before its ends, which no coarser mip level reaches
CROSSED = 3  # ribbons of a tube: from wherever it is seen it is 0.87 to 1 of its width


class Piece(NamedTuple):
    """R rows on the neutral head, millimetres; a row has two vertices, left and right, which a card has in one place.

    Attributes:
        points: [R, 3] the middle.
        sides: [R, 3] from there to the right vertex; of cards 0.
        tangents: [R, 3] along a ribbon; of what has no grain 0.
        normals: [R, 3] outward.
        tint: [R, 3] linear.
        occlusion: [R] 0–1.
        gloss: [R].
        uvs: [R, 2, 2] of the left and the right vertex.
        faces: [F, 3] into the 2 R vertices.
        tiles: [F] of `paint_tiles`.
        holders: [R, 3] vertices of the head that hold a row, the shares of which are `shares`.
        shares: [R, 3] that sum to 1; or 0 of what stands still with the skull.
        rests: [R] how much a row follows the shoulders instead of the skull.
    """

    points: Floats
    sides: Floats
    tangents: Floats
    normals: Floats
    tint: Floats
    occlusion: Floats
    gloss: Floats
    uvs: Floats
    faces: Whole
    tiles: Whole
    holders: Whole
    shares: Floats
    rests: Floats


def joined(pieces: Sequence[Piece]) -> Piece:
    """Pieces as one."""
    firsts = np.cumsum([0, *(2 * len(piece.points) for piece in pieces[:-1])])
    fields = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in Piece._fields}
    fields["faces"] = np.concatenate([piece.faces + first for piece, first in zip(pieces, firsts, strict=True)])
    return Piece(**fields)


def ribbon(
    path: Floats,
    side: Floats,
    normal: Floats,
    tint: Vector,
    *,
    tile: int = PLAIN,
    gloss: float = 0.3,
    occlusion: float | Floats = 1.0,
) -> Piece:
    """A ribbon along a path [P, 3], `side` [P, 3] to either side, facing `normal` [P, 3]; nothing holds it yet."""
    rows = len(path)
    uvs = np.broadcast_to(np.array([(0.0, 0.5), (1.0, 0.5)]), (rows, 2, 2))
    return _piece(path, side, along(path), normal, tint, occlusion, gloss, uvs, strip_faces(1, rows), tile)


def tube(
    path: Floats,
    radius: float | tuple[float, float],
    outward: Floats,
    tint: Vector,
    *,
    tile: int = ROUND,
    gloss: float = 1.0,
    occlusion: float | Floats = 1.0,
) -> Piece:
    """A tube along a path [P, 3], which `outward` [P, 3] faces; `radius` mm across it, or that and the one outward."""
    tangent = along(path)
    across = unit(np.asarray(np.cross(tangent, outward), np.float64))
    out = np.cross(across, tangent)
    wide, deep = radius if isinstance(radius, tuple) else (radius, radius)
    turns = np.arange(CROSSED) * (np.pi / CROSSED)
    return joined(
        [
            ribbon(path, wide * np.cos(turn) * across + deep * np.sin(turn) * out, outward, tint, tile=tile,
                   gloss=gloss, occlusion=occlusion)
            for turn in turns
        ]
    )  # fmt: skip


def sheet(
    grid: Floats,
    normals: Floats,
    tint: Vector,
    *,
    alpha: Floats | None = None,
    gloss: float | Floats = 0.0,
    occlusion: float | Floats = 1.0,
    closed: bool = False,
) -> Piece:
    """Cards over a grid [P, Q, 3]; `closed` joins its last column to its first. `alpha` [P, Q]; None is 1."""
    rows, columns = grid.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        number = np.concatenate([number, number[:, :1]], 1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = 2 * np.stack([a, b, c, b, d, c], -1).reshape(-1, 3)
    flat = rows * columns
    v = np.full(flat, 0.5) if alpha is None else alpha_place(alpha.reshape(-1))
    uvs = np.repeat(np.stack([np.full(flat, 0.5), v], -1)[:, None], 2, 1)
    zeros = np.zeros((flat, 3))
    tints = np.broadcast_to(np.asarray(tint, np.float64), (*grid.shape[:2], 3)).reshape(-1, 3)
    shades, glosses = (np.broadcast_to(part, grid.shape[:2]).reshape(-1) for part in (occlusion, gloss))
    tile = PLAIN if alpha is None else VEIL
    return _piece(grid.reshape(-1, 3), zeros, zeros, normals.reshape(-1, 3), tints, shades, glosses, uvs, faces, tile)


def alpha_place(alpha: Floats) -> Floats:
    """Where on a veil's tile (v) an alpha stands."""
    return np.asarray(VEIL_BEYOND + (1 - 2 * VEIL_BEYOND) * alpha)


def _piece(
    points: Floats, sides: Floats, tangents: Floats, normals: Floats, tint: Vector,
    occlusion: float | Floats, gloss: float | Floats, uvs: Floats, faces: Whole, tile: int,
) -> Piece:  # fmt: skip
    rows = len(points)
    return Piece(
        points=points,
        sides=sides,
        tangents=tangents,
        normals=normals,
        tint=np.array(np.broadcast_to(np.asarray(tint, np.float64), (rows, 3))),
        occlusion=np.array(np.broadcast_to(occlusion, rows), np.float64),
        gloss=np.array(np.broadcast_to(gloss, rows), np.float64),
        uvs=np.array(uvs),
        faces=faces,
        tiles=np.full(len(faces), tile, np.int64),
        holders=np.zeros((rows, 3), np.int64),
        shares=np.zeros((rows, 3)),
        rests=np.zeros(rows),
    )


def through(places: Sequence[Vector] | Floats, step: float, closed: bool = False) -> Floats:
    """A smooth curve through places [K, 3] mm (Catmull and Rom 1974), a point every `step` mm or so: [P, 3]."""
    knots = np.asarray(places, np.float64)
    before, after = (knots[-1:], knots[:2]) if closed else (2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1])
    padded = np.concatenate([before, knots, after])
    curve = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        t = np.linspace(0, 1, max(2, int(np.ceil(np.linalg.norm(c - b) / step)) + 1))[:-1, None]
        curve.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    ends = curve[0][:1] if closed else knots[-1:]
    return np.concatenate([*curve, ends])


def along(path: Floats) -> Floats:
    """Unit tangents [P, 3] of a path; of one that ends where it began alike there."""
    tangent = np.gradient(path, axis=0)
    if np.allclose(path[0], path[-1]):
        tangent[0] = tangent[-1] = path[1] - path[-2]
    return unit(tangent)


def beside(place: Floats, x: float, y: float, z: float) -> Floats:
    """A place [3] and so many mm from there."""
    return np.asarray(place + np.array((x, y, z)))


def unit(vectors: Floats) -> Floats:
    """Vectors [..., 3] at unit length."""
    return np.asarray(vectors / np.maximum(np.sqrt((vectors**2).sum(-1, keepdims=True)), 1e-9))


@lru_cache(maxsize=1)
def paint_tiles() -> npt.NDArray[np.float32]:
    """Tiles [5, LONG, WIDE, 4] of the size of hair's: albedo about 1 and alpha; v = 1 at the first row."""
    x = (np.arange(WIDE) + 0.5) / WIDE * 2 - 1
    v = 1 - (np.arange(LONG) + 0.5) / LONG
    bulge = np.sqrt(1 - x**2)
    streak = np.exp(-(((x + 0.35) / 0.18) ** 2))
    tiles = np.ones((5, LONG, WIDE, 4))
    tiles[ROUND, ..., :3] = (0.5 + 0.5 * bulge + 0.25 * streak)[:, None]
    tiles[CLEAR, ..., :3] = (0.55 + 0.45 * bulge + 0.7 * streak)[:, None]
    tiles[CLEAR, ..., 3] = 0.62 - 0.34 * bulge + 0.35 * streak
    tiles[VEIL, ..., 3] = np.clip((v - VEIL_BEYOND) / (1 - 2 * VEIL_BEYOND), 0, 1)[:, None]
    tiles[SHADE, ..., :3] = 0.0
    tiles[SHADE, ..., 3] = SHADE_ALPHA * bulge**3
    return tiles.astype(np.float32)
