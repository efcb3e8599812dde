"""Knows how to read columns and single rows back from published shards, without touching the pictures beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pain3d.pipeline.folder import ShardEntry

Columns = dict[str, list[Any]]


def files_of(shards: Iterable[ShardEntry], subset: str) -> list[str]:
    """Paths of a subset's files, in the order of the shards."""
    return [file["path"] for shard in shards for file in shard["files"] if file["subset"] == subset]


def read_columns(out: Path, shards: Iterable[ShardEntry], subset: str, columns: Sequence[str]) -> Columns:
    """Read some columns of a whole subset.

    Returns:
        For each column the values of all rows, in the order of the shards.
    """
    import pyarrow.parquet as pq

    read: Columns = {name: [] for name in columns}
    for path in files_of(shards, subset):
        table = pq.read_table(out / path, columns=list(columns))
        for name in columns:
            read[name] += table[name].to_pylist()
    return read


def read_first_identities(
    out: Path, shards: Iterable[ShardEntry], subset: str, columns: Sequence[str], identities: int
) -> list[list[dict[str, Any]]]:
    """Read the rows of the first few identities, picture bytes too; row groups that aren't needed aren't read.

    Returns:
        One list of rows per identity.
    """
    import pyarrow.parquet as pq

    people: dict[int, list[dict[str, Any]]] = {}
    for path in files_of(shards, subset):
        with pq.ParquetFile(out / path) as file:
            for group in range(file.num_row_groups):
                numbers = file.read_row_group(group, columns=["identity_id"])["identity_id"].to_pylist()
                if len(people) >= identities and numbers[0] not in people:
                    return list(people.values())[:identities]
                for row in file.read_row_group(group, columns=list(columns)).to_pylist():
                    people.setdefault(row["identity_id"], []).append(row)
    return list(people.values())[:identities]
