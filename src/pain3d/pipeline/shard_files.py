"""Knows how rows become Parquet files: row groups, compression, and the fixed order that makes the bytes repeatable.

A shard is four files, one per subset. Row groups hold whole identities where they fit into 128 rows, so an identity
can be read without its neighbours. Encoded pictures are stored as they are (they don't compress), everything else with
zstd. There is no time stamp in a file: the same rows, with the same pyarrow, give the same bytes.

Without pictures a row group has up to 1024 rows, and of Arrow's own schema only the features of ``datasets`` are
kept: it holds these a second time, and what columns mean, which would be a quarter of a data set of 800 pictures.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pain3d.files import flush_file, make_inside, naming, open_new, partial_path, remove
from pain3d.pipeline.plan import PlannedShard
from pain3d.records import BARE_GROUP_ROWS, DENSE, ROW_GROUP_ROWS, SUBSETS, columns_of

if TYPE_CHECKING:
    import pyarrow

    from pain3d.pipeline.folder import FileEntry, ShardEntry

UNIQUE_TEXT = ("sample_id", "scene")  # differ in every row: a dictionary would only be a second copy
HASH_BLOCK = 1 << 20  # bytes read at a time


class ShardWriter:
    """Writes the four files of one shard under their partial names; ``close`` hands back their manifest entry.

    A context manager: leaving it after an error removes the partial files.

    Args:
        out: Folder of the data set.
        shard: Whose rows.
        pictures: Whether they hold pictures.
        attempt: Part of the partial names, where others may be writing the same shard.
    """

    def __init__(self, out: Path, shard: PlannedShard, pictures: bool = True, attempt: str = "") -> None:
        self.out = out
        self.shard = shard
        self._files = {subset: _SubsetFile(out, shard.path(subset), pictures, attempt) for subset in SUBSETS}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for file in self._files.values():
                file.discard()

    def write(self, batches: dict[str, pyarrow.RecordBatch]) -> None:
        """Add the rows of one identity."""
        for subset, file in self._files.items():
            file.add(batches[subset])

    def close(self) -> ShardEntry:
        """Finish the files and flush them to the disk; they keep their partial names until they are published."""
        files: list[FileEntry] = []
        for subset, file in self._files.items():
            file.close()
            files.append(
                {
                    "path": self.shard.path(subset),
                    "subset": subset,
                    "split": self.shard.split,
                    "rows": file.rows,
                    "bytes": file.partial.stat().st_size,
                    "sha256": file_hash(file.partial),
                }
            )
        return {"shard": self.shard.name, "files": files}


class _SubsetFile:
    """One Parquet file; opened at the first row group, so that an early failure leaves nothing to remove."""

    def __init__(self, out: Path, name: str, pictures: bool, attempt: str) -> None:
        self.out, self.name, self._pictures = out, name, pictures
        self._group_rows = ROW_GROUP_ROWS if pictures else BARE_GROUP_ROWS
        self.partial = partial_path(out / name, attempt)
        self.rows = 0
        self._waiting: list[pyarrow.RecordBatch] = []
        self._file: BufferedWriter | None = None
        self._parquet: Any = None

    def add(self, batch: pyarrow.RecordBatch) -> None:
        """Add an identity's rows; a full row group is written at once."""
        if self._waiting and sum(len(waiting) for waiting in self._waiting) + len(batch) > self._group_rows:
            self._write_group()
        self._waiting.append(batch)
        self.rows += len(batch)

    def close(self) -> None:
        self._write_group()
        self._parquet.close()
        if self._file is not None:
            flush_file(self._file)
            self._file.close()

    def discard(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # of the disk that failed before; the file goes anyway
                self._file.close()
        remove(self.partial)

    def _write_group(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = self._waiting[0].schema
        if self._file is None:
            make_inside(self.out, str(Path(self.name).parent))
            self._file = open_new(self.partial)
            self._parquet = pq.ParquetWriter(self._file, schema, **_settings(schema, self._pictures))
            if not self._pictures:
                self._parquet.add_key_value_metadata(schema.metadata)
        table = pa.Table.from_batches(self._waiting, schema)
        self._parquet.write_table(table, row_group_size=self._group_rows)
        self._waiting = []


def _settings(schema: pyarrow.Schema, pictured: bool) -> dict[str, Any]:
    """Settings of ``pyarrow.parquet.ParquetWriter``, by the path of each leaf in the file."""
    known = {column.name: column.kind for subset in SUBSETS for column in columns_of(subset, DENSE[-1])}
    kinds = {name: known[name] for name in schema.names}
    pictures = [f"{name}.bytes" for name, kind in kinds.items() if kind == "image"]
    others = [f"{name}.path" for name, kind in kinds.items() if kind == "image"]
    others += [name + ".list.element" * kind.count("[") for name, kind in kinds.items() if kind != "image"]
    return {
        "version": "2.6",
        "compression": {**dict.fromkeys(pictures, "NONE"), **dict.fromkeys(others, "ZSTD")},
        "use_dictionary": [name for name, kind in kinds.items() if kind == "string" and name not in UNIQUE_TEXT],
        "write_statistics": [name for name, kind in kinds.items() if kind != "image" and not kind.startswith("[")],
        "store_schema": pictured,
    }


def file_hash(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    digest = hashlib.sha256()
    with naming(path), path.open("rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
