"""Knows how a data set of pain3d is read: labels at once, pictures by row group when they are asked for.

A row group holds the pictures of a few identities, some megabyte: it is read whole, and the last ones read are kept.
Where a data set stores no pictures, those of a person are rendered together (`pain3d.unstored`), to the same bytes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError, one_line, quoted
from pain3d.doors.parquet import ParquetSource, open_parquet
from pain3d.doors.paths import named_file
from pain3d.doors.pictures import decode_heatmap, decode_picture
from pain3d.doors.text import read_json
from pain3d.face.square import SQUARE_COLUMNS, face_square
from pain3d.facs.pain_score import MAX_INTENSITY, MAX_PSPI
from pain3d.records import FORMAT_VERSION, HEATMAP_UNIT_MM, arrow_schema, has_pictures
from pain3d.training.data.samples import UNITS, Samples, skin_tone, yaw_word

if TYPE_CHECKING:
    from pain3d.unstored import UnstoredPictures

MANIFEST: Final = "manifest.json"
UNFINISHED: Final = "config.resolved.yaml"  # a folder that has this and no manifest was never finished
KEPT_BYTES: Final = 256 * 2**20  # of encoded pictures: 25,000 of 256 pixels
_SIDED: Final = tuple(f"{unit}_{side}" for unit in UNITS for side in "LR")
_NEEDED: Final = ("sample_id", "identity_id", "split", "seed", "image", *UNITS, *_SIDED, "PSPI", "neutral")
_WORDS: Final = {"age group": "age_group", "sex": "sex", "ancestry": "ancestry"}  # slice → column
_UNIT: Final = "heatmap_unit_mm"
_MOST_UNIT: Final = 25.5  # millimetres of a level of a heat map, far beyond what skin moves
_ANGLES: Final = {"skin tone": ("skin_ita_degrees", skin_tone), "yaw": ("yaw_degrees", yaw_word)}


def open_pain3d(folder: Path) -> Samples:
    """Open the subset ``frames`` of a finished data set.

    A person is named after the run's seed and their number in it, which together make the person: the same name in two
    data sets is the same face.

    Raises:
        RefusedError: There is no finished data set, it is of a later format, or a file is missing or damaged.
    """
    import pyarrow as pa

    manifest = read_manifest(folder)
    parts = [_opened(folder, file) for file in manifest.files("frames")]
    if not parts:
        raise RefusedError(f"{folder}: it has no frames")
    tables = [_labels(part) for part in parts]
    if len({tuple(table.column_names) for table in tables}) > 1:
        raise RefusedError(f"{folder}: its files of frames differ in their columns")
    table = pa.concat_tables(tables)
    count = table.num_rows
    if not count:
        raise RefusedError(f"{folder}: it has no frames")
    identity = table["identity_id"].to_numpy()
    seed = table["seed"].to_numpy()
    people, subject = np.unique(np.stack([seed, identity], 1), axis=0, return_inverse=True)
    pspi = _columns(table, ("PSPI",), folder, MAX_PSPI)[:, 0]
    slices = {name: tuple(table[column].to_pylist()) for name, column in _WORDS.items() if column in table.column_names}
    for name, (column, word) in _ANGLES.items():
        if column in table.column_names:
            slices[name] = tuple(word(float(angle)) for angle in table[column].to_numpy())
    return Samples(
        name=folder.resolve().name,
        key=manifest.key,
        ids=tuple(table["sample_id"].to_pylist()),
        subjects=tuple(subject_name(int(seed), int(number)) for seed, number in people),
        subject=np.asarray(subject, np.int64).reshape(count),
        split=tuple(table["split"].to_pylist()),
        au=_columns(table, UNITS, folder, MAX_INTENSITY),
        sides=_columns(table, _SIDED, folder, MAX_INTENSITY).reshape(count, len(UNITS), 2),
        pspi=pspi,
        pain=(pspi >= 1).astype(np.float32),
        neutral=table["neutral"].to_numpy(),
        square=_squares(table, folder),
        slices=slices,
        pixels=ParquetPixels(
            folder,
            parts,
            table["sample_id"].to_pylist(),
            _heatmap_units(table, folder),
            None if has_pictures(manifest.resolved) else _unstored(folder, parts, manifest.resolved, identity),
        ),
    )


def _unstored(
    folder: Path, parts: list[ParquetSource], resolved: dict[str, Any], identity: npt.NDArray[np.int32]
) -> Unstored:
    from pain3d.unstored import UnstoredPictures, say_if_redrawn

    for part in parts:
        part.check(arrow_schema("frames"), ("scene",))
    say_if_redrawn(folder, resolved)
    return Unstored(UnstoredPictures(parts, ("image", "heatmap"), resolved, KEPT_BYTES), identity)


def subject_name(seed: int, identity_id: int) -> str:
    """The name of a synthetic person in every data set that shows them, such as ``seed21_id000003``."""
    return f"seed{seed}_id{identity_id:06d}"


class ListedFile(NamedTuple):
    """A file as the manifest names it: its subset, its path from the folder and its bytes."""

    subset: str
    path: str
    size: int


class Manifest(NamedTuple):
    """What training reads of a manifest."""

    key: str
    resolved: dict[str, Any]
    listed: tuple[ListedFile, ...]

    def files(self, subset: str) -> list[ListedFile]:
        """Those of a subset, by path."""
        return sorted(file for file in self.listed if file.subset == subset)


def read_manifest(folder: Path) -> Manifest:
    """The hash of the configuration, the configuration, and the files of a data set.

    Raises:
        RefusedError: There is none, it is damaged or of a later format; names what of it is wrong.
    """
    path = folder / MANIFEST
    if not path.is_file():
        what = "was never finished" if (folder / UNFINISHED).is_file() else "is no data set of pain3d"
        raise RefusedError(f"{folder}: {what}, it has no {MANIFEST}")
    manifest = read_json(path)
    try:
        resolved = _typed(manifest["resolved"], dict)
        key, version = _typed(resolved["config_hash"], str), _typed(resolved["pain3d_format"], int)
        if version > FORMAT_VERSION:
            raise RefusedError(f"{folder}: its format is {version}, this pain3d reads up to {FORMAT_VERSION}")
        listed = tuple(
            ListedFile(_typed(file["subset"], str), _typed(file["path"], str), _typed(file["bytes"], int))
            for shard in _typed(manifest["shards"], list)
            for file in _typed(shard["files"], list)
        )
    except (KeyError, TypeError) as error:
        raise RefusedError(f"{path}: can't be read ({type(error).__name__}: {one_line(error)})") from error
    return Manifest(key, resolved, listed)


def _typed(value: Any, kind: type) -> Any:
    """A value of a manifest. Raises TypeError if it is of another kind."""
    if type(value) is not kind:
        raise TypeError(f"{quoted(value)} where a {kind.__name__} should be")
    return value


def _opened(folder: Path, file: ListedFile) -> ParquetSource:
    path = named_file(folder, file.path, folder / MANIFEST)
    found = path.stat().st_size
    if found != file.size:
        raise RefusedError(f"{path}: damaged, it has {found} bytes and the manifest says {file.size}")
    part = open_parquet(path)
    part.check(arrow_schema("frames"), [*_NEEDED, *_optional(part)])
    return part


def _optional(part: ParquetSource) -> list[str]:
    """Which columns of labels a file has that it need not have."""
    known = (*_WORDS.values(), *(column for column, _ in _ANGLES.values()), *SQUARE_COLUMNS, _UNIT, "heatmap")
    return [name for name in known if name in part.schema.names]


def _labels(part: ParquetSource) -> Any:
    """All rows, without the pictures."""
    return part.read(sorted({*_NEEDED, *_optional(part)} - {"image", "heatmap"}))


class Unstored(NamedTuple):
    """Who renders the pictures that a data set does not store, and [N] whose each is."""

    pictures: UnstoredPictures
    identity: npt.NDArray[np.int32]


@dataclass
class ParquetPixels:
    """The pictures of some Parquet files, a row after the other. Row groups that were read last are kept.

    Args:
        folder: Of the data set.
        parts: The files.
        names: [N] of the rows, for what is refused.
        units: [N] millimetres of a level of their heat maps.
        unstored: Where pictures are from that aren't in the files.
        kept_bytes: Of encoded pictures, at most; the row group in use is kept in any case.
    """

    folder: Path
    parts: list[ParquetSource]
    names: list[str]
    units: npt.NDArray[np.float32]
    unstored: Unstored | None = None
    kept_bytes: int = KEPT_BYTES
    _kept: OrderedDict[tuple[int, str], Any] = field(default_factory=OrderedDict, init=False)
    _bytes: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        sizes = [
            (number, group, part.rows_of(group))
            for number, part in enumerate(self.parts)
            for group in range(part.groups)
        ]
        self._groups = [(number, group) for number, group, _ in sizes]
        self._first = np.cumsum([0, *(rows for _, _, rows in sizes)])
        self._has_heatmaps = all("heatmap" in part.schema.names for part in self.parts)

    def picture(self, row: int) -> npt.NDArray[np.uint8]:
        """See `Pixels`."""
        encoded, path = self._encoded(row, "image")
        return decode_picture(encoded, f"{path}: the picture of {self.names[row]}")

    def heatmap(self, row: int) -> npt.NDArray[np.uint8] | None:
        """See `Pixels`."""
        if not self._has_heatmaps:
            return None
        encoded, path = self._encoded(row, "heatmap")
        try:
            levels = decode_heatmap(encoded)
        except ValueError as error:
            raise RefusedError(f"{path}: the heat map of {self.names[row]} is {error}") from None
        factor = round(float(self.units[row]) / HEATMAP_UNIT_MM)
        # What then is clipped moved 25.5 mm, and augmentation shows 10 mm as white already.
        return levels if factor == 1 else np.minimum(levels.astype(np.uint16) * factor, 255).astype(np.uint8)

    def _encoded(self, row: int, column: str) -> tuple[bytes, Path]:
        """The bytes of an encoded picture and the file that they are from."""
        group = int(np.searchsorted(self._first, row, "right")) - 1
        part = self.parts[self._groups[group][0]]
        if self.unstored is not None:
            return self.unstored.pictures.picture(int(self.unstored.identity[row]), self.names[row], column), part.path
        with self._lock:
            array = self._kept.get((group, column))
            if array is None:
                table = part.read([f"{column}.bytes"], [self._groups[group][1]], nulls=True)
                array = table[column].combine_chunks().field("bytes")
                self._kept[group, column] = array
                self._bytes += array.nbytes
                while self._bytes > self.kept_bytes and len(self._kept) > 1:
                    self._bytes -= self._kept.popitem(last=False)[1].nbytes
            else:
                self._kept.move_to_end((group, column))
        return array[row - int(self._first[group])].as_py() or b"", part.path


def _columns(table: Any, names: tuple[str, ...], folder: Path, most: float) -> npt.NDArray[np.float32]:
    """Columns of numbers from 0 to `most` as [N, columns]."""
    columns = np.stack([table[name].to_numpy() for name in names], 1).astype(np.float32)
    if not ((columns >= 0) & (columns <= most)).all():  # NaN too
        row, column = np.argwhere(~((columns >= 0) & (columns <= most)))[0]
        raise RefusedError(
            f"{folder}: {names[column]} of {quoted(table['sample_id'][int(row)].as_py())} must be in 0..{most:g}, "
            f"got {columns[row, column]:g}"
        )
    return columns


def _heatmap_units(table: Any, folder: Path) -> npt.NDArray[np.float32]:
    """Millimetres of a level of each row's heat map; `HEATMAP_UNIT_MM` where nothing is said."""
    if _UNIT not in table.column_names:
        return np.full(table.num_rows, HEATMAP_UNIT_MM, np.float32)
    return _columns(table, (_UNIT,), folder, _MOST_UNIT)[:, 0]


