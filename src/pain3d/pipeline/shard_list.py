"""Knows the list of a run's published shards: what its lines must say, and whether the files bear them out.

Who goes on with a folder that lay around trusts it as little as a stranger's: a line must be, byte for byte, one that a
run of this plan writes, and a file is what its line says if its SHA-256 is.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pain3d.console.progress import Progress
from pain3d.doors.text import parse_json
from pain3d.pipeline.plan import Plan, images_per_identity
from pain3d.pipeline.shard_files import file_hash
from pain3d.records import SUBSETS

if TYPE_CHECKING:
    from pain3d.pipeline.folder import FileEntry, ShardEntry

HASH: Final = re.compile("[0-9a-f]{64}")
LONGEST: Final = 4096  # bytes of a line that is read; a run's own have less than 1,000
MOST_DAMAGED: Final = 10_000  # lines of a list; what comes after so many counts as one more
MANIFEST_REST: Final = 1 << 20  # bytes of a manifest beside its shards and textures
TEXTURE_BYTES: Final = 1024  # of a manifest for an identity's textures; a run's own has less than 500


def line_of(entry: ShardEntry) -> bytes:
    """A published shard as its line."""
    return json.dumps(entry).encode() + b"\n"


def read_lines(path: Path, plan: Plan) -> Iterator[tuple[ShardEntry | None, int]]:
    """The whole lines of a list, which may be absent: the shard, None where a line is damaged, and where it ends.

    Damaged is what no run of this plan writes: another text, a shard of another plan, a shard that was named before. A
    last line without its end is no line: the run was stopped while it wrote it.
    """
    if not path.exists():
        return
    left = {shard.name: shard for shard in plan.shards}
    damaged = 0
    with path.open("rb") as file:
        while line := file.readline(LONGEST):
            if len(line) < LONGEST and not line.endswith(b"\n"):
                return
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(LONGEST)
            entry = None if rest is not line else entry_of(line, plan, left)
            if entry is not None:
                del left[entry["shard"]]
            else:
                damaged += 1
            if damaged > MOST_DAMAGED:
                yield None, file.seek(0, os.SEEK_END)
                return
            yield entry, file.tell()


def read_manifest_shards(path: Path, plan: Plan) -> list[ShardEntry | None]:
    """The shards that a finished data set's manifest names, None where one is damaged; empty if it can't be read."""
    if path.stat().st_size > MANIFEST_REST + LONGEST * len(plan.shards) + TEXTURE_BYTES * plan.config.identities:
        return []
    try:
        shards = parse_json(path.read_bytes(), str(path))["shards"]
        lines = [line_of(shard) for shard in shards]
    except (ValueError, LookupError, TypeError):  # a RefusedError is a ValueError
        return []
    left = {shard.name: shard for shard in plan.shards}
    entries: list[ShardEntry | None] = []
    for line in lines:
        entry = entry_of(line, plan, left)
        if entry is not None:
            del left[entry["shard"]]
        entries.append(entry)
    return entries


def entry_of(line: bytes, plan: Plan, shards: Mapping[str, Any]) -> ShardEntry | None:
    """The shard of a line, None if no run of this plan writes that line; `shards` are those that it may name."""
    try:
        held = json.loads(line)
        shard = shards[held["shard"]]
        rows = rows_of(plan, len(shard.identities))
        files: list[FileEntry] = []
        for subset, file in zip(SUBSETS, held["files"], strict=True):
            if type(file["bytes"]) is not int or not HASH.fullmatch(file["sha256"]):
                return None
            files.append(
                {
                    "path": shard.path(subset),
                    "subset": subset,
                    "split": shard.split,
                    "rows": rows[subset],
                    "bytes": file["bytes"],
                    "sha256": file["sha256"],
                }
            )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    entry: ShardEntry = {"shard": shard.name, "files": files}
    return entry if line_of(entry) == line else None


def find_faults(out: Path, entries: Iterable[ShardEntry], cores: int, quiet: bool) -> dict[str, list[str]]:
    """Compare published files with their lines; what is wrong, by shard, a line each.

    Args:
        out: The data set.
        entries: Published shards.
        cores: So many files are read at a time.
        quiet: Show no progress.
    """
    files = [(entry["shard"], file) for entry in entries for file in entry["files"]]
    faults: dict[str, list[str]] = {}
    pool = ThreadPoolExecutor(cores)
    try:
        with Progress(len(files), quiet=quiet, what="files") as progress:
            for (shard, file), fault in zip(files, pool.map(lambda named: _fault(out, named[1]), files), strict=True):
                if fault:
                    faults.setdefault(shard, []).append(f"{out / file['path']}: {fault}")
                progress.add(1)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C doesn't wait for the rest
    return faults


def size_fault(out: Path, file: FileEntry) -> str:
    """What a look at a published file says against it; empty if nothing."""
    try:
        found = (out / file["path"]).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if not stat.S_ISREG(found.st_mode):
        return "not a file"
    return "" if found.st_size == file["bytes"] else f"{found.st_size} bytes instead of {file['bytes']}"


def _fault(out: Path, file: FileEntry) -> str:
    try:
        fault = size_fault(out, file)
        return fault or ("" if file_hash(out / file["path"]) == file["sha256"] else "another SHA-256 than published")
    except OSError as error:
        return f"can't be read ({error.strerror})"


def rows_of(plan: Plan, identities: int) -> dict[str, int]:
    """How many rows of each subset so many identities have."""
    expressions, views = plan.config.expressions, plan.config.views
    return {
        "frames": identities * images_per_identity(plan.config),
        "pairs": identities * expressions * views,
        "expressions": identities * (expressions + 1),
        "identities": identities,
    }
