"""Knows a person's head as other programs move it: action units as shapes of their own, and joints.

A shape is the displacement of one action unit at full intensity (5, E) on one side, alone: a weight of 1 is our face.
In between glTF goes along a straight line: where lids slide over the eyeball and where the jaw turns, ours does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pain3d.facs.action_units import AU_NUMBERS, JAW, SIDES, ActionUnits
from pain3d.facs.pain_score import MAX_INTENSITY
from pain3d.facs.rig import action_weights
from pain3d.head.identity import Identity
from pain3d.head.model import Head
from pain3d.mesh import Mesh, Surface
from pain3d.mesh_files.corners import Array, normals_of

NOTHING = 1e-6  # m: a shape that moves no vertex by a thousandth of a millimetre is left out


@dataclass(frozen=True)
class Rig:
    """What moves a person's neutral mesh in another program.

    Attributes:
        neutral: The mesh [1, V, 3] at rest.
        names: Of the shapes: ``AU04_L``, ``AU04_R``, …; ``AU26`` and ``AU27``, for a jaw has no sides.
        moves: [K, V, 3] metres that each adds at weight 1.
        turns: [K, V, 3] what it adds to the normals.
        weights: [K] of the face that the file shows when it is opened.
        joint_names: [J] root, neck, jaw, left_eye, right_eye.
        joint_parents: [J], −1 for the first.
        joints: [J, 3] metres, at rest.
        skin_joints: [V, W] joints that a vertex turns with.
        skin_weights: [V, W], they sum to 1.
    """

    neutral: Mesh
    names: tuple[str, ...]
    moves: Array
    turns: Array
    weights: Array
    joint_names: tuple[str, ...]
    joint_parents: tuple[int, ...]
    joints: Array
    skin_joints: npt.NDArray[np.int64]
    skin_weights: Array


def rig_of(
    head: Head, identity: Identity | None = None, au: ActionUnits | None = None, surface: Surface | None = None
) -> Rig:
    """The rig of one person.

    Args:
        head: Whose shapes.
        identity: Who; None is the template.
        au: The face that the file shows when it is opened; None is neutral. Where units meet, its weights are those
            after our rules (`pain3d.facs.rig`); shapes are added without them.
        surface: Hair and cloth of the person.

    Gradients: none.
    """
    named: list[tuple[str, int, tuple[int, ...]]] = []
    for row, number in enumerate(AU_NUMBERS):
        sides = [("", (0, 1))] if number in JAW else [(f"_{side}", (place,)) for place, side in enumerate(SIDES)]
        named += [(f"AU{number:02d}{ending}", row, places) for ending, places in sides]
    alone = head.template.new_zeros(len(named), len(AU_NUMBERS), len(SIDES))
    for place, (_, row, which) in enumerate(named):
        alone[place, row, list(which)] = 1.0 if AU_NUMBERS[row] == 43 else MAX_INTENSITY
    with torch.no_grad():
        neutral = head(identity, surface=surface)
        moved = head(identity, alone, surface=surface).vertices.cpu().float()
        shown = action_weights(head.au_rows(au))[0].cpu().numpy()
    rest, faces = neutral.vertices.cpu().float(), head.faces.cpu()
    moves = (moved - rest).numpy()
    turns = normals_of(moved, faces) - normals_of(rest, faces)
    kept = [place for place in range(len(named)) if np.abs(moves[place]).max() > NOTHING]
    return Rig(
        neutral=neutral,
        names=tuple(named[place][0] for place in kept),
        moves=moves[kept],
        turns=turns[kept],
        weights=np.array([shown[named[place][1], list(named[place][2])].max() for place in kept], np.float32),
        joint_names=head.joint_names,
        joint_parents=head.joint_parents,
        joints=neutral.joints[0].cpu().float().numpy(),
        skin_joints=head.skin_joints.cpu().numpy().astype(np.int64),
        skin_weights=head.skin_weights.cpu().float().numpy(),
    )
