"""Knows the layout of 3DPain: names of files, annotations, the split, and the displacement maps seen from the front.

What is published of the layout and what is inferred: docs/formats.md. A picture without an annotation, an annotation
whose PSPI isn't the sum of its action units, or a picture that the split doesn't name is refused; annotations, heatmaps
and lines of the split without a picture are no fault: the pictures come in many archives, and nobody needs all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError, quoted
from pain3d.doors.paths import named_path
from pain3d.doors.pictures import read_picture
from pain3d.doors.text import read_json, read_rows
from pain3d.facs.pain_score import PAIN_AUS, check_intensity, pspi
from pain3d.training.data.parquet import subject_name
from pain3d.training.data.picture_files import PictureFiles, by_name, files_in, gather, pictures_in
from pain3d.training.data.samples import UNITS, Samples, pspi_of

PICTURE_FOLDERS: Final = (
    "meshes_inpainted",
    "images",
)  # where the published loader looks; what the archives are called
ANNOTATIONS: Final = "annotations"
HEATMAPS: Final = "heatmaps"
ORIGIN: Final = "pain3d.json"  # an export of pain3d says of which run it is
SPLIT_COLUMNS: Final = ("annotation_base_name", "split")
SPLIT_WORDS: Final = {"0": "train", "1": "validation", "2": "test"}
NUMBERED: Final = ("view", "bg", "render", "deform")  # what the published loader lets follow an expression's name
_WORDS: Final = "|".join(["textured", "inpainted", *(rf"{word}_\d+" for word in NUMBERED)])
PICTURE: Final = re.compile(rf"(?P<person>flame_sample_\d+)_(?:neutral|pain_(?P<pain>\d+))(?P<rest>(?:_(?:{_WORDS}))*)")
EXPRESSION: Final = re.compile(r"(?P<person>flame_sample_\d+)_pain_\d+")
# The "hot" ramp fills red, then green, then blue; weighed by these shares of it, a colour is its place on the ramp.
RAMP_SHARES: Final = (0.365, 0.381, 0.254)
RAMP_LEVELS: Final = 100  # of 0.1 mm: the ramp's white is 10 mm in the maps that pain3d writes


class Named(NamedTuple):
    """What the name of a picture says."""

    person: str
    pain: int  # number of the pain expression; 0 is neutral
    places: tuple[int, ...]  # the numbers of NUMBERED; −1 where the name has none
    path: Path

    @property
    def expression(self) -> str:
        """``flame_sample_0003_pain_2`` or ``flame_sample_0003_neutral``."""
        return f"{self.person}_pain_{self.pain}" if self.pain else f"{self.person}_neutral"

    @property
    def sample(self) -> str:
        """``flame_sample_0003_pain_2_view_001``; of a picture without any number the expression's name."""
        numbers = zip(NUMBERED, self.places, strict=True)
        return self.expression + "".join(f"_{word}_{number:03d}" for word, number in numbers if number >= 0)


class FrontalHeatmaps(PictureFiles):
    """Pictures, and the heatmap of their expression seen from the front: not in the view of the picture.

    Args:
        paths: [N] picture files.
        heatmaps: [N] heatmap files; None where there is none.
        still: [N] whether the picture is neutral: then its heatmap is 0, if the data set has heatmaps at all.
    """

    def __init__(self, paths: Sequence[Path], heatmaps: Sequence[Path | None], still: Sequence[bool]) -> None:
        super().__init__(paths)
        self.heatmaps = tuple(heatmaps)
        self.still = tuple(still)
        self._any = any(path is not None for path in heatmaps)

    def heatmap(self, row: int) -> npt.NDArray[np.uint8] | None:
        """Place on the colour ramp in 100 levels, times shading, [H, W]; None where there is none."""
        path = self.heatmaps[row]
        if path is not None:
            ramp = read_picture(path).astype(np.float32) @ np.array(RAMP_SHARES, np.float32)
            return np.asarray(np.rint(ramp * np.float32(RAMP_LEVELS / 255)), np.uint8)
        if self._any and self.still[row]:
            return np.zeros(self.picture(row).shape[:2], np.uint8)
        return None


def open_3dpain(folder: Path) -> Samples:
    """Open a data set in the layout of 3DPain: labels in memory, pictures on demand.

    Args:
        folder: Its root, with ``annotations/`` and ``meshes_inpainted/`` (or ``images/``); ``heatmaps/`` and a CSV of
            columns annotation_base_name and split are optional.

    Returns:
        Samples in the order of person, expression and view. The heatmap of a row is the frontal one of its expression.

    Raises:
        RefusedError: In one line that names the file: no pictures, a name that isn't 3DPain's, an annotation that is
            missing or wrong, two splits of one person, or a picture that the split doesn't name.
    """
    pictures = _pictures(folder)
    annotations = by_name(files_in(folder / ANNOTATIONS, folder, ("_annotations.json",)))
    labels: dict[str, list[float]] = {}
    for picture in pictures:
        if picture.pain and picture.expression not in labels:
            name = f"{picture.expression}_annotations.json"
            if name not in annotations:
                raise RefusedError(f"{folder / ANNOTATIONS / name}: missing, {picture.path.name} has no labels")
            labels[picture.expression] = _read_annotation(annotations[name])
    au = np.array([labels.get(picture.expression, [0.0] * len(UNITS)) for picture in pictures], np.float32)
    scores = pspi_of(au)
    neutral = [picture.pain == 0 for picture in pictures]
    heatmaps = _heatmaps(folder)
    return gather(
        f"3DPain {folder.name}",
        FrontalHeatmaps(
            [picture.path for picture in pictures], [heatmaps.get(picture.expression) for picture in pictures], neutral
        ),
        [picture.sample for picture in pictures],
        _people(folder, pictures),
        split=_split(folder, pictures),
        au=au,
        pspi=scores,
        pain=scores >= 1,
        neutral=neutral,
    )


