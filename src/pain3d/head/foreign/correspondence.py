"""Knows which point of one head lies where a point of another head lies: scaled, laid over it, and bent to it softly.

First by the eyes (place and size), then by rounds of nearest points with normals that agree: a similarity by least
squares (Umeyama 1991, without reflection), then smooth offsets, each round's by Gaussian means over a smaller reach.
Both heads look along +Z with +Y up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pain3d.kernels.deformation import vertex_normals

Floats = npt.NDArray[np.float64]
RIGID_ROUNDS = 12
REACHES = (0.040, 0.028, 0.020, 0.014, 0.010, 0.007)  # m of the Gaussian of each soft round
FRONT = 0.0  # of the normals' z: the rigid rounds look at what faces forward
AGREE = 0.5  # least cosine between the normals of corresponding points: 60°
NEAR = 0.006  # m: corresponding points end within this, or count for nothing
NEIGHBOURS = 4  # of our vertices that a displacement is taken from, by inverse distance
CHUNK = 1024  # rows of a table of distances at a time


@dataclass(frozen=True)
class Correspondence:
    """For each vertex of a head, where on another head it lies.

    Attributes:
        vertices: [V, N] vertices of the other head.
        shares: [V, N], they sum to 1.
        weight: [V] 1 where points correspond, 0 where nothing near faces the same way.
        scale: Metres of this head per metre of the other.
    """

    vertices: npt.NDArray[np.int64]
    shares: Floats
    weight: Floats
    scale: float

    def carried(self, fields: Floats) -> Floats:
        """Displacements [K, V, 3] of this head where the other's vertices have fields [K, V', 3]."""
        return np.asarray(self.scale * np.einsum("kvnc,vn->kvc", fields[:, self.vertices], self.shares))


def correspond(
    places: Floats,
    faces: npt.NDArray[np.int64],
    eyes: Floats,
    other: Floats,
    other_faces: npt.NDArray[np.int64],
    other_eyes: Floats,
) -> Correspondence:
    """Lay another head over a head and find its nearest points.

    Args:
        places: [V, 3] metres, the head's skin.
        faces: [F, 3] of it.
        eyes: [2, 3] centres of its left and right eyeball.
        other: [V', 3] metres, the other head's skin.
        other_faces: [F', 3].
        other_eyes: [2, 3].

    Raises:
        ValueError: The eyes coincide, or the left one is not on +X.
    """
    if not (eyes[0] - eyes[1])[0] > 0.02:
        raise ValueError("the left eye must lie on +X of the right one, some centimetres away")
    normals, other_normals = _normals(places, faces), _normals(other, other_faces)
    scale = float(np.linalg.norm(eyes[0] - eyes[1]) / np.linalg.norm(other_eyes[0] - other_eyes[1]))
    laid = scale * (other - other_eyes.mean(0)) + eyes.mean(0)
    front = np.flatnonzero((normals[:, 2] > FRONT) & (np.linalg.norm(places - eyes.mean(0), axis=1) < 0.11))
    for _ in range(RIGID_ROUNDS):
        found, _ = _nearest(places[front], normals[front], laid, other_normals)
        laid = _similar(laid[found], places[front], laid)
    size = float(np.linalg.norm(laid - laid.mean(0)) / np.linalg.norm(other - other.mean(0)))
    for reach in REACHES:
        found, agree = _nearest(places, normals, laid, other_normals)
        gap = places - laid[found]
        trusted = agree & (np.linalg.norm(gap, axis=1) < 2 * reach)
        laid = laid + _smooth(laid, laid[found][trusted], gap[trusted], reach)
        other_normals = _normals(laid, other_faces)
    found, agree = _nearest(places, normals, laid, other_normals)
    distance, near = _few_nearest(places, laid)
    shares = 1 / (distance + 1e-6)
    weight = (agree & (np.linalg.norm(places - laid[found], axis=1) < NEAR)).astype(float)
    return Correspondence(near, shares / shares.sum(1, keepdims=True), weight, size)


def _normals(places: Floats, faces: npt.NDArray[np.int64]) -> Floats:
    found = vertex_normals(torch.from_numpy(places)[None].float(), torch.from_numpy(faces).to(torch.int32))
    return found[0].double().numpy()


def _nearest(
    points: Floats, normals: Floats, among: Floats, their_normals: Floats
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The nearest of `among` for each point, of those whose normals agree, and whether there is one."""
    found, agree = [], []
    for start in range(0, len(points), CHUNK):
        rows = slice(start, start + CHUNK)
        gaps = torch.cdist(torch.from_numpy(points[rows]).float(), torch.from_numpy(among).float())
        cosine = (torch.from_numpy(normals[rows]) @ torch.from_numpy(their_normals).T).float()
        gaps = torch.where(cosine > AGREE, gaps, gaps + 1.0)
        least, which = gaps.min(1)
        found.append(which.numpy())
        agree.append((least < 1.0).numpy())
    return np.concatenate(found), np.concatenate(agree)


def _few_nearest(points: Floats, among: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    distances, places = [], []
    for start in range(0, len(points), CHUNK):
        gaps = torch.cdist(torch.from_numpy(points[start : start + CHUNK]), torch.from_numpy(among))
        least, which = gaps.topk(NEIGHBOURS, dim=1, largest=False)
        distances.append(least.numpy())
        places.append(which.numpy())
    return np.concatenate(distances), np.concatenate(places)


def _similar(these: Floats, onto: Floats, everything: Floats) -> Floats:
    """Everything, moved by the similarity that lays `these` onto their partners (Umeyama 1991)."""
    centre, goal = these.mean(0), onto.mean(0)
    left, stretch, right = np.linalg.svd((onto - goal).T @ (these - centre))
    mirror = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    turn = left @ mirror @ right
    scale = (stretch * np.diag(mirror)).sum() / ((these - centre) ** 2).sum()
    return np.asarray(scale * (everything - centre) @ turn.T + goal)


def _smooth(points: Floats, known: Floats, offsets: Floats, reach: float) -> Floats:
    """Offsets [P, 3] at points: the Gaussian mean of those that are known nearby, fading where none is."""
    summed = []
    for start in range(0, len(points), CHUNK):
        gaps = torch.cdist(torch.from_numpy(points[start : start + CHUNK]).float(), torch.from_numpy(known).float())
        near = torch.exp(-0.5 * (gaps / reach) ** 2)
        mean = near @ torch.from_numpy(offsets).float() / (near.sum(1, keepdim=True) + 1.0)
        summed.append(mean.double().numpy())
    return np.concatenate(summed)
