"""Knows what readers of other people's data sets share: pictures that are files, folds, and one way to Samples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.doors.pictures import read_picture
from pain3d.training.data.folds import LEAST_FOLDS
from pain3d.training.data.samples import UNITS, Pixels, Samples

PICTURE_SUFFIXES: Final = (".jpg", ".jpeg", ".png")


class PictureFiles:
    """Pictures that lie in files, one per row; see `Pixels`. Reads anew at each call, so any thread may call."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def picture(self, row: int) -> npt.NDArray[np.uint8]:
        """The picture of a row, [H, W, 3] RGB. Raises RefusedError naming the file if it can't be read."""
        return read_picture(self.paths[row])

    def heatmap(self, row: int) -> npt.NDArray[np.uint8] | None:
        """None: the data set has no heatmaps."""
        return None


def pictures_in(place: Path, folder: Path) -> list[Path]:
    """Every picture file under a place in the folder of a data set; see `files_in`."""
    return files_in(place, folder, PICTURE_SUFFIXES)


def files_in(place: Path, folder: Path, ends: tuple[str, ...]) -> list[Path]:
    """Every file under a place in the folder of a data set, sorted; those whose names begin with a dot are not its own.

    Args:
        place: The folder itself or one in it; none or no folder is an empty one.
        folder: Which its user chose; it may be a link itself.
        ends: How names end, in small letters.

    Raises:
        RefusedError: A file, or the place, is a link that leads out of the folder; one is no regular file but a pipe,
            a device or a folder; a folder is a link, which isn't followed.
    """
    root = str(folder.resolve())
    if not place.is_dir():
        return []
    _check_inside(place, root)
    found: list[Path] = []
    waiting = [str(place)]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_symlink() and entry.is_dir():
                        raise RefusedError(f"{entry.path}: a link to a folder, which is not followed: move it here")
                    elif entry.name.lower().endswith(ends) and not entry.name.startswith("."):
                        if entry.is_symlink():
                            _check_inside(Path(entry.path), root)
                        if not entry.is_file():
                            raise RefusedError(f"{entry.path}: not a regular file")
                        found.append(Path(entry.path))
    except OSError as error:
        raise RefusedError(f"{error.filename or place}: can't be read ({error.strerror})") from error
    return sorted(found)


def _check_inside(path: Path, root: str) -> None:
    """Refuse a path that a link leads out of the folder `root`."""
    try:
        inside = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError) as error:  # a loop, of Python 3.11 and 12 another
        raise RefusedError(f"{path}: a link to itself") from error
    if not inside:
        raise RefusedError(f"{path}: a link that leads out of {root}: copy what it names")


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their name. Raises RefusedError if two of them have the same one."""
    named: dict[str, Path] = {}
    for path in paths:
        if named.setdefault(path.name, path) != path:
            raise RefusedError(f"{path}: also lies at {named[path.name]}")
    return named


def split_by_fold(fold_of: Mapping[str, int], fold: int, source: Path) -> dict[str, str]:
    """Split people by a published list of folds: `fold` is the test, the next one validation, the others train.

    Args:
        fold_of: The fold of each person.
        fold: Which of the folds to test on, counted from 0 in the order of their numbers.
        source: The file that says so.

    Returns:
        ``train``, ``validation`` or ``test`` for each person.

    Raises:
        RefusedError: There are fewer than three folds, or none of that number.
    """
    numbers = sorted(set(fold_of.values()))
    if len(numbers) < LEAST_FOLDS:
        raise RefusedError(f"{source}: has {len(numbers)} folds, training needs at least {LEAST_FOLDS}")
    if not 0 <= fold < len(numbers):
        raise RefusedError(f"fold must be in 0..{len(numbers) - 1}, the folds of {source}, got {fold}")
    words = {numbers[fold]: "test", numbers[(fold + 1) % len(numbers)]: "validation"}
    return {person: words.get(number, "train") for person, number in fold_of.items()}


def gather(
    name: str,
    pixels: Pixels,
    ids: Sequence[str],
    people: Sequence[str],
    *,
    split: Sequence[str] | None,
    au: npt.ArrayLike,
    pspi: npt.ArrayLike,
    pain: npt.ArrayLike,
    neutral: npt.ArrayLike,
    slices: Mapping[str, Sequence[str]] | None = None,
) -> Samples:
    """Samples of a data set that knows neither sides of action units nor where the face is.

    Args:
        name: For people.
        pixels: Where its pictures come from.
        ids: [N] names of the pictures.
        people: [N] names of who is in them.
        split: [N], or None where the data set has none.
        au: [N, 6] intensities in the order of `UNITS`; NaN where unknown.
        pspi: [N] 0–16; NaN where unknown.
        pain: [N] 0 or 1.
        neutral: [N] whether a picture may serve as its person's neutral reference.
        slices: [N] words by kind of slice.
    """
    subjects, subject = np.unique(np.asarray(people, str), return_inverse=True)
    labels = np.asarray(au, np.float32).reshape(len(ids), len(UNITS))
    scores, pains = np.asarray(pspi, np.float32), np.asarray(pain, np.float32)
    digest = hashlib.sha256("\0".join([*ids, *people]).encode())
    for values in (labels, scores, pains):
        digest.update(np.ascontiguousarray(values).tobytes())
    return Samples(
        name=name,
        key=digest.hexdigest(),
        ids=tuple(ids),
        subjects=tuple(str(person) for person in subjects),
        subject=subject.astype(np.int64),
        split=None if split is None else tuple(split),
        au=labels,
        sides=np.full((len(ids), len(UNITS), 2), np.nan, np.float32),
        pspi=scores,
        pain=pains,
        neutral=np.asarray(neutral, bool),
        square=np.full((len(ids), 3), np.nan, np.float32),
        slices={kind: tuple(words) for kind, words in (slices or {}).items()},
        pixels=pixels,
    )


def first_of(missing: Sequence[Any], noun: str) -> str:
    """``042 and 3 more people``: how a line names what is missing, without listing all of it."""
    rest = len(missing) - 1
    return f"{missing[0]} and {rest} more {noun}" if rest else f"{missing[0]}"
