"""Knows how published shards are read back: the columns and rows that are needed, in a fixed order, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pain3d.console.refused import RefusedError
from pain3d.doors.parquet import ParquetSource, open_parquet
from pain3d.pipeline.folder import MANIFEST, TEXTURES, ShardEntry
from pain3d.pipeline.manifest import read_manifest
from pain3d.records import arrow_schema, columns_of, has_pictures

if TYPE_CHECKING:
    from pain3d.pipeline.rendered_rows import RenderedRows
    from pain3d.pipeline.texture.bank import TextureBank
    from pain3d.scene import Scene

Row = dict[str, Any]
Columns = dict[str, list[Any]]
CELL = ("age_group", "sex", "ancestry")


@dataclass(frozen=True)
class DataSet:
    """The published shards of a data set.

    Attributes:
        out: Its folder.
        shards: In the order of the plan.
        resolved: The resolved configuration.
    """

    out: Path
    shards: list[ShardEntry]
    resolved: dict[str, Any]

    @property
    def textures(self) -> TextureBank:
        """The bank of its painted textures; empty where skin is procedural."""
        from pain3d.pipeline.texture.bank import TextureBank

        return TextureBank(self.out / TEXTURES)

    def files(self, subset: str) -> list[str]:
        """Paths of a subset's files, in the order of the shards."""
        return [file["path"] for shard in self.shards for file in shard["files"] if file["subset"] == subset]

    def count(self, subset: str) -> int:
        """How many rows a subset has, as the manifest says it."""
        return sum(file["rows"] for shard in self.shards for file in shard["files"] if file["subset"] == subset)

    def columns(self, subset: str, columns: Sequence[str]) -> Columns:
        """Some columns of a whole subset: for each the values of all rows, in the order of the shards."""
        read: Columns = {name: [] for name in columns}
        for path in self.files(subset):
            table = self._open(subset, path, columns).read(columns)
            for name in columns:
                read[name] += table[name].to_pylist()
        return read

    def licences(self) -> list[str]:
        """Licences of the images, as their rows say them, sorted; several where a painter has no part in some."""
        return sorted(set(self.columns("frames", ["licence"])["licence"]))

    def rows(self, subset: str, columns: Sequence[str], keep: set[str] | None = None) -> Iterator[Row]:
        """Rows of a subset with some columns, a row group in memory at a time.

        Pictures that the data set does not store are rendered, see `pain3d.unstored`.

        Args:
            subset: Of `pain3d.records.SUBSETS`.
            columns: What a row holds.
            keep: The sample_ids to read; None reads all.

        Raises:
            RefusedError: A file can't be read, or a picture that isn't stored can't be rendered.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        filler = self._filler(subset, columns)
        stored = columns if filler is None else filler.stored
        wanted = pa.array(sorted(keep), pa.string()) if keep is not None else None
        for path in self.files(subset):
            source = self._open(subset, path, stored if wanted is None else ("sample_id", *stored))
            for group in range(source.groups):
                mask = None
                if wanted is not None:
                    mask = pc.is_in(source.read(["sample_id"], [group])["sample_id"], wanted)  # pyright: ignore[reportAttributeAccessIssue]
                    if not pc.any(mask).as_py():  # pyright: ignore[reportAttributeAccessIssue]
                        continue
                table = source.read(stored, [group])
                rows = (table if mask is None else table.filter(mask)).to_pylist()
                yield from rows if filler is None else filler.filled(rows)

    def _filler(self, subset: str, columns: Sequence[str]) -> RenderedRows | None:
        """Who puts pictures into rows; None where none are asked for, or the data set stores them."""
        pictures = {column.name for column in columns_of(subset, self._dense) if column.kind == "image"}
        if has_pictures(self.resolved) or not pictures & set(columns):
            return None
        from pain3d.pipeline.rendered_rows import RenderedRows

        frames = [self._open("frames", path, ("identity_id", "sample_id", "scene")) for path in self.files("frames")]
        return RenderedRows(frames, subset, columns, self.resolved)

    def find(self, subset: str, name: str) -> tuple[str, int] | None:
        """File of a subset and row in it that has a sample_id; None where none has it."""
        for path in self.files(subset):
            names = self._open(subset, path, ("sample_id",)).read(["sample_id"])["sample_id"].to_pylist()
            if name in names:
                return path, names.index(name)
        return None

    def _open(self, subset: str, path: str, columns: Sequence[str]) -> ParquetSource:
        source = open_parquet(self.out / path)
        source.check(arrow_schema(subset, self._dense), columns)
        return source

    @property
    def _dense(self) -> str:
        return str(self.resolved.get("dense", ""))

    def first_identities(self, subset: str, columns: Sequence[str], identities: int) -> list[list[Row]]:
        """The rows of the first few identities, a list for each; files that aren't needed aren't read."""
        people: dict[int, list[Row]] = {}
        for row in self.rows(subset, columns):
            if row["identity_id"] not in people and len(people) == identities:
                break
            people.setdefault(row["identity_id"], []).append(row)
        return list(people.values())

    def spread(self, most: int) -> set[str]:
        """Names of at most so many frames, spread evenly over identities, expressions and views."""
        names = sorted(row["sample_id"] for row in self.rows("frames", ("sample_id",)))
        if len(names) <= most:
            return set(names)
        return {names[place] for place in np.linspace(0, len(names) - 1, most).round().astype(int)}

    def neutrals(self, most: int) -> list[Row]:
        """The neutral frame of view 0 of at most so many identities, spread evenly over their numbers."""
        wanted = ("sample_id", "identity_id", "expression_id", "view_id", "scene", "skin_ita_degrees", *CELL)
        rows = [row for row in self.rows("frames", wanted) if row["expression_id"] == 0 and row["view_id"] == 0]
        rows.sort(key=lambda row: int(row["identity_id"]))
        if len(rows) > most:
            rows = [rows[place] for place in np.linspace(0, len(rows) - 1, most).round().astype(int)]
        return rows


def open_data_set(out: Path) -> DataSet:
    """Open a finished data set. Raises RefusedError, in one line, if there is none."""
    if not out.is_dir():
        raise RefusedError(f"{out}: no such folder")
    if not (out / MANIFEST).exists() and not (out / MANIFEST).is_symlink():
        raise RefusedError(f"{out}: not a finished data set of pain3d, it has no {MANIFEST}")
    manifest = read_manifest(out)
    data = DataSet(out, manifest.shards, manifest.resolved)
    missing = [path for path in data.files("frames") if not (out / path).is_file()]
    if missing:
        raise RefusedError(f"{out}: {missing[0]} is missing")
    if not has_pictures(data.resolved):
        from pain3d.unstored import say_if_redrawn

        say_if_redrawn(out, data.resolved)
    return data


def scene_of(row: Row) -> Scene:
    """The scene of a row. Raises RefusedError if this version of pain3d can't read it."""
    from pain3d.scene import Scene

    try:
        return Scene.from_json(row["scene"])
    except ValueError as error:
        raise RefusedError(
            f"{row['sample_id']}: its scene can't be read, made by another version? ({error})"
        ) from error


def cell_name(row: Row) -> str:
    """The demographic cell of a row: ``female 18-34 asian``."""
    return f"{row['sex']} {row['age_group']} {row['ancestry']}"
