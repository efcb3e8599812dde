"""Knows what our units do to the points of another head: the fields that its shapes are fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from pain3d.facs.action_units import MOVES, ActionUnits
from pain3d.facs.rig import LID_PARTS, SIDE_NAMES
from pain3d.head.foreign.correspondence import correspond
from pain3d.head.joints import axis_angle_to_matrix

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
ANGLES = np.linspace(0.0, 0.6, 121)  # radians that a jaw may open


@dataclass(frozen=True)
class OurUnits:
    """Our units on another head.

    Attributes:
        names: [K] units that action units drive, left and right.
        fields: [K, V, 3] metres at weight 1.
        opening: [V, 3] metres of AU27 at 5.
        weight: [V] 1 where the heads correspond, else 0.
    """

    names: tuple[str, ...]
    fields: Floats
    opening: Floats
    weight: Floats

    @classmethod
    def on(cls, template: Floats, faces: Indices, eyes: Floats, eyeballs: tuple[Indices, Indices]) -> Self:
        """Our units on a template [V, 3] with faces [F, 3], eyes' centres [2, 3] and their vertices.

        Raises:
            ValueError: The eyes are not where eyes are.
        """
        from pain3d.head.model import Head

        head = Head.default()
        stems = dict.fromkeys([stem for moves in MOVES.values() for stem, _ in moves]) | dict.fromkeys(LID_PARTS)
        names = tuple(f"{stem}{side}" for stem in stems for side in SIDE_NAMES if f"{stem}{side}" in head.unit_names)
        skin, places, triangles = skin_of(
            head.template.numpy().astype(np.float64),
            head.faces.numpy().astype(np.int64),
            np.flatnonzero(np.isin(head.vertex_parts.numpy(), [head.part_names.index(p) for p in ("skin", "neck")])),
        )
        fields = head.expression_basis[[head.unit_names.index(name) for name in names]].numpy().astype(np.float64)
        opening = (head(au=ActionUnits(AU27=5)).vertices - head.template)[0].numpy().astype(np.float64)
        other = np.setdiff1d(np.arange(len(template)), np.concatenate(eyeballs))
        theirs, their_places, their_triangles = skin_of(template, faces, other)
        found = correspond(
            their_places, their_triangles, eyes, places, triangles, head.joints[3:5].numpy().astype(float)
        )
        carried = np.zeros((len(names) + 1, len(template), 3))
        carried[:, theirs] = found.carried(np.concatenate([fields, opening[None]])[:, skin])
        weight = np.zeros(len(template))
        weight[theirs] = found.weight
        return cls(names, carried[:-1], carried[-1], weight)


def skin_of(template: Floats, faces: Indices, chosen: Indices) -> tuple[Indices, Floats, Indices]:
    """The chosen vertices that a face of them uses, their places, and those faces in their numbers."""
    inside = np.zeros(len(template), bool)
    inside[chosen] = True
    kept = faces[inside[faces].all(1)]
    used = np.unique(kept)
    return used, template[used], np.searchsorted(used, kept)


def jaw_angle_of(template: Floats, joint: Floats, weights: Floats, ours: OurUnits) -> float:
    """Radians by which a jaw [V] of skinning weights opens as far as ours, by least squares over `ANGLES`."""
    turns = axis_angle_to_matrix(torch.from_numpy(ANGLES)[:, None] * torch.tensor([1.0, 0, 0], dtype=torch.float64))
    arm = template - joint
    moved = np.einsum("aij,vj->avi", turns.numpy() - np.eye(3), arm) * weights[:, None]
    over = (((moved - ours.opening) ** 2).sum(2) * ours.weight).sum(1)
    return float(ANGLES[over.argmin()])
