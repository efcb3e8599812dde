"""Knows UNBC-McMaster in the HDF5 files that 3DPain's code reads: frames, annotations, folds.

Which arrays are published and which are inferred: docs/formats.md. The archive itself is restricted; users bring it.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.doors.hdf5 import Hdf5File
from pain3d.doors.limits import PICTURE_PIXELS
from pain3d.facs.pain_score import MAX_INTENSITY, MAX_PSPI, PAIN_AUS
from pain3d.training.data.picture_files import first_of, gather
from pain3d.training.data.samples import UNITS, Samples, pspi_of

SUFFIXES: Final = (".h5", ".hdf5", ".hdf")
AU_LABEL: Final = re.compile(r"label_AU_?0*(?P<number>\d{1,9})(?:_?(?:L|R|left|right))?", re.IGNORECASE)
SUBJECT: Final = re.compile(r"(?P<number>\d{1,9})(?:-.*)?")
FOLD: Final = re.compile(r"fold-(?P<number>\d{1,9})")
LISTS: Final = ("train_subjects", "validation_subjects")
WHOLE: Final = 2**53  # below which each whole number is one of float64's


class Frames:
    """Pictures in the array ``image`` of an HDF5 file; see `Pixels`. Threads take turns.

    Args:
        path: The file.
        places: [N] where in the array the picture of each row is.
    """

    def __init__(self, path: Path, places: npt.NDArray[np.int64]) -> None:
        self.path = path
        self.places = places
        self._file: Hdf5File | None = None
        self._lock = threading.Lock()

    def picture(self, row: int) -> npt.NDArray[np.uint8]:
        """The picture of a row, [H, W, 3]; a grey one three times; of 16 bits the upper 8.

        Raises:
            RefusedError: It can't be read, or its values don't lie in 0–255; names file and place.
        """
        place = int(self.places[row])
        try:
            with self._lock:
                if self._file is None:
                    self._file = Hdf5File(self.path)
                pixels = self._file.row("image", place)
        except IndexError as error:
            raise RefusedError(f"{self.path}: image {place} is not there") from error
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)  # as `read_picture`
        elif pixels.dtype != np.uint8:
            if not ((pixels >= 0) & (pixels <= 255)).all():  # NaN too
                raise RefusedError(f"{self.path}: image {place} has values that don't lie in 0..255")
            pixels = np.rint(pixels).astype(np.uint8)
        grey = pixels.ndim == 2 or pixels.shape[2] == 1
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, 2) if grey else pixels

    def heatmap(self, row: int) -> npt.NDArray[np.uint8] | None:
        """None: nobody knows how far real skin moved."""
        return None


def open_unbc(folder: Path, fold: int = 0) -> Samples:
    """Open UNBC-McMaster: labels in memory, pictures on demand.

    An intensity that is NaN is 0, one that is coded by side or more than once is its largest, AU43 is 1 where it is
    coded at all. PSPI is the archive's own where it is a number, else it is computed.

    Args:
        folder: Where the HDF5 files are, told by what they hold; or one of the files, then its folder.
        fold: Which published fold to test on; the fold after it is validation, the rest of its train_subjects is train.

    Returns:
        Samples in the order of the annotations. Neutral is a frame whose PSPI and coded action units are all 0.

    Raises:
        RefusedError: In one line that names the file: an array is missing or of another length, a label is out of
            range, a subject's name has no number, the folds overlap or leave a subject out.
    """
    frames, annotations, folds = _find(folder if folder.is_dir() else folder.parent)
    with Hdf5File(annotations) as file:
        people = _people(file, "subject_name")
        count = len(people)
        coded = _action_units(file, count)
        index = _index(file, count) if file.holds("index") else None
        score = _column(file, "label_pspi", count) if file.holds("label_pspi") else np.full(count, np.nan)
    places, names = _places(frames, annotations, count, index)
    held = places >= 0
    if not held.any():
        raise RefusedError(f"{annotations}: none of its index is in {frames.name}")
    au = np.full((count, len(UNITS)), np.nan, np.float32)
    for place, number in enumerate(PAIN_AUS):
        if number in coded:
            au[:, place] = coded[number] > 0 if number == 43 else coded[number]
    pspi = np.where(np.isnan(score), pspi_of(au), score)
    if not np.all(np.isnan(pspi) | ((pspi >= 0) & (pspi <= MAX_PSPI))):
        wrong = int(np.flatnonzero((pspi < 0) | (pspi > MAX_PSPI))[0])
        raise RefusedError(f"{annotations}: label_pspi row {wrong} must be in 0..{MAX_PSPI}, got {pspi[wrong]:g}")
    unknown = np.isnan(pspi)
    if unknown.any():
        missing = [f"label_AU_{number}" for number in PAIN_AUS if number not in coded]
        raise RefusedError(f"{annotations}: no PSPI in row {int(np.flatnonzero(unknown)[0])}, and no {missing[0]}")
    split = None if folds is None else _split(folds, fold, sorted({people[row] for row in np.flatnonzero(held)}))
    left_out = int((~held).sum())
    rows = np.flatnonzero(held)
    return gather(
        "UNBC-McMaster" + (f" (annotations without a frame left out: {left_out})" if left_out else ""),
        Frames(frames, places[held]),
        [f"unbc_{names[row]:06d}" for row in rows],
        [f"unbc_{people[row]:03d}" for row in rows],
        split=None if split is None else [split[people[row]] for row in rows],
        au=au[held],
        pspi=pspi[held],
        pain=pspi[held] >= 1,
        neutral=((pspi == 0) & np.all([values == 0 for values in coded.values()] or [np.ones(count)], axis=0))[held],
    )


def _find(folder: Path) -> tuple[Path, Path, Path | None]:
    """Frames, annotations and, if there are any, folds, by what the files hold; one file may hold two of them."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
        with Hdf5File(path) as file:
            holds = {name: file.holds(name) for name in ("image", "subject_name")}
            holds["fold-0"] = any(FOLD.fullmatch(name) for name in file.names())
        for role in (role for role, here in holds.items() if here):
            if found.setdefault(role, path) != path:
                raise RefusedError(f"{path}: holds {role}, and so does {found[role].name}; keep one")
    for role in ("image", "subject_name"):
        if role not in found:
            raise RefusedError(f"{folder}: no HDF5 file there holds {role}")
    return found["image"], found["subject_name"], found.get("fold-0")


