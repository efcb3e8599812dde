"""Knows what the manifest of a finished data set may say: it is read as a stranger's, and nothing in it is believed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from pain3d.console.refused import RefusedError, quoted
from pain3d.doors.limits import PARQUET_ROWS, TEXT_BYTES
from pain3d.doors.paths import named_file, named_path
from pain3d.doors.text import parse_json, read_bytes
from pain3d.pipeline.folder import MANIFEST, FileEntry, ShardEntry
from pain3d.pipeline.shard_list import HASH
from pain3d.records import DENSE, FORMAT_VERSION, SPLITS, SUBSETS

SHARD: Final = re.compile(rf"({'|'.join(SPLITS)})-\d{{5,7}}-of-\d{{5,7}}", re.ASCII)
MOST_BYTES: Final = 2**53  # of a file; JSON of others holds no larger whole number
KINDS: Final[dict[str, tuple[type, float, float]]] = {  # of a resolved configuration: what other code relies on
    "pain3d_format": (int, 1, FORMAT_VERSION),
    "size": (int, 1, 4096),
    "seed": (int, 0, 2**63 - 1),
    "config_hash": (str, 1, 64),
    "pain3d_version": (str, 1, 64),
    "code_version": (str, 1, 64),
}  # a number's limits, or those of the length of a text


@dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Attributes:
        resolved: The resolved configuration.
        counts: Rows by subset and split, as it has them.
        files: Of every file that is no shard's, its SHA-256 and, unless an older pain3d wrote it, its bytes.
        shards: In its order.
        sha256: Its own.
    """

    resolved: dict[str, Any]
    counts: Any
    files: dict[str, tuple[str, int | None]]
    shards: list[ShardEntry]
    sha256: str

    @property
    def data_files(self) -> list[FileEntry]:
        """The files of all shards."""
        return [file for shard in self.shards for file in shard["files"]]


def read_manifest(out: Path, name: str = "") -> Manifest:
    """Read the manifest of a data set.

    Args:
        out: Its folder.
        name: What errors call the manifest; its path if left out.

    Raises:
        RefusedError: It is missing, can't be read, or says what no run writes; names what.
    """
    name = name or str(out / MANIFEST)
    content = read_bytes(named_file(out, MANIFEST, out), TEXT_BYTES, name)
    held = parse_json(content, name)
    if not isinstance(held, dict):
        raise RefusedError(f"{name}: can't be read, it is no mapping of names")
    reader = _Reader(out, name)
    resolved = reader.resolved(held.get("resolved"))
    shards = [reader.shard(entry) for entry in reader.list_of(held, "shards")]
    others = [reader.other(entry) for entry in reader.list_of(held, "files")]
    return Manifest(resolved, held.get("counts"), dict(others), shards, hashlib.sha256(content).hexdigest())


class _Reader:
    """Takes the parts of a manifest, each of which may be anything."""

    def __init__(self, out: Path, name: str) -> None:
        self.out, self.name = out, name
        self.seen: set[str] = set()

    def refuse(self, what: str, value: Any) -> NoReturn:
        raise RefusedError(f"{self.name}: can't be read, {what} is {quoted(value)}")

    def list_of(self, held: dict[str, Any], name: str) -> list[Any]:
        value = held.get(name)
        return value if isinstance(value, list) else self.refuse(name, value)

    def resolved(self, held: Any) -> dict[str, Any]:
        if not isinstance(held, dict):
            self.refuse("resolved", held)
        for name, (kind, least, most) in KINDS.items():
            value: Any = held.get(name)
            amount: Any = len(value) if isinstance(value, str) else value
            if type(value) is not kind or not least <= amount <= most:  # JSON's true is an int too
                self.refuse(f"{name} of resolved", value)
        if held.get("dense", "") not in DENSE:
            self.refuse("dense of resolved", held["dense"])
        if type(held.get("pictures", True)) is not bool:
            self.refuse("pictures of resolved", held["pictures"])
        return held

    def shard(self, held: Any) -> ShardEntry:
        shard = held.get("shard") if isinstance(held, dict) else held
        if not isinstance(shard, str) or not SHARD.fullmatch(shard):
            self.refuse("a shard", shard)
        return {"shard": shard, "files": [self.file(entry, shard) for entry in self.list_of(held, "files")]}

    def file(self, held: Any, shard: str) -> FileEntry:
        path, sha256, size = self.common(held, sized=True)
        subset, split, rows = (held.get(name) for name in ("subset", "split", "rows"))
        if subset not in SUBSETS:
            self.refuse(f"the subset of {path}", subset)
        if path != f"data/{subset}/{shard}.parquet":
            self.refuse(f"a file of {subset} in {shard}", path)
        if split != shard.partition("-")[0]:
            self.refuse(f"the split of {path}", split)
        if type(rows) is not int or not 0 <= rows <= PARQUET_ROWS:
            self.refuse(f"rows of {path}", rows)
        return {"path": path, "subset": subset, "split": split, "rows": rows, "bytes": size or 0, "sha256": sha256}

    def other(self, held: Any) -> tuple[str, tuple[str, int | None]]:
        path, sha256, size = self.common(held, sized=False)
        return path, (sha256, size)

    def common(self, held: Any, sized: bool) -> tuple[str, str, int | None]:
        if not isinstance(held, dict):
            self.refuse("an entry of a file", held)
        path, sha256, size = (held.get(name) for name in ("path", "sha256", "bytes"))
        named_path(self.out, path, self.name)
        assert isinstance(path, str)
        if path in self.seen:
            raise RefusedError(f"{self.name}: names {path} twice")
        self.seen.add(path)
        if not isinstance(sha256, str) or not HASH.fullmatch(sha256):
            self.refuse(f"sha256 of {path}", sha256)
        if (sized or size is not None) and (type(size) is not int or not 0 <= size < MOST_BYTES):
            self.refuse(f"bytes of {path}", size)
        return path, sha256, size
