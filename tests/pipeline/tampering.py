"""Knows how somebody tampers with a data set who knows its format: a byte, a value, a file, a shard with its line.

What a hash could tell is made right again where a test is of something else: `rewrite` and `make_right`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pain3d.pipeline.shard_files import file_hash

MANIFEST = "manifest.json"


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest as it is."""
    return dict(json.loads((out / MANIFEST).read_text()))


def write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """The manifest anew."""
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def make_right(out: Path) -> None:
    """Give the manifest the hashes and sizes of the files that it lists."""
    manifest = read_manifest(out)
    for entry in [*manifest["files"], *(file for shard in manifest["shards"] for file in shard["files"])]:
        path = out / entry["path"]
        entry |= {"sha256": file_hash(path)} | ({"bytes": path.stat().st_size} if "bytes" in entry else {})
    write_manifest(out, manifest)


def rewrite(out: Path, path: str, column: str, row: int, value: Any) -> None:
    """Give one row of a file another value in one column, with all hashes made right again."""
    table = pq.read_table(out / path)
    values = table[column].to_pylist()
    values[row] = value
    place = table.schema.get_field_index(column)
    changed = table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))
    pq.write_table(changed, out / path)
    make_right(out)


def other_value(value: Any) -> Any:
    """A value of the same type that differs as little as it may: in a list or structure, one in the middle of it."""
    if isinstance(value, dict):
        return value | {"bytes": flipped(value["bytes"], len(value["bytes"]) // 2)}
    if isinstance(value, list):
        place = len(value) // 2
        return [*value[:place], other_value(value[place]), *value[place + 1 :]]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"


def every_column(out: Path, split: str = "train") -> Iterator[tuple[str, str, list[Any]]]:
    """Path, name and values of every column of every subset, in the first file of a split."""
    for path in sorted((out / "data").glob(f"*/{split}-00000-*.parquet")):
        table = pq.read_table(path)
        for column in table.column_names:
            yield path.relative_to(out).as_posix(), column, table[column].to_pylist()


def flipped(content: bytes, place: int) -> bytes:
    """The same with one bit of a byte changed."""
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def flip(path: Path, share: float = 0.5) -> None:
    """Change a byte of a file."""
    content = path.read_bytes()
    path.write_bytes(flipped(content, int(share * len(content))))


def drop_shard(out: Path, number: int) -> str:
    """Remove a shard's files and its line, and count the rest; returns its name."""
    manifest = read_manifest(out)
    shard = manifest["shards"].pop(number)
    for file in shard["files"]:
        (out / file["path"]).unlink()
        of_split = manifest["counts"][file["subset"]]
        of_split[file["split"]] -= file["rows"]
        if not of_split[file["split"]]:
            del of_split[file["split"]]
    write_manifest(out, manifest)
    return str(shard["shard"])
