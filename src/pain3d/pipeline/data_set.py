"""Knows how published shards are read back: the columns and rows that are needed, in a fixed order, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pain3d.console.refused import RefusedError
from pain3d.pipeline.folder import MANIFEST, TEXTURES, ShardEntry

if TYPE_CHECKING:
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

    def columns(self, subset: str, columns: Sequence[str]) -> Columns:
        """Some columns of a whole subset: for each the values of all rows, in the order of the shards."""
        import pyarrow.parquet as pq

        read: Columns = {name: [] for name in columns}
        for path in self.files(subset):
            with (self.out / path).open("rb") as stream:  # pyarrow wants names in UTF-8
                table = pq.read_table(stream, columns=list(columns))
            for name in columns:
                read[name] += table[name].to_pylist()
        return read

    def licences(self) -> list[str]:
        """Licences of the images, as their rows say them, sorted; several where a painter has no part in some."""
        return sorted(set(self.columns("frames", ["licence"])["licence"]))

    def rows(self, subset: str, columns: Sequence[str], keep: set[str] | None = None) -> Iterator[Row]:
        """Rows of a subset with some columns, a row group in memory at a time.

        Args:
            subset: Of `pain3d.records.SUBSETS`.
            columns: What a row holds.
            keep: The sample_ids to read; None reads all.

        Raises:
            RefusedError: A file can't be read.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        wanted = pa.array(sorted(keep), pa.string()) if keep is not None else None
        for path in self.files(subset):
            try:
                with (self.out / path).open("rb") as stream, pq.ParquetFile(stream) as file:
                    for group in range(file.num_row_groups):
                        mask = None
                        if wanted is not None:
                            mask = pc.is_in(file.read_row_group(group, columns=["sample_id"])["sample_id"], wanted)  # pyright: ignore[reportAttributeAccessIssue]
                            if not pc.any(mask).as_py():  # pyright: ignore[reportAttributeAccessIssue]
                                continue
                        table = file.read_row_group(group, columns=list(columns))
                        yield from (table if mask is None else table.filter(mask)).to_pylist()
            except (OSError, pa.ArrowException) as error:
                raise RefusedError(f"{self.out / path}: can't be read ({type(error).__name__})") from error

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
    if not (out / MANIFEST).is_file():
        raise RefusedError(f"{out}: not a finished data set of pain3d, it has no {MANIFEST}")
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
        data = DataSet(out, manifest["shards"], manifest["resolved"])
        missing = [path for path in data.files("frames") if not (out / path).is_file()]
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{out / MANIFEST}: can't be read ({type(error).__name__}: {error})") from error
    if missing:
        raise RefusedError(f"{out}: {missing[0]} is missing")
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