def _pictures(folder: Path) -> list[Named]:
    held = [folder / name for name in PICTURE_FOLDERS if (folder / name).is_dir()]
    named: dict[tuple[str, int, tuple[int, ...]], Named] = {}
    for path in (path for place in held for path in pictures_in(place, folder)):
        match = PICTURE.fullmatch(path.stem)
        if match is None:
            raise RefusedError(
                f"{path}: not a name of 3DPain, as flame_sample_0000_pain_1_textured_view_000_inpainted.jpg"
            )
        numbers = dict(re.findall(r"_([a-z]+)_(\d+)", match["rest"]))
        places = tuple(int(numbers.get(word, -1)) for word in NUMBERED)
        picture = Named(match["person"], int(match["pain"] or 0), places, path)
        other = named.setdefault(picture[:3], picture)
        if other is not picture:
            raise RefusedError(f"{path}: the same picture as {other.path}")
    if not named:
        archive = next((path for place in held for path in sorted(place.rglob("*.tar*"))), None)
        hint = f", unpack {archive.name} and its like first" if archive else ""
        raise RefusedError(f"{folder}: no pictures in {' or '.join(PICTURE_FOLDERS)}{hint}")
    return [named[key] for key in sorted(named)]


def _people(folder: Path, pictures: Sequence[Named]) -> list[str]:
    """Who is in each picture. In an export of pain3d people keep their names: they are the faces of its data set."""
    path = named_path(folder, ORIGIN, folder)
    if not path.exists():
        return [picture.person for picture in pictures]
    held = read_json(path)
    seed = held.get("seed") if isinstance(held, dict) else None
    if type(seed) is not int:
        raise RefusedError(f"{path}: doesn't say the seed of the data set, got {quoted(seed)}")
    return [subject_name(seed, int(picture.person.rpartition("_")[2])) for picture in pictures]


def _read_annotation(path: Path) -> list[float]:
    """The six action units of an annotation, in the order of `UNITS`; one that it doesn't name is 0."""
    content = read_json(path)
    names = [f"AU{number}" for number in PAIN_AUS]
    if not isinstance(content, dict) or not any(name in content for name in names):
        raise RefusedError(f"{path}: names none of {', '.join(names)}")
    values: dict[str, float] = {}
    for name in (*names, "PSPI"):
        value = content.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusedError(f"{path}: {name} must be a number, got {quoted(value)}")
        values[name] = float(value)
    units = [values[name] for name in names]
    try:
        for number, value in zip(PAIN_AUS, units, strict=True):
            check_intensity(number, value)
    except ValueError as error:
        raise RefusedError(f"{path}: {error}") from error
    if "PSPI" in content and values["PSPI"] != pspi(*units):
        raise RefusedError(f"{path}: PSPI is {values['PSPI']:g}, its action units give {pspi(*units):g}")
    return units


def _heatmaps(folder: Path) -> dict[str, Path]:
    """Frontal heatmaps by expression; their names begin with it."""
    found: dict[str, Path] = {}
    for path in pictures_in(folder / HEATMAPS, folder):
        match = EXPRESSION.match(path.stem)
        if match is None:
            raise RefusedError(f"{path}: not a name of 3DPain, as flame_sample_0000_pain_1_heatmap.jpg")
        if found.setdefault(match[0], path) != path:
            raise RefusedError(f"{path}: {found[match[0]].name} is a heatmap of the same expression")
    return found


def _split(folder: Path, pictures: Sequence[Named]) -> list[str] | None:
    """The split of each picture from the CSV in the root; None without one. A neutral picture goes with its person."""
    tables = [path for path in _tables(folder) if _header(path) >= set(SPLIT_COLUMNS)]
    if not tables:
        return None
    if len(tables) > 1:
        raise RefusedError(f"{folder}: {tables[0].name} and {tables[1].name} both hold a split, keep one")
    (table,) = tables
    of_person: dict[str, str] = {}
    named: set[str] = set()
    rows = read_rows(table)
    header = [name.strip() for name in next(rows)[1]]
    places = [header.index(column) for column in SPLIT_COLUMNS]
    for line, cells in rows:
        if not cells:
            continue
        name, number = (cells[place].strip() if place < len(cells) else "" for place in places)
        match = EXPRESSION.fullmatch(name)
        if match is None or number not in SPLIT_WORDS:
            told = f"needs an expression and 0, 1 or 2, got {quoted(name)} and {quoted(number)}"
            raise RefusedError(f"{table} line {line}: {told}")
        word = SPLIT_WORDS[number]
        if of_person.setdefault(match["person"], word) != word:
            raise RefusedError(f"{table} line {line}: {match['person']} is in {of_person[match['person']]} already")
        named.add(name)
    for picture in pictures:
        known = picture.expression in named if picture.pain else picture.person in of_person
        if not known:
            raise RefusedError(f"{table}: doesn't say which split {picture.path.name} is in")
    return [of_person[picture.person] for picture in pictures]


def _tables(folder: Path) -> list[Path]:
    return [named_path(folder, path.name, folder) for path in sorted(folder.glob("*.csv"))]


def _header(path: Path) -> set[str]:
    """The names in a table's first line; none where it is no table."""
    try:
        return {name.strip() for name in next(read_rows(path), (0, []))[1]}
    except RefusedError:
        return set()
