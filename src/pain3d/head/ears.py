"""Knows how ears lie under long hair: flat, on a membrane stretched over the loop where they join the skull.

The membrane is each ear vertex in the middle of its neighbours (a uniform Laplace equation, Tutte 1963), which folds
nowhere. It is linear in the vertices, so every identity's ears have a shape of their own for it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]

EAR_BOX = ((0.071, 0.200), (-0.028, 0.040), (-0.036, 0.018))  # m on the template, left; only ears reach into it

DIGITS = 7  # of a metre that are kept: the last bits of a solved equation depend on the number of threads
ROOT_RINGS = 2  # rings of vertices around it that turn towards the skull behind the ear


def laid_ears(template: Tensor, basis: Tensor, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices of both ears [E], and by how much they lie elsewhere: in the template [1, E, 3], per shape [S, E, 3].

    Args:
        template: [V, 3] metres.
        basis: [S, V, 3] identity shapes, metres.
        faces: [F, 3] of the skin.
    """
    neighbours: dict[int, set[int]] = {}
    for face in faces.tolist():
        for corner in range(3):
            neighbours.setdefault(face[corner], set()).update(face)
    points = template.numpy()
    everywhere: list[int] = []
    rows: list[tuple[list[int], list[int], Floats]] = []
    for sign in (1, -1):
        mirrored = points * np.array([sign, 1, 1], np.float32)
        inside = np.all([(mirrored[:, k] > low) & (mirrored[:, k] < high) for k, (low, high) in enumerate(EAR_BOX)], 0)
        ear = {int(v) for v in np.flatnonzero(inside) if int(v) in neighbours}
        for _ in range(ROOT_RINGS):
            ear |= {n for v in ear for n in neighbours[v]}
        ear = _filled(ear, neighbours)
        members = sorted(ear)
        loop = sorted({n for v in members for n in neighbours[v]} - ear)
        rows.append((members, loop, _membrane(members, loop, neighbours)))
        everywhere += members
    ears = torch.tensor(everywhere, dtype=torch.int64)

    def laid(vertices: Tensor) -> Tensor:  # [..., V, 3]
        moved = [
            torch.einsum("ek,...kc->...ec", torch.from_numpy(weights), vertices[..., loop, :].double())
            for _, loop, weights in rows
        ]
        offset = torch.cat(moved, -2) - vertices[..., ears, :].double()
        return torch.round(offset, decimals=DIGITS).float()

    return ears, laid(template[None]), laid(basis)


def _filled(chosen: set[int], neighbours: dict[int, set[int]]) -> set[int]:
    """The chosen vertices and all that they enclose."""
    left = set(neighbours) - chosen
    parts: list[set[int]] = []
    while left:
        part, edge = set(), {next(iter(left))}
        while edge:
            part |= edge
            edge = {n for v in edge for n in neighbours[v] if n in left} - part
        parts.append(part)
        left -= part
    outside = max(parts, key=len, default=set())
    return set(neighbours) - outside


def _membrane(members: list[int], loop: list[int], neighbours: dict[int, set[int]]) -> Floats:
    """Weights [E, K] of the loop's vertices in each member's place."""
    row, column = {v: k for k, v in enumerate(members)}, {v: k for k, v in enumerate(loop)}
    inner, outer = np.zeros((len(members), len(members))), np.zeros((len(members), len(loop)))
    for vertex in members:
        around = neighbours[vertex] - {vertex}
        inner[row[vertex], row[vertex]] = len(around)
        for n in around:
            if n in row:
                inner[row[vertex], row[n]] -= 1
            else:
                outer[row[vertex], column[n]] += 1
    return np.asarray(np.linalg.solve(inner, outer))