def _column(file: Hdf5File, name: str, count: int) -> npt.NDArray[np.float64]:
    """An array of numbers [count]; of [count, K], coded more than once, the largest that is known."""
    values = file.numbers(name)
    if len(values) != count:
        raise RefusedError(f"{file.path}: {name} has {len(values)} rows, others have {count}")
    if values.ndim > 1 and values.size == 0:
        raise RefusedError(f"{file.path}: {name} has rows without a value, got {list(values.shape)}")
    # Not nanmax: it warns where all are NaN, which the archive has.
    return values if values.ndim == 1 else np.fmax.reduce(values.reshape(count, -1), axis=1)


def _index(file: Hdf5File, count: int) -> npt.NDArray[np.float64]:
    """The array ``index``, whole numbers [count]."""
    values = _column(file, "index", count)
    wrong = np.flatnonzero(~((values >= 0) & (values < WHOLE) & (values == np.floor(values))))  # NaN too
    if len(wrong):
        raise RefusedError(f"{file.path}: index row {wrong[0]} must be a whole number, got {values[wrong[0]]:g}")
    return values


def _action_units(file: Hdf5File, count: int) -> dict[int, npt.NDArray[np.float64]]:
    """Intensity of every coded action unit, [count]; NaN is 0."""
    coded: dict[int, npt.NDArray[np.float64]] = {}
    for name in file.names():
        match = AU_LABEL.fullmatch(name)
        if match is None:
            continue
        values = _column(file, name, count)
        values[np.isnan(values)] = 0
        wrong = np.flatnonzero((values < 0) | (values > MAX_INTENSITY))
        if len(wrong):
            raise RefusedError(f"{file.path}: {name} row {wrong[0]} must be in 0..5, got {values[wrong[0]]:g}")
        number = int(match["number"])
        coded[number] = np.maximum(coded[number], values) if number in coded else values
    return coded


def _people(file: Hdf5File, array: str) -> list[int]:
    """The number at the head of each subject's name; the folds hold the number alone."""
    numbers = []
    for row, text in enumerate(file.words(array)):
        match = SUBJECT.fullmatch(text)
        if match is None:
            raise RefusedError(
                f"{file.path}: {array} row {row} must begin with a number, as 042-ll042, got {text[:40]!r}"
            )
        numbers.append(int(match["number"]))
    return numbers


def _places(
    frames: Path, annotations: Path, count: int, index: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the frame of each annotation is, −1 if there is none, and the index that names it."""
    with Hdf5File(frames) as file:
        shape = file.rows("image")
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or 0 in shape:
            raise RefusedError(f"{frames}: image must be [N, H, W] or [N, H, W, 3], got {list(shape)}")
        if shape[1] * shape[2] > PICTURE_PIXELS:
            raise RefusedError(f"{frames}: image has too many pixels, {shape[2]} x {shape[1]}")
        known = _index(file, shape[0]) if file.holds("index") else np.arange(shape[0], dtype=np.float64)
    if index is None:
        if count != shape[0]:
            raise RefusedError(f"{annotations}: has {count} rows and no index, {frames.name} has {shape[0]} frames")
        return np.arange(count), known.astype(np.int64)
    order = np.argsort(known, kind="stable")
    ordered = known[order]
    if len(ordered) and (ordered[1:] == ordered[:-1]).any():
        twice = ordered[1:][ordered[1:] == ordered[:-1]][0]
        raise RefusedError(f"{frames}: index {twice:g} names two frames")
    nearest = np.minimum(np.searchsorted(ordered, index), max(len(ordered) - 1, 0))
    return np.where(ordered[nearest] == index, order[nearest], -1).astype(np.int64), index.astype(np.int64)


def _split(path: Path, fold: int, people: list[int]) -> dict[int, str]:
    """The split of each subject; the checkpoint is never chosen on the subjects that are tested."""
    with Hdf5File(path) as file:
        numbers = sorted(int(match["number"]) for match in map(FOLD.fullmatch, file.names()) if match)
        if fold not in numbers or len(numbers) < 2:
            raise RefusedError(
                f"{path}: holds folds {', '.join(map(str, numbers))}, and no fold {fold} with one after it"
            )
        after = numbers[(numbers.index(fold) + 1) % len(numbers)]
        lists: dict[tuple[int, str], set[int]] = {}
        for number in (fold, after):
            for name in LISTS:
                lists[number, name] = {*_people(file, f"fold-{number}/{name}")}
    train, test = (lists[fold, name] for name in LISTS)
    validation = lists[after, "validation_subjects"]
    for one, other, where in ((train, test, f"fold-{fold}"), (test, validation, f"fold-{fold} and fold-{after}")):
        if one & other:
            raise RefusedError(f"{path}: {where}: subject {min(one & other)} is in two splits")
    words = {person: "train" for person in train} | {person: "validation" for person in validation}
    words |= {person: "test" for person in test}
    missing = [person for person in people if person not in words]
    if missing:
        raise RefusedError(f"{path}: fold-{fold} leaves out {first_of(missing, 'subjects')}")
    return words
