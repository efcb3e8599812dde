"""Knows UNBC-McMaster in the folders in which it is given out: a picture and a text file a frame, a folder a sequence.

Which of it is published and which is inferred: docs/formats.md. The archive is restricted; users bring it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Final

import numpy as np

from pain3d.console.refused import RefusedError
from pain3d.facs.pain_score import MAX_INTENSITY, MAX_PSPI, PAIN_AUS
from pain3d.training.data.picture_files import PictureFiles, files_in, gather, pictures_in
from pain3d.training.data.samples import UNITS, UNKNOWN, Samples, pspi_of
from pain3d.training.data.unbc import SUBJECT

PICTURES: Final = "Images"
FRAME_LABELS: Final = "Frame_Labels"
SEQUENCE_LABELS: Final = "Sequence_Labels"
SUFFIX: Final = "_facs.txt"  # of a frame's labels, whichever they are
MOST_BYTES: Final = 65_536  # of a file of labels: ten rows of four numbers have 600
MOST_VAS: Final = 10  # of a person's own rating of a sequence, on a visual analogue scale
VAS_GROUPS: Final = ((0.5, "0"), (3.5, "1-3"), (6.5, "4-6"), (math.inf, "7-10"))  # ours: ratings below which


def open_unbc_folders(folder: Path) -> Samples:
    """Open UNBC-McMaster: labels in memory, pictures on demand.

    Args:
        folder: Holds ``Images/SUBJECT/SEQUENCE/FRAME.png`` and ``Frame_Labels/PSPI/SUBJECT/SEQUENCE/FRAME_facs.txt``;
            ``Frame_Labels/FACS/…`` and ``Sequence_Labels/VAS/SUBJECT/SEQUENCE.txt`` are optional.

    Returns:
        Samples in the order of subject, sequence and frame, without a split. An intensity that isn't coded is 0 where a
        frame has FACS, unknown where it has none; AU43 is 1 where it is coded at all; a PSPI that isn't there is
        computed from FACS. Neutral is a frame whose PSPI and coded action units are all 0.

    Raises:
        RefusedError: In one line that names the file: no pictures or none with labels, a file that holds no numbers or
            one out of its range, a subject without a number.
    """
    images, labels, ratings = (_inside(folder, name) for name in (PICTURES, FRAME_LABELS, SEQUENCE_LABELS))
    told = {*files_in(labels, folder, (SUFFIX,)), *files_in(ratings, folder, (".txt",))}
    paths, scores, coded, people, words = [], [], [], [], []
    rated: dict[Path, str] = {}
    left_out = 0
    for path in pictures_in(images, folder):
        place = path.relative_to(images)
        if len(place.parts) != 3:
            raise RefusedError(f"{path}: not in the folder of a subject and of a sequence")
        named = place.with_name(path.stem + SUFFIX)
        score, units = _score(labels / "PSPI" / named, told), _units(labels / "FACS" / named, told)
        if score is None and units is not None:
            score = float(pspi_of(np.array([_row(units)], np.float32))[0])
        if score is None:
            left_out += 1
            continue
        paths.append(path)
        scores.append(score)
        coded.append(units)
        people.append(_person(images / place.parts[0]))
        sequence = place.parent
        if sequence not in rated:
            rated[sequence] = _rating(ratings / "VAS" / f"{sequence}.txt", told)
        words.append(rated[sequence])
    if not paths:
        what = f"none of its {left_out} pictures has a file under {labels / 'PSPI'}" if left_out else "no pictures"
        raise RefusedError(f"{images}: {what}")
    au = np.array([_row(units) for units in coded], np.float32)
    pspi = np.array(scores, np.float32)
    return gather(
        "UNBC-McMaster" + (f" (pictures without a PSPI left out: {left_out})" if left_out else ""),
        PictureFiles(paths),
        [f"unbc_{path.stem}" for path in paths],
        people,
        split=None,
        au=au,
        pspi=pspi,
        pain=pspi >= 1,
        neutral=[score == 0 and not any((units or {}).values()) for score, units in zip(scores, coded, strict=True)],
        slices={"own rating": words} if set(words) != {UNKNOWN} else {},
    )


def _inside(folder: Path, name: str) -> Path:
    """A folder of the archive; one that was unpacked into a folder of its own name lies one deeper."""
    return folder / name / name if (folder / name / name).is_dir() else folder / name


def _rows(path: Path, told: Set[Path]) -> list[list[float]] | None:
    """Rows of numbers; None where there is no file of that name in `told`."""
    if path not in told:
        return None
    if path.stat().st_size > MOST_BYTES:
        raise RefusedError(f"{path}: larger than {MOST_BYTES} bytes, no labels of a frame")
    try:
        rows = [[float(word) for word in line.split()] for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path}: can't be read as numbers") from error
    if not all(math.isfinite(value) for row in rows for value in row):
        raise RefusedError(f"{path}: holds a value that is no number")
    return [row for row in rows if row]


def _single(path: Path, told: Set[Path], most: float) -> float | None:
    """The one number of a file, from 0 to `most`; None where there is no file."""
    rows = _rows(path, told)
    if rows is None:
        return None
    if len(rows) != 1 or len(rows[0]) != 1 or not 0 <= rows[0][0] <= most:
        raise RefusedError(f"{path}: must hold one number in 0..{most:g}")
    return rows[0][0]


def _score(path: Path, told: Set[Path]) -> float | None:
    return _single(path, told, MAX_PSPI)


def _rating(path: Path, told: Set[Path]) -> str:
    rating = _single(path, told, MOST_VAS)
    return UNKNOWN if rating is None else next(word for most, word in VAS_GROUPS if rating < most)


def _units(path: Path, told: Set[Path]) -> dict[int, float] | None:
    """Intensity by action unit, of rows that begin with both; an empty file codes none; None where there is no file."""
    rows = _rows(path, told)
    if rows is None:
        return None
    units: dict[int, float] = {}
    for number, row in enumerate(rows, start=1):
        if len(row) < 2 or row[0] != int(row[0]) or not 0 <= row[1] <= MAX_INTENSITY:
            raise RefusedError(f"{path} row {number}: must be an action unit and its intensity in 0..{MAX_INTENSITY}")
        units[int(row[0])] = max(row[1], units.get(int(row[0]), 0.0))
    return units


def _row(units: Mapping[int, float] | None) -> list[float]:
    """The action units of PSPI in the order of `UNITS`."""
    if units is None:
        return [math.nan] * len(UNITS)
    return [float(units.get(unit, 0) > 0) if unit == 43 else units.get(unit, 0.0) for unit in PAIN_AUS]


def _person(folder: Path) -> str:
    """The name of a subject, as in the HDF5 files: the number at the head of its folder's name."""
    match = SUBJECT.fullmatch(folder.name)
    if match is None:
        raise RefusedError(f"{folder}: a subject's folder must begin with a number, as 042-ll042")
    return f"unbc_{int(match['number']):03d}"