def _squares(table: Any, folder: Path) -> npt.NDArray[np.float32]:
    """The face square of each row; NaN, the whole picture, where the columns are missing."""
    if not set(SQUARE_COLUMNS) <= set(table.column_names):
        return np.full((table.num_rows, 3), np.nan, np.float32)
    try:
        told = [_numbers(table[name].combine_chunks(), table.num_rows) for name in SQUARE_COLUMNS]
        squares = np.array([face_square(*row) for row in zip(*told, strict=True)], np.float32)
    except (ValueError, IndexError, ArithmeticError) as error:
        raise RefusedError(
            f"{folder}: {', '.join(SQUARE_COLUMNS)} are not those of a face ({one_line(error)})"
        ) from error
    wrong = np.flatnonzero(~(np.isfinite(squares).all(1) & (squares[:, 2] > 0)))
    if len(wrong):
        name = quoted(table["sample_id"][int(wrong[0])].as_py())
        raise RefusedError(f"{folder}: {', '.join(SQUARE_COLUMNS)} of {name} show no face in front of the camera")
    return squares


def _numbers(column: Any, count: int) -> npt.NDArray[np.float64]:
    """A column of numbers, or of lists of one length of numbers, as an array [N, ...]."""
    import pyarrow as pa

    shape = [count]
    while pa.types.is_list(column.type):
        before = len(column)
        column = column.flatten()
        shape.append(len(column) // max(before, 1))
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64).reshape(shape)
