"""Knows which photographs of faces the judge reads: those in wheels, and a folder that its user brings.

None is shipped, copied or drawn into a verdict: they show people. docs/faces.md says what packages hold and how a
folder is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.doors.pictures import read_picture
from pain3d.face.detect import find_faces
from pain3d.face.landmarker import Landmarker
from pain3d.judge.extra import WHEELS
from pain3d.judge.patches import Crop, compressed, crop, eyes_apart, turned_away
from pain3d.training.data.picture_files import pictures_in

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

AROUND: Final = 2.2  # side of the part around a face that MediaPipe is shown, in faces
MOST_TURNED: Final = 0.18  # of `turned_away`: about 20° of yaw
MOST_PEOPLE: Final = 40  # of a source, so that one studio doesn't stand for all
LEAST_COLOUR: Final = 3  # levels between the channels, 95th percentile: below it a picture is grey


class Photograph(NamedTuple):
    """A file, whose face it shows and where it comes from."""

    source: str
    person: str
    path: Path


class Portrait(NamedTuple):
    """A face in a photograph, or in a frame: whose it is, where it was found, and its crop."""

    source: str
    person: str
    face: Crop


def photograph_files(folder: Path | None) -> list[Photograph]:
    """The photographs of the wheels and of a folder, at most MOST_PEOPLE people of a source, one of each.

    Of a person of several the next person's next is taken, so that neutral faces and smiles both come.

    Args:
        folder: In it a folder for each source, in that ``PERSON.jpg`` or ``PERSON_SHOT.jpg``; None: the wheels' alone.

    Raises:
        RefusedError: A wheel's photograph is not installed; the folder holds no folder with pictures.
    """
    files = [Photograph("wheels", source.find().stem, source.find()) for source in WHEELS]
    if folder is None:
        return files
    shots: dict[str, dict[str, list[Path]]] = {}
    for path in pictures_in(folder, folder):
        place = path.relative_to(folder).parts[0]
        if place != path.name:
            shots.setdefault(place, {}).setdefault(path.stem.split("_")[0], []).append(path)
    if not shots:
        raise RefusedError(f"{folder}: no folder with photographs in it; one for each source, in it PERSON_SHOT.jpg")
    for source, people in shots.items():
        names = sorted(people)
        chosen = {names[k] for k in np.linspace(0, len(names) - 1, min(MOST_PEOPLE, len(names))).round().astype(int)}
        for number, name in enumerate(sorted(chosen)):
            files.append(Photograph(source, name, people[name][number % len(people[name])]))
    return files


def photographed(files: Sequence[Photograph], apart: float, eyes: int, quiet: bool) -> list[Portrait]:
    """The faces of photographs; a picture may have none or several.

    Args:
        files: See `photograph_files`.
        apart: Pixels between the eyes in the frames: a larger face is made as small first, and compressed like them.
        eyes: Pixels between the eyes in a crop; smaller faces are left out, so nothing is enlarged.
        quiet: No progress is shown.

    Raises:
        RefusedError: A detector is not installed, or a picture can't be read.
    """
    found: list[Portrait] = []
    with Landmarker() as landmarker, Progress(len(files), quiet=quiet) as progress:
        for file in files:
            found += portraits(file, landmarker, apart, eyes)
            progress.add(1)
    return found


def portraits(file: Photograph, landmarker: Landmarker, apart: float, eyes: int) -> list[Portrait]:
    """The near-frontal faces of a colour picture that are large enough; of several, each is a person of its own."""
    picture = read_picture(file.path)
    faces = find_faces(picture)
    whose = f"{file.source}/{file.person}"
    kept: list[Portrait] = []
    for number, face in enumerate(faces):
        part = _around(picture, face.box)
        reading = landmarker.read(part)
        if reading is None or is_grey(part):
            continue
        found = as_frame(part, reading.ibug, apart, eyes)
        if found is not None:
            kept.append(Portrait(file.source, f"{whose}/{number}" if len(faces) > 1 else whose, found))
    return kept


def as_frame(picture: Pixels, points: npt.ArrayLike, apart: float, eyes: int) -> Crop | None:
    """A face as if it had been saved in a frame, then cropped and saved again; None if too small or turned too far."""
    spots = np.asarray(points, float)
    wide = eyes_apart(spots)
    if wide < eyes or turned_away(spots) > MOST_TURNED:
        return None
    if wide > apart:
        scale = apart / wide
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        spots = spots * scale
        picture = compressed(picture)
    small = crop(picture, spots, eyes)
    return Crop(compressed(small.pixels), small.points)


def is_grey(picture: Pixels) -> bool:
    """Whether a picture has no colour to speak of."""
    return bool(np.percentile(picture.max(-1).astype(int) - picture.min(-1), 95) < LEAST_COLOUR)


def _around(picture: Pixels, box: tuple[float, float, float, float]) -> Pixels:
    x0, y0, x1, y1 = box
    reach = AROUND * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = max(0, round(x - reach)), max(0, round(y - reach))
    return np.ascontiguousarray(picture[top : round(y + reach), left : round(x + reach)])
