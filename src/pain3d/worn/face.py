"""Knows one person's neutral head as things are fitted to it: landmarks, skin to lie on, and what holds a place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pain3d.hair.wearing import frame_vertices
from pain3d.head.model import Head
from pain3d.mesh import Surface
from pain3d.skin.hairline import MM_PER_DEGREE
from pain3d.worn.pieces import Floats, Piece, Whole, unit

NEAREST = 8  # vertices whose tangent planes are the skin at a place
ROUNDS, SMOOTH = 3, 4  # of pushing a path out, and each time of smoothing it
CLOTHED, BEARDED, PRESSED = -105.0, 20.0, 0.4  # mm: cloth below, beards before; share of a beard that stands
OUTWARD = 0.35  # least share of a laid ear's normals that points to the side, where cloth lies on it
NECK, CHEST = -85.0, -125.0  # mm of height over which what lies on the neck comes to follow the shoulders


class Face:
    """A neutral head, mm.

    Args:
        head: On the CPU.
        identity: [1, S] coefficients.
        surface: What stands off the skin.
        pressed: Whether things press a beard down and run below hair; else they lie on whatever there is.
        laid: Whether they lie on laid ears too; else on the skin below an ear.

    Attributes:
        vertices: [V, 3] of what things lie on.
        shown: [V, 3] of the mesh that carries them.
        landmarks: [L, 3].
        landmark_vertices: [L].
        skull: A vertex that no expression moves.
    """

    def __init__(
        self, head: Head, identity: Tensor, surface: Surface, *, pressed: bool = True, laid: bool = False
    ) -> None:
        with torch.no_grad():
            bare, grown = (head(identity, surface=one).vertices[0].double().numpy() * 1000 for one in (None, surface))
        # Things go over cloth, press a beard down, and run below hair.
        over = np.where(bare[:, 1] < CLOTHED, 1.0, np.where(bare[:, 2] > BEARDED, PRESSED, 0.0))
        over = over if pressed else np.ones_like(over)
        self.vertices: Floats = bare + over[:, None] * (grown - bare)
        self.shown: Floats = grown
        self.skull = int(frame_vertices(head)[0, 0])
        self.landmark_vertices: Whole = head.landmarks.numpy()
        self.landmarks: Floats = self.vertices[self.landmark_vertices]
        faces = head.faces.numpy().astype(np.int64)
        corners = self.vertices[faces]
        normals = np.zeros_like(self.vertices)
        np.add.at(normals, faces, np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, None])
        parts = head.vertex_parts.numpy()
        outer = np.isin(parts, [head.part_names.index(name) for name in ("skin", "neck")])
        self._normals = unit(normals)
        ears = head.ears.numpy()
        out = self._normals[ears, 0] * np.sign(self.vertices[ears, 0])
        outer[ears] = out > OUTWARD if laid else False
        self._skin: Whole = np.flatnonzero(outer)
        template = head.template.double().numpy() * 1000
        self._unrolled: Floats = np.stack([np.degrees(np.arctan2(template[:, 0], template[:, 2])), template[:, 1]], 1)

    def near(self, points: Floats, count: int = 1) -> Whole:
        """[N, count] vertices of the skin nearest to points [N, 3]."""
        places = self.vertices[self._skin]
        squared = (places**2).sum(1)[None] - 2 * np.einsum("nk,vk->nv", points, places)  # and what all of a row share
        nearest = np.argpartition(squared, count, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(squared, nearest, 1), axis=1, kind="stable")
        return self._skin[np.take_along_axis(nearest, order, 1)]

    def skin(self, points: Floats) -> tuple[Floats, Floats]:
        """Signed distance [N] from the skin and its normal [N, 3] at points [N, 3]: of the nearest tangent planes."""
        return self.over(self.near(points, NEAREST), points)

    def over(self, near: Whole, points: Floats) -> tuple[Floats, Floats]:
        """As `skin`, of the tangent planes at vertices [N, K] that are told."""
        offset = points[:, None] - self.vertices[near]
        weight = 1 / ((offset**2).sum(-1) + 4.0) ** 1.5
        weight /= weight.sum(1, keepdims=True)
        normals = self._normals[near]
        distance = (weight * (offset * normals).sum(-1)).sum(1)
        return distance, unit((weight[..., None] * normals).sum(1))

    def lay(self, path: Floats, height: float, *, tight: bool = True) -> tuple[Floats, Floats]:
        """A path [P, 3] laid at a height above the skin (or, not tight, no lower), smoothed, and the normals there."""
        for turn in range(ROUNDS):
            distance, normal = self.skin(path)
            lift = height - distance
            path = path + (lift if tight else np.maximum(lift, 0))[:, None] * normal
            for _ in range(SMOOTH if turn < ROUNDS - 1 and len(path) > 4 else 0):
                path = np.concatenate([path[:1], (path[:-2] + 2 * path[1:-1] + path[2:]) / 4, path[-1:]])
        return path, self.skin(path)[1]

    def at(self, places: Floats) -> Floats:
        """Places [N, 3] on this person's skin of such on the unrolled template [N, 2]: degrees from the front, mm."""
        scale = np.array([MM_PER_DEGREE, 1.0])
        unrolled = self._unrolled[self._skin]
        turned = np.mod(places[:, None, 0] - unrolled[None, :, 0] + 180, 360) - 180
        squared = (turned * scale[0]) ** 2 + (places[:, None, 1] - unrolled[None, :, 1]) ** 2
        near = np.argsort(squared, axis=1, kind="stable")[:, :NEAREST]
        weight = 1 / (np.take_along_axis(squared, near, 1) + 1.0)
        weight /= weight.sum(1, keepdims=True)
        return np.asarray(np.einsum("nk,nkc->nc", weight, self.vertices[self._skin[near]]))

    def around(self, outline: Floats, columns: int) -> Floats:
        """An outline [K, 2] of `at`, from the front to the back, and its mirror image, on this skin: [columns, 3].

        Columns begin at the front and go over the person's left.
        """
        half = columns // 2
        turn = np.linspace(0, outline[-1, 0], half + 1)
        height = np.interp(turn, outline[:, 0], outline[:, 1])
        both = np.concatenate([turn, -turn[-2:0:-1]]), np.concatenate([height, height[-2:0:-1]])
        laid = self.at(np.stack(both, 1))
        for _ in range(SMOOTH):
            laid = (np.roll(laid, 1, 0) + 2 * laid + np.roll(laid, -1, 0)) / 4
            laid = laid - self.skin(laid)[0][:, None] * self.skin(laid)[1]
        return laid

    def hold(self, piece: Piece, landmarks: Sequence[int] | None = None) -> Piece:
        """A piece whose rows move as the skin nearest to each, or all as the mean of landmarks (up to 3)."""
        rows = len(piece.points)
        if landmarks is not None:
            chosen = self.landmark_vertices[list(landmarks)]
            holders = np.tile(np.resize(chosen, 3), (rows, 1))
            shares = np.full((rows, 3), 1 / len(chosen))
            shares[:, len(chosen) :] = 0
        else:
            holders = self.near(piece.points, 3)
            squared = ((piece.points[:, None] - self.vertices[holders]) ** 2).sum(-1)
            shares = 1 / (squared + 4.0)
            shares /= shares.sum(1, keepdims=True)
        low = np.clip((NECK - piece.points[:, 1]) / (NECK - CHEST), 0, 1)
        rests = low * low * (3 - 2 * low)
        return piece._replace(holders=holders, shares=shares, rests=rests)
