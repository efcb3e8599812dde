"""Knows UNBC-McMaster in the HDF5 files that 3DPain's code reads: frames, annotations, folds. The one door of h5py.

Which arrays are published and which are inferred: docs/formats.md. The archive itself is restricted; users bring it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.facs.pain_score import MAX_INTENSITY, MAX_PSPI, PAIN_AUS
from pain3d.training.data.picture_files import first_of, gather
from pain3d.training.data.samples import UNITS, Samples, pspi_of

SUFFIXES: Final = (".h5", ".hdf5", ".hdf")
AU_LABEL: Final = re.compile(r"label_AU_?0*(?P<number>\d+)(?:_?(?:L|R|left|right))?", re.IGNORECASE)
SUBJECT: Final = re.compile(r"(?P<number>\d+)(?:-.*)?")
FOLD: Final = re.compile(r"fold-(?P<number>\d+)")
LISTS: Final = ("train_subjects", "validation_subjects")


class Frames:
    """Pictures in the array ``image`` of an HDF5 file; see `Pixels`. Threads take turns.

    Args:
        path: The file.
        places: [N] where in the array the picture of each row is.
    """

    def __init__(self, path: Path, places: npt.NDArray[np.int64]) -> None:
        self.path = path
        self.places = places
        self._file: Any = None
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
                    self._file = _open(self.path)
                pixels = np.asarray(self._file["image"][place])
        except (OSError, KeyError, IndexError) as error:
            raise RefusedError(f"{self.path}: image {place} can't be read ({type(error).__name__})") from error
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
    with _open(annotations) as file:
        count = len(file["subject_name"])
        people = _people(annotations, "subject_name", file["subject_name"][:])
        coded = _action_units(annotations, file, count)
        index = _column(annotations, file, "index", count) if "index" in file else None
        score = _column(annotations, file, "label_pspi", count) if "label_pspi" in file else np.full(count, np.nan)
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


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise RefusedError("UNBC-McMaster is read with h5py, which is not installed: pip install h5py") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise RefusedError(f"{path}: can't be read as HDF5") from error


def _find(folder: Path) -> tuple[Path, Path, Path | None]:
    """Frames, annotations and, if there are any, folds, by what the files hold; one file may hold two of them."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
        with _open(path) as file:
            holds = {name: hasattr(file.get(name), "shape") for name in ("image", "subject_name")}
            holds["fold-0"] = any(FOLD.fullmatch(key) for key in file)
        for role in (role for role, here in holds.items() if here):
            if found.setdefault(role, path) != path:
                raise RefusedError(f"{path}: holds {role}, and so does {found[role].name}; keep one")
    for role in ("image", "subject_name"):
        if role not in found:
            raise RefusedError(f"{folder}: no HDF5 file there holds {role}")
    return found["image"], found["subject_name"], found.get("fold-0")


def _column(path: Path, file: Any, name: str, count: int) -> npt.NDArray[np.float64]:
    """An array of numbers [count]; of [count, K], coded more than once, the largest that is known."""
    values = np.asarray(file[name][:], np.float64)
    if len(values) != count:
        raise RefusedError(f"{path}: {name} has {len(values)} rows, others have {count}")
    # Not nanmax: it warns where all are NaN, which the archive has.
    return values if values.ndim == 1 else np.fmax.reduce(values.reshape(count, -1), axis=1)


def _action_units(path: Path, file: Any, count: int) -> dict[int, npt.NDArray[np.float64]]:
    """Intensity of every coded action unit, [count]; NaN is 0."""
    coded: dict[int, npt.NDArray[np.float64]] = {}
    for name in sorted(file.keys()):
        match = AU_LABEL.fullmatch(name)
        if match is None:
            continue
        values = np.nan_to_num(_column(path, file, name, count))
        wrong = np.flatnonzero((values < 0) | (values > MAX_INTENSITY))
        if len(wrong):
            raise RefusedError(f"{path}: {name} row {wrong[0]} must be in 0..5, got {values[wrong[0]]:g}")
        number = int(match["number"])
        coded[number] = np.maximum(coded[number], values) if number in coded else values
    return coded


def _people(path: Path, array: str, names: Iterable[Any]) -> list[int]:
    """The number at the head of each subject's name; the folds hold the number alone."""
    numbers = []
    for row, name in enumerate(names):
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        match = SUBJECT.fullmatch(text)
        if match is None:
            raise RefusedError(f"{path}: {array} row {row} must begin with a number, as 042-ll042, got {text!r}")
        numbers.append(int(match["number"]))
    return numbers


def _places(
    frames: Path, annotations: Path, count: int, index: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the frame of each annotation is, −1 if there is none, and the index that names it."""
    with _open(frames) as file:
        shape = file["image"].shape
        known = _column(frames, file, "index", shape[0]) if "index" in file else np.arange(shape[0], dtype=np.float64)
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise RefusedError(f"{frames}: image must be [N, H, W] or [N, H, W, 3], got {list(shape)}")
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
    with _open(path) as file:
        numbers = sorted(int(match["number"]) for match in map(FOLD.fullmatch, file.keys()) if match)
        if fold not in numbers or len(numbers) < 2:
            raise RefusedError(
                f"{path}: holds folds {', '.join(map(str, numbers))}, and no fold {fold} with one after it"
            )
        after = numbers[(numbers.index(fold) + 1) % len(numbers)]
        lists: dict[tuple[int, str], set[int]] = {}
        for number in (fold, after):
            for name in LISTS:
                if name not in file[f"fold-{number}"]:
                    raise RefusedError(f"{path}: fold-{number} has no {name}")
                lists[number, name] = {*_people(path, f"fold-{number}/{name}", file[f"fold-{number}"][name][:])}
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
