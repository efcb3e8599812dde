"""Knows what every data set is turned into: the labels of its pictures in memory, and a door to their pixels.

A picture's number, its *row*, is its place in these arrays. Unknown labels are NaN and count in no loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.records import SPLITS

UNITS: Final = ("AU04", "AU06", "AU07", "AU09", "AU10", "AU43")  # what PSPI is made of; AU43 last: open or shut
THRESHOLDS: Final = (1, 2, 3)  # PSPI from which on a picture counts as pain, three ways
UNKNOWN: Final = "unknown"  # the word of a slice where the data set doesn't say
# Individual typology angle above which a skin has the name; Del Bino & Bernerd 2013, Br J Dermatol 169 Suppl 3.
SKIN_TONES: Final = ((55, "very light"), (41, "light"), (28, "intermediate"), (10, "tan"), (-30, "brown"))
YAWS: Final = ((15, "0-15°"), (30, "15-30°"), (45, "30-45°"))  # |yaw| below which; the rest is 45-90°

Rows = npt.NDArray[np.int64]


class Pixels(Protocol):
    """Where pictures come from. Safe to be asked by several threads at once."""

    def picture(self, row: int) -> npt.NDArray[np.uint8]:
        """A whole picture, [H, W, 3] RGB. Raises RefusedError, naming file or row, if it can't be read."""

    def heatmap(self, row: int) -> npt.NDArray[np.uint8] | None:
        """How far each visible point moved from neutral, [H, W] in levels of `records.HEATMAP_UNIT_MM`; None: unknown.

        It lies on the picture, or where a data set has only that, is seen from the front.
        """


@dataclass(frozen=True)
class Samples:
    """Labels of N pictures of S people.

    Attributes:
        name: Of the data set, for people.
        key: Of the data set, for machines: the same data set has the same key.
        ids: [N] unique names of the pictures.
        subjects: [S] unique names of the people; a person has the same name in every data set that shows them.
        subject: [N] whose picture it is, a place in `subjects`.
        split: [N] "train", "validation" or "test"; None where the data set has none.
        au: [N, 6] as UNITS, 0–5 and for AU43 0 or 1; NaN is unknown, here and below.
        sides: [N, 6, 2] the same of the person's left and right.
        pspi: [N] 0–16.
        pain: [N] 0 or 1: PSPI ≥ 1 where PSPI is known, else what the data set says.
        neutral: [N] may serve as its person's neutral reference: PSPI 0 and no other action unit.
        square: [N, 3] x, y of the middle and side of the face square, px in the whole picture; NaN: whole picture.
        slices: For each kind of group, such as "age group" or "yaw", the word of each picture, [N].
        pixels: Where the pictures are.

    Raises:
        RefusedError: Two pictures of one name, or a person in two splits.
        ValueError: The arrays don't fit together.
    """

    name: str
    key: str
    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    subject: npt.NDArray[np.int64]
    split: tuple[str, ...] | None
    au: npt.NDArray[np.float32]
    sides: npt.NDArray[np.float32]
    pspi: npt.NDArray[np.float32]
    pain: npt.NDArray[np.float32]
    neutral: npt.NDArray[np.bool_]
    square: npt.NDArray[np.float32]
    slices: dict[str, tuple[str, ...]]
    pixels: Pixels

    def __post_init__(self) -> None:
        _check_shapes(self)
        if len(set(self.ids)) < len(self.ids):
            seen: set[str] = set()
            twice = next(name for name in self.ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise RefusedError(f"{self.name}: two pictures are named {twice}")
        if self.split is not None:
            _check_splits(self, self.split)

    def __len__(self) -> int:
        return len(self.ids)


def require_neutrals(samples: Samples, rows: npt.ArrayLike) -> None:
    """See that everybody in these rows has a neutral picture somewhere in the samples.

    Raises:
        RefusedError: Somebody has none; names the first and counts the others.
    """
    wanted = np.unique(samples.subject[np.asarray(rows, np.int64)])
    without = np.setdiff1d(wanted, samples.subject[samples.neutral])
    if len(without):
        others = f" (nor of {len(without) - 1} others)" if len(without) > 1 else ""
        raise RefusedError(f"{samples.name}: no neutral picture of {samples.subjects[without[0]]}{others}")


def pspi_of(au: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """PSPI [N] of action units [N, 6] in the order of UNITS; NaN where one of them is.

    PSPI = AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43 (Prkachin & Solomon 2008).
    """
    return np.asarray(au[:, 0] + au[:, 1:3].max(1) + au[:, 3:5].max(1) + au[:, 5], np.float32)


def skin_tone(ita_degrees: float) -> str:
    """The word for a skin's individual typology angle."""
    if np.isnan(ita_degrees):
        return UNKNOWN
    return next((word for above, word in SKIN_TONES if ita_degrees > above), "dark")


def yaw_word(yaw_degrees: float) -> str:
    """The word for how far a head is turned away from the camera, to either side."""
    if np.isnan(yaw_degrees):
        return UNKNOWN
    return next((word for below, word in YAWS if abs(yaw_degrees) < below), "45-90°")


def _check_shapes(samples: Samples) -> None:
    count = len(samples.ids)
    shapes = {"subject": (), "au": (6,), "sides": (6, 2), "pspi": (), "pain": (), "neutral": (), "square": (3,)}
    for name, rest in shapes.items():
        shape = getattr(samples, name).shape
        if shape != (count, *rest):
            raise ValueError(f"{name} must be {(count, *rest)}, got {shape}")
    words = {"split": samples.split, **samples.slices}
    for name, column in words.items():
        if column is not None and len(column) != count:
            raise ValueError(f"{name} must have {count} words, got {len(column)}")


def _check_splits(samples: Samples, split: tuple[str, ...]) -> None:
    unknown = set(split) - set(SPLITS)
    if unknown:
        raise RefusedError(f"{samples.name}: split {min(unknown)!r} is none of {', '.join(SPLITS)}")
    number = np.array([SPLITS.index(word) for word in split], np.int64)
    pairs = np.unique(np.stack([samples.subject, number], 1), axis=0)  # sorted by person
    again = np.flatnonzero(pairs[1:, 0] == pairs[:-1, 0])
    if len(again):
        (person, first), second = pairs[again[0]], pairs[again[0] + 1, 1]
        raise RefusedError(
            f"{samples.name}: {samples.subjects[person]} is in two splits, {SPLITS[first]} and {SPLITS[second]}"
        )
