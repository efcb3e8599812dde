"""Knows how another maker's head becomes one of ours: same joints, our names of units, a list of what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pain3d.head.assets import FORMAT, Arrays, HeadFile
from pain3d.head.foreign.unit_fit import UnitFit

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
JOINTS, PARENTS = ("root", "neck", "jaw", "left_eye", "right_eye"), (-1, 0, 1, 1, 1)
SIDE_BLEND = 0.006  # m: half width of the change from left to right of a shape that its maker does not split
PARTS = ("skin", "left_eye", "right_eye")
ALWAYS_MISSING = (
    "skin, hair and wrinkles (it renders as clay)", "landmarks", "regions", "occlusion",
    "age, sex and ancestry (Identity.local alone shapes it)",
)  # fmt: skip


@dataclass(frozen=True)
class HeadSource:
    """Whose head it is, and what it lacks beside the packaged one.

    Attributes:
        kind: ``pain3d``, ``FLAME``, ``ICT-FaceKit``, ``OBJ blendshapes``.
        licence: What its user has agreed to.
        credit: The line that whatever is made from it must bear.
        missing: What the packaged head has and this one has not, in words.
        fit: How its shapes make our units, with what is left over; None where they are its own.
    """

    kind: str
    licence: str
    credit: str
    missing: tuple[str, ...] = ()
    fit: UnitFit | None = None

    def says(self) -> str:
        """One line: kind, licence, what is missing."""
        lacking = f"; missing: {', '.join(self.missing)}" if self.missing else ""
        return f"{self.kind}: {self.licence}{lacking}"


PACKAGED = HeadSource("pain3d", "CC0 1.0", "Head: CC0 1.0, from MakeHuman data")


@dataclass
class Converted:
    """A head on its way in.

    Attributes:
        name: Short.
        template: [V, 3] metres, +Y up, looking along +Z.
        faces: [F, 3].
        identity: Name → [V, 3] metres per standard deviation.
        units: Name → [V, 3] metres at weight 1; names as `pain3d.facs.action_units.MOVES` has them, with a side.
        eyes: Vertices of the left and right eyeball.
        joints: [5, 3] metres.
        joint_basis: [S, 5, 3].
        skin_weights: [V, 5].
        jaw_angle: Radians that AU27 opens; 0 where the unit ``jawOpen`` does it.
        uvs: [T, 2] and uv_faces [F, 3]; None are cylindrical.
    """

    name: str
    template: Floats
    faces: Indices
    identity: Mapping[str, Floats]
    units: Mapping[str, Floats]
    eyes: tuple[Indices, Indices]
    joints: Floats
    joint_basis: Floats
    skin_weights: Floats
    jaw_angle: float
    uvs: Floats | None = None
    uv_faces: Indices | None = None


def head_file(made: Converted) -> HeadFile:
    """The head as a file of ours would hold it."""
    vertices = len(made.template)
    parts = np.zeros(vertices, np.uint8)
    for number, eye in enumerate(made.eyes, 1):
        parts[eye] = number
    uvs, uv_faces = made.uvs, made.uv_faces
    if uvs is None or uv_faces is None:
        uvs, uv_faces = _cylindrical(made.template, made.faces)
    shapes = [*made.identity.values(), *made.units.values()]
    meta: dict[str, Any] = {
        "format": FORMAT, "name": made.name, "parts": list(PARTS), "joints": list(JOINTS),
        "joint_parents": list(PARENTS), "jaw_angle": made.jaw_angle, "jaw_by_shape": made.jaw_angle == 0,
        "macro_count": 0, "identity": list(made.identity), "units": list(made.units), "landmarks": [], "regions": [],
        "correctives": False, "ears_under_hair": False,
    }  # fmt: skip
    count = len(made.identity)
    arrays: Arrays = {
        "template": made.template.astype(np.float32),
        "faces": made.faces.astype(np.uint32),
        "uvs": uvs.astype(np.float32),
        "uv_faces": uv_faces.astype(np.uint32),
        "face_parts": parts[made.faces[:, 0]],
        "vertex_parts": parts,
        "mirror": np.arange(vertices, dtype=np.uint32),
        "landmarks": np.zeros(0, np.uint16),
        "occlusion": np.ones(vertices, np.float32),
        "regions": np.zeros((0, vertices), np.bool_),
        "skin_weights": made.skin_weights.astype(np.float32),
        "joints": made.joints.astype(np.float32),
        "joint_basis": made.joint_basis.astype(np.float32),
        "local_sigma": np.ones(count, np.float32),
        "lid_rings": np.zeros((2, 8, 0), np.uint16),
        "closing_gap": np.zeros((count, 0), np.float32),
    }
    return HeadFile(meta, arrays, np.stack(shapes).astype(np.float32))


def split_by_side(shape: Floats, template: Floats) -> tuple[Floats, Floats]:
    """Left and right part of a shape [V, 3], which sum to it."""
    left = np.clip(0.5 + template[:, :1] / (2 * SIDE_BLEND), 0, 1)
    return shape * left, shape * (1 - left)


def islands(faces: Indices, vertices: int) -> Indices:
    """Number [V] of the connected piece that each vertex belongs to."""
    piece = np.arange(vertices)
    while True:
        least = piece[faces].min(1)
        before = piece.copy()
        for corner in range(3):
            np.minimum.at(piece, faces[:, corner], least)
        piece = piece[piece]
        if np.array_equal(piece, before):
            return np.asarray(piece)


def eyeballs(template: Floats, faces: Indices, centres: Floats) -> tuple[Indices, Indices]:
    """Vertices of the pieces whose middle lies at the left and right eye's centre [2, 3]; none where none does."""
    piece = islands(faces, len(template))
    found: list[Indices] = []
    for centre in centres:
        gaps = {
            int(k): float(np.linalg.norm(template[piece == k].mean(0) - centre))
            for k in np.unique(piece)
            if 20 < (piece == k).sum() < len(template) // 3  # no stray vertex, and not the head itself
        }
        nearest = min(gaps, key=gaps.__getitem__, default=None)
        near = nearest is not None and gaps[nearest] < 0.012  # m: about the radius of an eyeball
        found.append(np.flatnonzero(piece == nearest) if near else np.zeros(0, np.int64))
    return found[0], found[1]


def _cylindrical(template: Floats, faces: Indices) -> tuple[Floats, Indices]:
    """Texture coordinates of a cylinder around the head, open at the back, where faces take one side's."""
    around = np.arctan2(template[:, 0], template[:, 2]) / (2 * np.pi) + 0.5
    height = template[:, 1]
    up = (height - height.min()) / max(float(np.ptp(height)), 1e-9)
    corners = around[faces]
    crossing = np.ptp(corners, axis=1) > 0.5
    corners[crossing] = np.where(corners[crossing] < 0.5, corners[crossing] + 1, corners[crossing])
    flat = np.stack([corners / max(float(corners.max()), 1.0), up[faces]], 2).reshape(-1, 2)
    uvs, uv_faces = np.unique(np.round(flat, 6), axis=0, return_inverse=True)
    return uvs, uv_faces.reshape(faces.shape)
