"""Knows how frames are written as COCO keypoints: pictures, and a JSON per split with a face's 68 points and its box.

As "Data format" at cocodataset.org has it: keypoints count pixels, whose centres lie at whole numbers, so half a pixel
is taken off ours; a box is x, y of its upper left corner, width and height. A point outside the picture is not
labelled: 0, 0, 0.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

from pain3d.facs.action_units import AU_COLUMNS
from pain3d.files import make_inside, open_new, write_new
from pain3d.landmarks import FACE_LANDMARKS, GROUPS
from pain3d.pipeline.data_set import Row
from pain3d.pipeline.export.walk import NAMED_BY, Walk, Written, frame_name, labels_line, picture_bytes, walking

ANNOTATIONS: Final = "annotations"
LABELLED: Final = 2  # of a point in the picture; whether something hides it the data set does not say
CENTRE: Final = 0.5  # where our pixels have their centres, and COCO's whole numbers stand
LABELS: Final = (*AU_COLUMNS, "PSPI")

TEXT: Final = f"""- `{ANNOTATIONS}/train.json`, `validation.json`, `test.json`: 68 keypoints and a box of each face.
- `train/`, `validation/`, `test/`: the pictures that `file_name` means, the JPEGs of the data set.

No identity lies in two splits.
"""


def keypoint_names() -> list[str]:
    """Names of the 68 points: what they lie on, and their number in 300-W."""
    return [
        f"{group.name.replace(' ', '_')}_{number}"
        for group in GROUPS
        for number in range(group.first, group.first + group.points)
        if number < FACE_LANDMARKS
    ]


def skeleton() -> list[list[int]]:
    """Pairs of points that are joined by a line, counted from 1."""
    pairs = []
    for group in GROUPS:
        if group.line:
            first, last = group.first + 1, group.first + group.points
            pairs += [[number, number + 1] for number in range(first, last)]
            pairs += [[last, first]] * (group.line == "closed")
    return pairs


def export_coco(data: Path, to: Path, quiet: bool = False) -> Written:
    """Write the frames of a finished data set as COCO keypoints: all of it, or nothing.

    Args:
        data: Folder of the data set.
        to: The new folder; absent or empty.
        quiet: Show no progress.

    Returns:
        How much was written.

    Raises:
        RefusedError: There is no finished data set, the destination holds something, a file of the data set can't be
            read, or a frame is not what its columns promise.
    """
    with walking(data, to, quiet) as walk, ExitStack() as files:
        make_inside(walk.folder, ANNOTATIONS)
        size = walk.source.resolved["size"]
        written: dict[str, _Annotations] = {}
        for number, row in enumerate(walk.each((*NAMED_BY, "image")), 1):
            name, split = frame_name(row), row["split"]
            if split not in written:
                make_inside(walk.folder, split)
                file = files.enter_context(open_new(walk.folder / ANNOTATIONS / f"{split}.json"))
                written[split] = _Annotations(file, walk, split)
            write_new(walk.folder / split / f"{name}.jpg", picture_bytes(row, "image"))
            image = {"id": number, "file_name": f"{name}.jpg", "width": size, "height": size}
            written[split].add(image | {"identity_id": row["identity_id"]})
        for one in written.values():
            one.turn()
        for number, row in enumerate(walk.again((*NAMED_BY, "landmarks_2d", "bbox", *LABELS)), 1):
            written[row["split"]].add(_face(row, number, size))
        for one in written.values():
            one.end()
        files.close()
        return walk.finish(to, "COCO keypoints", TEXT)


class _Annotations:
    """The JSON of a split while it is written: images first, then the faces in them."""

    def __init__(self, file: BufferedWriter, walk: Walk, split: str) -> None:
        self._file, self._between = file, b""
        resolved = walk.source.resolved
        info = {
            "description": f"pain3d, synthetic faces, {split}",
            "version": resolved["pain3d_version"],
            "seed": resolved["seed"],
            "config_hash": resolved["config_hash"],
        }
        face = {"id": 1, "name": "face", "supercategory": "person"}
        category = {**face, "keypoints": keypoint_names(), "skeleton": skeleton()}
        head = json.dumps({"info": info, "categories": [category]})
        file.write(f'{head[:-1]}, "images": ['.encode())

    def add(self, entry: dict[str, Any]) -> None:
        self._file.write(self._between + b"\n" + labels_line(entry))
        self._between = b","

    def turn(self) -> None:
        """From images to faces."""
        self._file.write(b'],\n"annotations": [')
        self._between = b""

    def end(self) -> None:
        self._file.write(b"]}\n")


def _face(row: Row, number: int, size: int) -> dict[str, Any]:
    """The annotation of the one face in a picture."""
    x0, y0, x1, y1 = row["bbox"]
    seen = [(x, y) if 0 <= x < size and 0 <= y < size else None for x, y in row["landmarks_2d"][:FACE_LANDMARKS]]
    points = [[0, 0, 0] if place is None else [place[0] - CENTRE, place[1] - CENTRE, LABELLED] for place in seen]
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "keypoints": [value for point in points for value in point],
        "num_keypoints": sum(place is not None for place in seen),
        "attributes": {name: row[name] for name in LABELS},
    }
