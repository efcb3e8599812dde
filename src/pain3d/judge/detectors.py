"""Knows how two independent detectors judge the frames: who is found, and how far the landmarks lie from ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pain3d.console.progress import Progress
from pain3d.face.detect import CENTERFACE, find_faces
from pain3d.face.landmarker import LANDMARKER, Landmarker
from pain3d.judge.drawing import Tile, mosaic
from pain3d.judge.extra import described
from pain3d.judge.measures import INNER, JAW, ROLL_EDGES, angle_bin, landmark_error, median, overlap, percent
from pain3d.judge.verdict import Figure, Measure, Table, Verdict
from pain3d.pipeline.contact_sheet import decode, picture_of
from pain3d.pipeline.data_set import CELL, DataSet, Row, cell_name

COLUMNS = ("sample_id", "image", "bbox", "landmarks_2d", "yaw_degrees", "roll_degrees", "PSPI", "light", *CELL)
LEAST_OVERLAP = 0.3  # of a detector's box with ours: less is another place, not another convention of boxes
LEAST_FOUND = 99.0  # per cent, at |yaw| up to 45°
MOST_ERROR = 4.0  # per cent of the distance of the outer eye corners
SHOWN = 12  # failures and worst landmarks drawn

# Points of the iBUG order that are told apart in the table.
REGIONS = {
    "jaw line": slice(0, 17), "brows": slice(17, 27), "nose bridge": slice(27, 31), "nose base": slice(31, 36),
    "eyes": slice(36, 48), "lips, outside": slice(48, 60), "lips, inside": slice(60, 68),
}  # fmt: skip


@dataclass(frozen=True)
class Sighting:
    """What both detectors made of one frame; `errors` [68] per cent of the eye distance, None if MediaPipe saw none."""

    row: Row
    mediapipe: bool
    centerface: bool
    score: float
    errors: Any
    points: Any


def judge_detectors(data: DataSet, most: int, quiet: bool) -> Verdict:
    """Show at most so many frames to both detectors."""
    CENTERFACE.find()  # before anything is looked at
    keep = data.spread(most)
    seen: list[Sighting] = []
    with Landmarker() as landmarker, Progress(len(keep), quiet=quiet) as progress:
        for row in data.rows("frames", COLUMNS, keep):
            seen.append(_look(row, landmarker))
            row["image"] = row["image"]["bytes"] if _is_odd(seen[-1]) else None  # only failures are drawn
            progress.add(1)
    return summarise(seen)


def _look(row: Row, landmarker: Landmarker) -> Sighting:
    pixels = picture_of(row)
    reading, faces = landmarker.read(pixels), find_faces(pixels)
    found = reading is not None and overlap(reading.box, row["bbox"]) >= LEAST_OVERLAP
    errors = landmark_error(reading.ibug, row["landmarks_2d"]) if found and reading is not None else None
    return Sighting(
        row,
        mediapipe=found,
        centerface=bool(faces) and overlap(faces[0].box, row["bbox"]) >= LEAST_OVERLAP,
        score=faces[0].score if faces else 0.0,
        errors=errors,
        points=reading.ibug if reading is not None else None,
    )


def _is_odd(sighting: Sighting) -> bool:
    return sighting.errors is None or not sighting.centerface or sighting.errors[INNER].mean() > MOST_ERROR


def summarise(seen: Sequence[Sighting]) -> Verdict:
    """Measures, tables and pictures of what was seen."""
    inner = _errors(seen, INNER)
    within = [s for s in seen if abs(s.row["yaw_degrees"]) <= 45]
    measures = [
        Measure("faces found by MediaPipe, |yaw| ≤ 45°", percent([s.mediapipe for s in within]), "%", LEAST_FOUND),
        Measure("faces found by CenterFace, |yaw| ≤ 45°", percent([s.centerface for s in within]), "%", LEAST_FOUND),
        Measure("landmark error, 51 inner points, median", median(inner), "%", most=MOST_ERROR),
        Measure("landmark error, jaw line, median", median(_errors(seen, JAW)), "%"),
    ]
    tables = [
        _table("By |yaw|", "yaw", seen, lambda s: angle_bin(s.row["yaw_degrees"])),
        _table("By |roll|", "roll", seen, lambda s: angle_bin(s.row["roll_degrees"], ROLL_EDGES)),
        _table("By demographic cell", "cell", seen, lambda s: cell_name(s.row)),
        _table("By light", "light", seen, lambda s: str(s.row["light"])),
        Table(
            "Landmark error by part of the face",
            ("part", "median %"),
            tuple((name, median(_errors(seen, part))) for name, part in REGIONS.items()),
            "Mean over a part's points, per cent of the distance of the outer eye corners in the picture.",
        ),
    ]
    missed = [s for s in seen if not (s.mediapipe and s.centerface)]
    worst = sorted((s for s in seen if s.errors is not None), key=lambda s: -s.errors[INNER].mean())
    worst = [s for s in worst if s.row["image"] is not None][:SHOWN]
    figures = []
    if missed:
        figures.append(
            Figure("detectors_missed", f"The first of {len(missed)} not found by both.", mosaic(_tiles(missed)))
        )
    if worst:
        figures.append(
            Figure("detectors_worst", "The largest errors: our points red, theirs green.", mosaic(_tiles(worst)))
        )
    return Verdict(
        "detectors",
        "Detectors",
        f"{len(seen)} frames, shown one by one to MediaPipe's face landmarker and to CenterFace at their own default "
        f"thresholds. Found: the box overlaps ours by {LEAST_OVERLAP:g} (intersection over union) or more. Landmarks: "
        "MediaPipe's points, read where iBUG's 300-W has them, against ours, per cent of the distance of the outer eye "
        "corners.",
        measures,
        tables,
        figures,
        {
            "frames": len(seen),
            "missed": {
                name: [s.row["sample_id"] for s in seen if not getattr(s, name)] for name in ("mediapipe", "centerface")
            },
            "error_percent_by_point": _by_point(seen),
            **described(LANDMARKER, CENTERFACE),
        },
    )


def _errors(seen: Sequence[Sighting], part: slice) -> list[float]:
    return [float(s.errors[part].mean()) for s in seen if s.errors is not None]


def _by_point(seen: Sequence[Sighting]) -> list[float]:
    errors = [s.errors for s in seen if s.errors is not None]
    return [round(float(value), 2) for value in np.median(errors, axis=0)] if errors else []


def _table(title: str, what: str, seen: Sequence[Sighting], name_of: Any) -> Table:
    groups: dict[str, list[Sighting]] = defaultdict(list)
    for sighting in seen:
        groups[name_of(sighting)].append(sighting)
    rows = tuple(
        (
            name,
            len(group),
            percent([s.mediapipe for s in group]),
            percent([s.centerface for s in group]),
            median(_errors(group, INNER)),
            median(_errors(group, JAW)),
        )
        for name, group in sorted(groups.items())
    )
    return Table(title, (what, "frames", "MediaPipe %", "CenterFace %", "inner error %", "jaw error %"), rows)


def _tiles(seen: Sequence[Sighting]) -> list[Tile]:
    tiles = []
    for s in seen[:SHOWN]:
        caption = f"{s.row['sample_id']} yaw {s.row['yaw_degrees']:.0f}°, "
        blind = [name for name, found in (("MediaPipe", s.mediapipe), ("CenterFace", s.centerface)) if not found]
        caption += f"not found by {' and '.join(blind)}" if blind else f"{s.errors[INNER].mean():.1f} %"
        truth = np.asarray(s.row["landmarks_2d"], float)[:68]
        tiles.append(Tile(decode(s.row["image"]), caption, ((truth, "red"), (s.points, "green"))))
    return tiles
