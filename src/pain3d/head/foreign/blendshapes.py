"""Knows heads that are folders of OBJ files: ICT-FaceKit's, and any other with a file that says which shape is which.

The mapping file, ``pain3d-head.json``, in the folder::

    {"name": "mine", "neutral": "neutral.obj", "metres": 0.01, "licence": "MIT", "credit": "Head: mine, MIT",
     "units": {"browDownLeft": "brow_l.obj", "mouthFunnel": "funnel.obj", "jawOpen": "jaw.obj"},
     "identity": ["thin.obj"], "left_eye": [5000, 5071], "right_eye": [5072, 5143]}

``metres`` is the length of the file's unit; units are ARKit's names, those without a side are split at the midline;
``left_eye`` and ``right_eye`` are the first and the last vertex of the eyeballs. The last three may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import MOST_QUOTED, RefusedError, quoted, shortened
from pain3d.doors.paths import named_path
from pain3d.doors.text import read_json
from pain3d.facs.action_units import JAW, MOVES
from pain3d.facs.rig import SIDE_NAMES
from pain3d.head.assets import MAX_EXTENT, HeadFileError
from pain3d.head.foreign.conversion import ALWAYS_MISSING, Converted, HeadSource, split_by_side
from pain3d.head.foreign.wavefront import read_obj, read_places

Floats = npt.NDArray[np.float64]
MAPPING: Final = "pain3d-head.json"
ICT_NEUTRAL: Final = "generic_neutral_mesh.obj"
ICT_VERTICES: Final = 26719
ICT_EYES: Final = ((21451, 23020), (23021, 24590))
ICT_GLASS: Final = (24591, 25350)  # fluid, blend and occlusion meshes around the eyes, transparent at their maker's
ICT_SPLIT: Final = (
    "browDown", "browInnerUp", "browOuterUp", "cheekPuff", "cheekSquint", "eyeBlink", "eyeSquint", "eyeWide",
    "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp",
    "noseSneer",
)  # fmt: skip
ICT_WHOLE: Final = (
    "jawOpen", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
)  # fmt: skip
ICT_OTHER_NAMES: Final = {"cheekSquint": "cheekRaiser"}  # AU6 is the cheek raiser there, cheekSquint a second one
UNITS: Final = tuple(dict.fromkeys(stem for moves in MOVES.values() for stem, _ in moves))
EYES: Final = (0.0, 0.0234, 0.0695)  # m: where the packaged head's eyes are, so that its cameras see any head


@dataclass(frozen=True)
class Folder:
    """Which file of a folder is what.

    Attributes:
        name: Of the head.
        neutral: OBJ without expression.
        metres: Length of the files' unit.
        units: ARKit's name → OBJ.
        identity: OBJs of other people.
        eyes: First and last vertex of the left and right eyeball; None where they are not told.
        hidden: First and last vertex of what is not to be seen; None is nothing.
        source: Whose it is.
    """

    name: str
    neutral: Path
    metres: float
    units: Mapping[str, Path]
    identity: tuple[Path, ...]
    eyes: tuple[tuple[int, int], tuple[int, int]] | None
    hidden: tuple[int, int] | None
    source: HeadSource


def open_folder(path: Path) -> Folder:
    """Which files of a folder are what: by its mapping file, or as ICT-FaceKit names them. Raises HeadFileError."""
    if (path / MAPPING).is_file():
        return _mapped(path)
    for folder in (path, path / "FaceXModel"):
        if (folder / ICT_NEUTRAL).is_file():
            return _ict(folder)
    raise HeadFileError(f"{path}: a folder with neither {MAPPING} nor ICT-FaceKit's {ICT_NEUTRAL}")


def _ict(folder: Path) -> Folder:
    units = {stem: folder / f"{stem}.obj" for stem in ICT_WHOLE}
    for stem in ICT_SPLIT:
        named = ICT_OTHER_NAMES.get(stem, stem)
        units |= {f"{stem}{side}": folder / f"{named}_{side[0]}.obj" for side in SIDE_NAMES}
    credit = "Head: ICT-FaceKit, MIT licence, Copyright (c) 2020 USC Institute for Creative Technologies"
    source = HeadSource("ICT-FaceKit", "MIT", credit)
    identity = tuple(sorted(folder.glob("identity[0-9][0-9][0-9].obj")))
    return Folder("ict", folder / ICT_NEUTRAL, 0.01, units, identity, ICT_EYES, ICT_GLASS, source)


def _mapped(folder: Path) -> Folder:
    where = folder / MAPPING
    try:
        said = read_json(where)
    except RefusedError as error:
        raise HeadFileError(str(error)) from error
    kinds: dict[str, type | tuple[type, ...]] = {
        "name": str, "neutral": str, "metres": (int, float), "licence": str, "credit": str, "units": dict,
    }  # fmt: skip
    optional: dict[str, type] = {"identity": list, "left_eye": list, "right_eye": list}
    if not isinstance(said, dict):
        raise HeadFileError(f"{where}: must be an object with {', '.join(kinds)}")
    for key, kind in kinds.items():
        if not isinstance(said.get(key), kind):
            raise HeadFileError(f"{where}: {key} is missing or of another kind")
    for key in said:
        if key not in kinds and not isinstance(said[key], optional.get(key, ())):
            raise HeadFileError(f"{where}: {shortened(key, MOST_QUOTED)} is unknown or of another kind")
    known = {f"{unit}{side}" for unit in UNITS for side in ("", *SIDE_NAMES)} | {"jawOpen"}
    unknown = [name for name in said["units"] if name not in known]
    if unknown:
        raise HeadFileError(
            f"{where}: unit {quoted(unknown[0])} moves no action unit; ARKit's names, with Left or Right"
        )
    if not 0 < said["metres"] <= 1:
        raise HeadFileError(f"{where}: metres must be in 0..1, got {said['metres']}")
    ranges = [said.get(key) for key in ("left_eye", "right_eye")]
    for key, given in zip(("left_eye", "right_eye"), ranges, strict=True):
        if given is not None and (len(given) != 2 or not all(isinstance(k, int) and k >= 0 for k in given)):
            raise HeadFileError(f"{where}: {key} must be its first and last vertex")
    left, right = ranges
    eyes = None if left is None or right is None else ((left[0], left[1]), (right[0], right[1]))
    return Folder(
        name=said["name"],
        neutral=_inside(folder, where, said["neutral"]),
        metres=float(said["metres"]),
        units={name: _inside(folder, where, file) for name, file in said["units"].items()},
        identity=tuple(_inside(folder, where, file) for file in said.get("identity", [])),
        eyes=eyes,
        hidden=None,
        source=HeadSource("OBJ blendshapes", said["licence"], said["credit"]),
    )


def _inside(folder: Path, where: Path, name: Any) -> Path:
    try:
        return named_path(folder, name, where)
    except RefusedError as error:
        raise HeadFileError(str(error)) from error


def missing_of(folder: Folder) -> tuple[str, ...]:
    """What a head of this folder lacks, action units without a shape by number."""
    there = {name.removesuffix("Left").removesuffix("Right") for name in folder.units}
    without = [number for number, moves in MOVES.items() if moves and not there & {stem for stem, _ in moves}]
    without += [] if "jawOpen" in there else list(JAW)
    lacking = [*ALWAYS_MISSING, "a turning jaw (it opens by its shape)", "a neck that bends"]
    lacking += [] if folder.eyes else ["eyeballs that turn"]
    lacking += [] if folder.identity else ["other people"]
    return (*lacking, *(["action units " + ", ".join(map(str, sorted(without)))] if without else []))


def blendshape_head(folder: Folder) -> Converted:
    """A folder of OBJ files as a head of ours. Raises HeadFileError, in one line."""
    mesh = read_obj(folder.neutral)
    vertices = len(mesh.places)
    template = mesh.places * folder.metres
    eyes = folder.eyes or ((0, -1), (0, -1))
    if max(last for _, last in eyes) >= vertices or (folder.hidden and vertices != ICT_VERTICES):
        raise HeadFileError(f"{folder.neutral}: has {vertices} vertices, another version than its eyes were told for")
    balls = tuple(np.arange(first, last + 1) for first, last in eyes)
    if folder.eyes:
        centres = np.stack([template[ball].mean(0) for ball in balls])
        if not centres[0, 0] - centres[1, 0] > 0.02:
            raise HeadFileError(f"{folder.neutral}: the left eye must lie on +X of the right one: it looks along +Z")
        shift = np.array(EYES) - centres.mean(0)
    else:
        centres, shift = np.zeros((2, 3)), -(template.min(0) + template.max(0)) / 2
    template = template + shift
    if np.ptp(template, axis=0).max() > MAX_EXTENT or np.ptp(template, axis=0).max() < 0.05:
        size = float(np.ptp(template, axis=0).max())
        raise HeadFileError(f"{folder.neutral}: the head is {size:.3g} m large, is its unit {folder.metres:g} m?")

    def shape(path: Path) -> Floats:
        places = read_places(path)
        if len(places) != vertices:
            raise HeadFileError(f"{path}: has {len(places)} vertices, {folder.neutral.name} has {vertices}")
        return np.asarray(places * folder.metres + shift - template)

    units: dict[str, Floats] = {}
    for name, path in folder.units.items():
        moved = shape(path)
        if name == "jawOpen" or name.endswith(SIDE_NAMES):
            units[name] = moved
            _check_side(path, name, moved, template)
        else:
            units |= dict(zip((f"{name}{side}" for side in SIDE_NAMES), split_by_side(moved, template), strict=True))
    identity = {path.stem: shape(path) for path in folder.identity}
    joints = np.zeros((5, 3))
    joints[:3, 1:] = (-0.1, -0.04)  # m: about where the packaged head turns
    joints[3:] = centres + shift if folder.eyes else np.array(EYES)
    basis = np.zeros((max(len(identity), 0), 5, 3))
    weights = np.zeros((vertices, 5))
    weights[:, 1] = 1
    for place, ball in zip((3, 4), balls, strict=True):
        weights[ball] = np.eye(5)[place]
        for row, moved in enumerate(identity.values()):
            basis[row, place] = moved[ball].mean(0) if len(ball) else 0
    faces, uv_faces = mesh.faces, mesh.uv_faces
    if folder.hidden:
        first, last = folder.hidden
        seen = ~((faces >= first) & (faces <= last)).any(1)
        faces, uv_faces = faces[seen], None if uv_faces is None else uv_faces[seen]
    return Converted(
        name=folder.name,
        template=template,
        faces=faces,
        identity=identity,
        units=units,
        eyes=(balls[0], balls[1]),
        joints=joints,
        joint_basis=basis,
        skin_weights=weights,
        jaw_angle=0.0,
        uvs=mesh.uvs,
        uv_faces=uv_faces,
    )


def _check_side(path: Path, name: str, moved: Floats, template: Floats) -> None:
    """Raise HeadFileError where a shape of one side moves the other: left is the subject's own, +X."""
    length = (moved**2).sum(1)
    if not length.sum() > 0:
        raise HeadFileError(f"{path}: moves nothing")
    middle = float((length * template[:, 0]).sum() / length.sum())
    if (name.endswith("Left") and middle < 0) or (name.endswith("Right") and middle > 0):
        raise HeadFileError(f"{path}: {name} moves the other side: left is the subject's own, on +X")
