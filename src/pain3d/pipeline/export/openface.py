"""Knows how labels are written as the CSV of OpenFace 2 (Baltrušaitis et al., 2018): what it says of faces, known.

Its columns as the page "Output Format" of its wiki has them, without spaces in the header; those that nothing of ours
fills are left out. Its camera looks along +z with y down, in millimetres; pixel centres lie at whole numbers. A head
turned by R = Rx(pose_Rx) Ry(pose_Ry) Rz(pose_Rz) in these axes looks into the lens when all three are 0.
"""

from __future__ import annotations

from contextlib import ExitStack
from io import BufferedWriter
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.files import open_new
from pain3d.landmarks import FACE_LANDMARKS
from pain3d.pipeline.data_set import Row
from pain3d.pipeline.export.walk import NAMED_BY, Written, frame_name, walking

UNITS: Final = {
    number: f"AU{number:02d}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26)
}  # theirs of which ours is the same
BLINK: Final = "AU43"  # of closed eyes they say AU45
BLINK_INTENSITY: Final = 5.0  # theirs has intensities, ours is all or nothing
PRESENT_ONLY: Final = {28: "AU28"}  # theirs has no intensity
FLIP: Final = np.array([1.0, -1.0, -1.0])  # our view's axes to theirs
MM: Final = 1000.0
CENTRE: Final = 0.5  # where our pixels have their centres

_POINTS = range(FACE_LANDMARKS)
HEADER: Final = (
    *("frame", "face_id", "confidence", "success"),
    *("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"),
    *(f"{axis}_{number}" for axis in "xyXYZ" for number in _POINTS),
    *(f"AU{number:02d}_r" for number in (*UNITS, 45)),
    *(f"AU{number:02d}_c" for number in sorted((*UNITS, *PRESENT_ONLY, 45))),
    "sample_id",
)
READ: Final = (
    *("landmarks_2d", "landmarks_3d", "camera_R", "camera_t", "yaw_degrees", "pitch_degrees", "roll_degrees"),
    *(*UNITS.values(), *PRESENT_ONLY.values(), BLINK),
)

TEXT: Final = """- `train.csv`, `validation.csv`, `test.csv`: a line per frame, as OpenFace 2 says what it saw.
- The last column, `sample_id`, is ours: the frame's name in the data set. Headers have no spaces.
- Confidence and success are 1: nothing was detected, all of it is known.

No identity lies in two splits. There are no pictures here: those of the data set have the same names.
"""


def export_openface(data: Path, to: Path, quiet: bool = False) -> Written:
    """Write the labels of a finished data set as OpenFace's CSV files: all of it, or nothing.

    Args:
        data: Folder of the data set.
        to: The new folder; absent or empty.
        quiet: Show no progress.

    Returns:
        How much was written.

    Raises:
        RefusedError: There is no finished data set, the destination holds something, a file of the data set can't be
            read, or a frame's name or split is not one.
    """
    with walking(data, to, quiet) as walk, ExitStack() as files:
        lines: dict[str, BufferedWriter] = {}
        frames: dict[str, int] = {}
        for row in walk.each((*NAMED_BY, *READ)):
            name, split = frame_name(row), row["split"]
            if split not in lines:
                lines[split] = files.enter_context(open_new(walk.folder / f"{split}.csv"))
                lines[split].write((",".join(HEADER) + "\n").encode())
            frames[split] = frames.get(split, 0) + 1
            lines[split].write(",".join([str(frames[split]), "0", "1", "1", *_told(row), f"{name}\n"]).encode())
        files.close()
        return walk.finish(to, "OpenFace's CSV", TEXT)


def openface_angles(yaw: float, pitch: float, roll: float) -> npt.NDArray[np.float64]:
    """Radians [3] of OpenFace's pose_Rx, pose_Ry, pose_Rz.

    Ours are those of R = Ry(yaw) Rx(pitch) Rz(roll) in a view with y up. With y and z turned around, yaw and roll
    change their signs; then the same R is taken apart as Rx Ry Rz.

    Args:
        yaw: Radians, positive: turned to its own left.
        pitch: Positive: looks down.
        roll: Positive: tips to its own right.
    """
    (cy, cx, cz), (sy, sx, sz) = np.cos([-yaw, pitch, -roll]), np.sin([-yaw, pitch, -roll])
    turn = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    )
    about_x, about_z = np.arctan2([-turn[1, 2], -turn[0, 1]], [turn[2, 2], turn[0, 0]])
    return np.array([about_x, np.arcsin(np.clip(turn[0, 2], -1, 1)), about_z])


def _told(row: Row) -> list[str]:
    """What stands between success and the name: pose, points, units."""
    pixels = np.asarray(row["landmarks_2d"])[:FACE_LANDMARKS] - CENTRE
    world = np.asarray(row["landmarks_3d"])[:FACE_LANDMARKS]
    places = (world @ np.asarray(row["camera_R"]).T + np.asarray(row["camera_t"])) * FLIP * MM
    angles = openface_angles(*np.radians([row["yaw_degrees"], row["pitch_degrees"], row["roll_degrees"]]))
    lengths = np.concatenate([pixels.T.ravel(), places.T.ravel()])
    strength = {number: row[name] for number, name in UNITS.items()} | {45: BLINK_INTENSITY * row[BLINK]}
    present = strength | {number: row[name] for number, name in PRESENT_ONLY.items()}
    return [
        *(f"{value:.3f}" for value in places.mean(0)),
        *(f"{value:.6f}" for value in angles),
        *(f"{value:.3f}" for value in lengths),
        *(f"{strength[number]:.2f}" for number in (*UNITS, 45)),
        *(str(int(present[number] > 0)) for number in sorted(present)),
    ]
