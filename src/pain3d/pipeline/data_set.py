"""Knows how a judge reads a data set: the frames it needs, with the columns it needs, in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pain3d.console.refused import RefusedError
from pain3d.pipeline.folder import MANIFEST, ShardEntry
from pain3d.pipeline.labels import files_of

if TYPE_CHECKING:
    from pain3d.scene import Scene

Row = dict[str, Any]
CELL = ("age_group", "sex", "ancestry")


@dataclass(frozen=True)
class DataSet:
    """A finished data set."""

    out: Path
    shards: list[ShardEntry]
    resolved: dict[str, Any]

    def frames(self, columns: Sequence[str], keep: set[str] | None = None) -> Iterator[Row]:
        """Rows of subset frames with some columns; `keep` names the sample_ids to read, None reads all."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        for path in files_of(self.shards, "frames"):
            with pq.ParquetFile(self.out / path) as file:
                for group in range(file.num_row_groups):
                    if keep is not None:
                        names = file.read_row_group(group, columns=["sample_id"])["sample_id"]
                        mask = pc.is_in(names, value_set=_strings(keep))  # pyright: ignore[reportAttributeAccessIssue]
                        if not pc.any(mask).as_py():  # pyright: ignore[reportAttributeAccessIssue]
                            continue
                        yield from file.read_row_group(group, columns=list(columns)).filter(mask).to_pylist()
                    else:
                        yield from file.read_row_group(group, columns=list(columns)).to_pylist()

    def spread(self, most: int) -> set[str]:
        """Names of at most so many frames, spread evenly over identities, expressions and views."""
        names = sorted(row["sample_id"] for row in self.frames(("sample_id",)))
        if len(names) <= most:
            return set(names)
        return {names[place] for place in np.linspace(0, len(names) - 1, most).round().astype(int)}

    def neutrals(self, most: int) -> list[Row]:
        """The neutral frame of view 0 of at most so many identities, spread evenly over their numbers."""
        wanted = ("sample_id", "identity_id", "expression_id", "view_id", "scene", "skin_ita_degrees", *CELL)
        rows = [row for row in self.frames(wanted) if row["expression_id"] == 0 and row["view_id"] == 0]
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
        missing = [path for path in files_of(data.shards, "frames") if not (out / path).is_file()]
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


def _strings(names: set[str]) -> Any:
    import pyarrow as pa

    return pa.array(sorted(names), pa.string())
