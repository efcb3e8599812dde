"""Knows the file names of SynPAIN, which hold all its labels, and its list of folds.

``[ID]_[Pain|NoPain]_[Man|Woman]_[Young|Old].jpg`` with an ID of ten digits, 1[p][g][a][r][id]: p pain, g woman, a old,
r ethnicity. What is published and what is inferred: docs/formats.md. There are no action units and no PSPI.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pain3d.console.refused import RefusedError, quoted
from pain3d.doors.text import read_text
from pain3d.training.data.picture_files import PictureFiles, files_in, first_of, gather, pictures_in, split_by_fold
from pain3d.training.data.samples import UNITS, Samples

PICTURE: Final = re.compile(
    r"(?P<id>1\d{9})_(?P<pain>Pain|NoPain)_(?P<sex>Man|Woman)_(?P<age>Young|Old)", re.IGNORECASE
)
MOST_OF_A_LINE: Final = 200  # characters: what FOLD_LINE takes for a longer one grows with its square
FOLD_LINE: Final = re.compile(r"\D*1[01](?P<person>\d{8})(?:_\w+(?:\.\w+)?)?\D+(?P<fold>\d{1,2})\D*")
DIGITS: Final = {"pain": ("nopain", "pain"), "sex": ("man", "woman"), "age": ("young", "old")}  # 0 and 1, digits 2 to 4
ETHNICITIES: Final = ("black", "south asian", "middle eastern", "caucasian", "asian")  # digit 5: 0 to 4
SEX_WORDS: Final = {"man": "male", "woman": "female"}


class Named(NamedTuple):
    """What the name of a picture says."""

    person: str  # the ID without its first two digits: both pictures of a pair share it
    pain: bool
    sex: str
    age: str
    ethnicity: str
    path: Path


def open_synpain(folder: Path, fold: int = 0) -> Samples:
    """Open SynPAIN: labels from the names, pictures on demand.

    Args:
        folder: Any folder above its pictures. A ``*fold*.txt`` in it or below it gives the split.
        fold: Which fold to test on, from 0; the next one is validation, the others are train.

    Returns:
        Samples in the order of the people's numbers; the picture without pain is its person's neutral reference.

    Raises:
        RefusedError: In one line that names the file: no pictures, a name whose digits and words disagree, the same
            picture twice, a list of folds that can't be read or leaves people out.
    """
    pictures, others = _pictures(folder)
    folds = _folds(folder, pictures)
    split = None
    if folds is not None:
        words = split_by_fold(folds[1], fold, folds[0])
        split = [words[picture.person] for picture in pictures]
    pain = np.array([picture.pain for picture in pictures])
    return gather(
        "SynPAIN" + (f" (pictures of other names left out: {others})" if others else ""),
        PictureFiles([picture.path for picture in pictures]),
        [picture.path.stem for picture in pictures],
        [f"synpain_{picture.person}" for picture in pictures],
        split=split,
        au=np.full((len(pictures), len(UNITS)), np.nan),
        pspi=np.full(len(pictures), np.nan),
        pain=pain,
        neutral=~pain,
        slices={
            "age group": [picture.age for picture in pictures],
            "sex": [picture.sex for picture in pictures],
            "ancestry": [picture.ethnicity for picture in pictures],
        },
    )


def _pictures(folder: Path) -> tuple[list[Named], int]:
    """The pictures by person, neutral first, and how many files have other names."""
    named: dict[tuple[str, bool], Named] = {}
    others = 0
    for path in pictures_in(folder, folder):
        match = PICTURE.fullmatch(path.stem)
        if match is None:
            others += 1
            continue
        digits, words = match["id"], {kind: match[kind].lower() for kind in DIGITS}
        for digit, (kind, meanings) in zip(digits[1:4], DIGITS.items(), strict=True):
            if digit not in "01" or meanings[int(digit)] != words[kind]:
                raise RefusedError(f"{path}: digit {digit} of its ID is not {match[kind]}")
        if int(digits[4]) >= len(ETHNICITIES):
            raise RefusedError(f"{path}: digit {digits[4]} of its ID is no ethnicity, which go from 0 to 4")
        picture = Named(
            digits[2:],
            words["pain"] == "pain",
            SEX_WORDS[words["sex"]],
            words["age"],
            ETHNICITIES[int(digits[4])],
            path,
        )
        other = named.setdefault((picture.person, picture.pain), picture)
        if other is not picture:
            raise RefusedError(f"{path}: the same picture as {other.path}")
    if not named:
        raise RefusedError(f"{folder}: no pictures of SynPAIN, as 1000000001_NoPain_Man_Young.jpg")
    return [named[key] for key in sorted(named)], others


def _folds(folder: Path, pictures: Sequence[Named]) -> tuple[Path, dict[str, int]] | None:
    """The list of folds and the fold of each person; None without a list."""
    lists = [path for path in files_in(folder, folder, (".txt",)) if "fold" in path.name.lower()]
    if not lists:
        return None
    if len(lists) > 1:
        raise RefusedError(f"{lists[1]}: a second list of folds beside {lists[0]}, keep one")
    (path,) = lists
    fold_of: dict[str, int] = {}
    for line, text in enumerate(read_text(path, errors="replace").splitlines(), start=1):
        match = FOLD_LINE.fullmatch(text) if len(text) <= MOST_OF_A_LINE else None
        if match is None:
            if re.search(r"\d", text):
                raise RefusedError(f"{path} line {line}: needs an ID of ten digits and a fold, got {quoted(text)}")
            continue  # a heading or an empty line
        number = int(match["fold"])
        if fold_of.setdefault(match["person"], number) != number:
            raise RefusedError(f"{path} line {line}: {match['person']} is in fold {fold_of[match['person']]} already")
    missing = sorted({picture.person for picture in pictures} - fold_of.keys())
    if missing:
        raise RefusedError(f"{path}: doesn't say which fold {first_of(missing, 'people')} are in")
    return path, fold_of
