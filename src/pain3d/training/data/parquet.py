"""Knows how a data set of pain3d is read: labels at once, pictures by row group when they are asked for.

A row group holds the pictures of a few identities, some megabyte: it is read whole, and the last ones read are kept.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.doors.pictures import decode_heatmap, decode_picture
from pain3d.face.square import SQUARE_COLUMNS, face_square
from pain3d.records import FORMAT_VERSION, HEATMAP_UNIT_MM
from pain3d.training.data.samples import UNITS, Samples, skin_tone, yaw_word

MANIFEST: Final = "manifest.json"
UNFINISHED: Final = "config.resolved.yaml"  # a folder that has this and no manifest was never finished
KEPT_BYTES: Final = 256 * 2**20  # of encoded pictures: 25,000 of 256 pixels
_SIDED: Final = tuple(f"{unit}_{side}" for unit in UNITS for side in "LR")
_NEEDED: Final = ("sample_id", "identity_id", "split", "seed", "image", *UNITS, *_SIDED, "PSPI", "neutral")
_WORDS: Final = {"age group": "age_group", "sex": "sex", "ancestry": "ancestry"}  # slice → column
_UNIT: Final = "heatmap_unit_mm"
_ANGLES: Final = {"skin tone": ("skin_ita_degrees", skin_tone), "yaw": ("yaw_degrees", yaw_word)}


def open_pain3d(folder: Path) -> Samples:
    """Open the subset ``frames`` of a finished data set.

    A person is named after the run's seed and their number in it, which together make the person: the same name in two
    data sets is the same face.

    Raises:
        RefusedError: There is no finished data set, it is of a later format, or a file is missing or damaged.
    """
    import pyarrow as pa

    key, files = _read_manifest(folder)
    parts = [_Part.open(folder / path, size) for path, size in files]
    table = pa.concat_tables([part.labels() for part in parts])
    count = table.num_rows
    if not count:
        raise RefusedError(f"{folder}: it has no frames")
    identity = table["identity_id"].to_numpy()
    seed = table["seed"].to_numpy()
    people, subject = np.unique(np.stack([seed, identity], 1), axis=0, return_inverse=True)
    pspi = table["PSPI"].to_numpy().astype(np.float32)
    slices = {name: tuple(table[column].to_pylist()) for name, column in _WORDS.items() if column in table.column_names}
    for name, (column, word) in _ANGLES.items():
        if column in table.column_names:
            slices[name] = tuple(word(float(angle)) for angle in table[column].to_numpy())
    return Samples(
        name=folder.resolve().name,
        key=key,
        ids=tuple(table["sample_id"].to_pylist()),
        subjects=tuple(subject_name(int(seed), int(number)) for seed, number in people),
        subject=np.asarray(subject, np.int64).reshape(count),
        split=tuple(table["split"].to_pylist()),
        au=_columns(table, UNITS),
        sides=_columns(table, _SIDED).reshape(count, len(UNITS), 2),
        pspi=pspi,
        pain=(pspi >= 1).astype(np.float32),
        neutral=table["neutral"].to_numpy(),
        square=_squares(table),
        slices=slices,
        pixels=ParquetPixels(parts, table["sample_id"].to_pylist(), _heatmap_units(table)),
    )


def subject_name(seed: int, identity_id: int) -> str:
    """The name of a synthetic person in every data set that shows them, such as ``seed21_id000003``."""
    return f"seed{seed}_id{identity_id:06d}"


def _read_manifest(folder: Path) -> tuple[str, list[tuple[str, int]]]:
    """The hash of the configuration, and path and size of each file of frames, by path."""
    if not (folder / MANIFEST).is_file():
        what = "was never finished" if (folder / UNFINISHED).is_file() else "is no data set of pain3d"
        raise RefusedError(f"{folder}: {what}, it has no {MANIFEST}")
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        resolved = dict(manifest["resolved"])
        key = str(resolved["config_hash"])
        version = int(resolved["pain3d_format"])
        files = [file for shard in manifest["shards"] for file in shard["files"] if file["subset"] == "frames"]
        named = sorted((str(file["path"]), int(file["bytes"])) for file in files)
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{folder / MANIFEST}: can't be read ({type(error).__name__}: {error})") from error
    if version > FORMAT_VERSION:
        raise RefusedError(f"{folder}: its format is {version}, this pain3d reads up to {FORMAT_VERSION}")
    if not named:
        raise RefusedError(f"{folder}: it has no frames")
    return key, named


@dataclass(frozen=True)
class _Part:
    """One Parquet file and its footer."""

    path: Path
    metadata: Any

    @classmethod
    def open(cls, path: Path, size: int) -> _Part:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not path.is_file():
            raise RefusedError(f"{path}: missing")
        found = path.stat().st_size
        if found != size:
            raise RefusedError(f"{path}: damaged, it has {found} bytes and the manifest says {size}")
        try:
            part = cls(path, pq.read_metadata(path))
        except (pa.ArrowException, OSError) as error:
            raise RefusedError(f"{path}: damaged ({_line(error)})") from error
        missing = [name for name in _NEEDED if name not in part.names()]
        if missing:
            raise RefusedError(f"{path}: it has no column {missing[0]}")
        return part

    def names(self) -> set[str]:
        """Names of the columns."""
        return set(self.metadata.schema.to_arrow_schema().names)

    def labels(self) -> Any:
        """All rows, without the pictures."""
        wanted = {*_NEEDED, *_WORDS.values(), *(column for column, _ in _ANGLES.values()), *SQUARE_COLUMNS, _UNIT} - {
            "image"
        }
        columns = sorted(wanted & self.names())
        return self.read(columns, range(self.metadata.num_row_groups))

    def read(self, columns: list[str], groups: range | list[int]) -> Any:
        """Some columns of some row groups, as a table."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path, metadata=self.metadata) as file:
                return file.read_row_groups(list(groups), columns=columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise RefusedError(f"{self.path}: damaged ({_line(error)})") from error


@dataclass
class ParquetPixels:
    """The pictures of some Parquet files, a row after the other. Row groups that were read last are kept.

    Args:
        parts: The files.
        names: [N] of the rows, for what is refused.
        units: [N] millimetres of a level of their heat maps.
        kept_bytes: Of encoded pictures, at most; the row group in use is kept in any case.
    """

    parts: list[_Part]
    names: list[str]
    units: npt.NDArray[np.float32]
    kept_bytes: int = KEPT_BYTES
    _kept: OrderedDict[tuple[int, str], Any] = field(default_factory=OrderedDict, init=False)
    _bytes: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        sizes = [
            (number, group, part.metadata.row_group(group).num_rows)
            for number, part in enumerate(self.parts)
            for group in range(part.metadata.num_row_groups)
        ]
        self._groups = [(number, group) for number, group, _ in sizes]
        self._first = np.cumsum([0, *(rows for _, _, rows in sizes)])
        self._has_heatmaps = all("heatmap" in part.names() for part in self.parts)

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
        with self._lock:
            array = self._kept.get((group, column))
            if array is None:
                array = part.read([f"{column}.bytes"], [self._groups[group][1]])[column].combine_chunks().field("bytes")
                self._kept[group, column] = array
                self._bytes += array.nbytes
                while self._bytes > self.kept_bytes and len(self._kept) > 1:
                    self._bytes -= self._kept.popitem(last=False)[1].nbytes
            else:
                self._kept.move_to_end((group, column))
        return array[row - int(self._first[group])].as_py() or b"", part.path


def _columns(table: Any, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Columns of numbers as [N, columns]."""
    return np.stack([table[name].to_numpy() for name in names], 1).astype(np.float32)


def _heatmap_units(table: Any) -> npt.NDArray[np.float32]:
    """Millimetres of a level of each row's heat map; `HEATMAP_UNIT_MM` where nothing is said."""
    if _UNIT not in table.column_names:
        return np.full(table.num_rows, HEATMAP_UNIT_MM, np.float32)
    return np.asarray(table[_UNIT].to_numpy(), np.float32)


def _squares(table: Any) -> npt.NDArray[np.float32]:
    """The face square of each row; NaN, the whole picture, where the columns are missing."""
    if not set(SQUARE_COLUMNS) <= set(table.column_names):
        return np.full((table.num_rows, 3), np.nan, np.float32)
    told = [_numbers(table[name].combine_chunks(), table.num_rows) for name in SQUARE_COLUMNS]
    return np.array([face_square(*row) for row in zip(*told, strict=True)], np.float32)


def _numbers(column: Any, count: int) -> npt.NDArray[np.float64]:
    """A column of numbers, or of lists of one length of numbers, as an array [N, ...]."""
    import pyarrow as pa

    shape = [count]
    while pa.types.is_list(column.type):
        before = len(column)
        column = column.flatten()
        shape.append(len(column) // max(before, 1))
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64).reshape(shape)


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
