"""Knows the folder of a data set: who may write into it, what is already published there, and how a run ends cleanly.

States of a folder: absent or empty (a run may start), ours and unfinished (the same run may go on), ours and finished,
anything else (both refused). ``config.resolved.yaml`` marks it as ours, ``manifest.json`` as finished; between the two,
``manifest.partial.jsonl`` has one line per published shard. A lock on the folder, which the kernel drops with its
process, keeps two runs out of it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypedDict

from pain3d.console.refused import RefusedError
from pain3d.files import PARTIAL, flush_folder, lock_folder, partial_path, write_flushed
from pain3d.pipeline.config import differences
from pain3d.records import FORMAT_VERSION, SPLITS, SUBSETS

RESOLVED: Final = "config.resolved.yaml"
MANIFEST: Final = "manifest.json"
LINES: Final = "manifest.partial.jsonl"
HASH: Final = re.compile("[0-9a-f]{64}")


class FileEntry(TypedDict):
    """A published file: where it lies and what it must hold."""

    path: str
    subset: str
    split: str
    rows: int
    bytes: int
    sha256: str


class ShardEntry(TypedDict):
    """A published shard: one file per subset."""

    shard: str
    files: list[FileEntry]


class DataFolder:
    """A data set's folder, locked for one run: a context manager that leaves nothing half-written behind.

    Args:
        out: The folder; made if absent.
        resolved: The flat resolved configuration, as ``config.resolved.yaml`` holds it.

    Raises:
        RefusedError: The folder is a file, holds something else, a finished data set, another configuration's data
            (the differences are named), or another run is writing into it.
    """

    def __init__(self, out: Path, resolved: Mapping[str, Any]) -> None:
        self.out = out
        self.resolved = dict(resolved)
        self.published: dict[str, ShardEntry] = {}
        self._made: list[Path] = []
        self._lock = -1
        self._begun = False  # what may not be written into is left as it was

    def __enter__(self) -> Self:
        check_folder(self.out, self.resolved)
        try:
            for folder in (*reversed(self.out.parents), self.out):
                if not folder.exists():
                    folder.mkdir()
                    self._made.append(folder)
            self._lock = lock_folder(self.out)
            check_folder(self.out, self.resolved)  # again: before the lock another run may have begun or ended
            self._begun = True
            self._remove_partial()
            if (self.out / RESOLVED).exists():
                self.published = self._take_up()
            else:
                self.write(RESOLVED, resolved_text(self.resolved).encode())
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abandon()
        else:
            self._drop_lock()

    def write(self, name: str, content: bytes) -> None:
        """Publish a small file atomically: written beside its place, flushed to the disk, renamed."""
        self.publish({name: lambda path: write_flushed(path, content)})

    def publish(self, writers: Mapping[str, Callable[[Path], None]]) -> None:
        """Publish files together; if one fails, none of them stays.

        Args:
            writers: For each file, by its path in the data set, a function that writes it to the path it is given.
        """
        partial = {name: partial_path(self.out / name) for name in writers}
        try:
            for name, writer in writers.items():
                partial[name].parent.mkdir(parents=True, exist_ok=True)
                writer(partial[name])
            self.rename(list(writers))
        except BaseException:
            for path in partial.values():
                path.unlink(missing_ok=True)
            raise

    def rename(self, names: list[str]) -> None:
        """Move finished partial files to their names; all of them, or after an error none."""
        moved: list[Path] = []
        try:
            for name in names:
                moved.append(self.out / name)
                partial_path(self.out / name).replace(self.out / name)
            for folder in {path.parent for path in moved}:
                flush_folder(folder)
        except BaseException:
            for path in moved:
                path.unlink(missing_ok=True)
            raise

    def publish_shard(self, entry: ShardEntry) -> None:
        """Rename a shard's finished partial files and add its manifest line."""
        names = [file["path"] for file in entry["files"]]
        self.rename(names)
        line = json.dumps(entry).encode() + b"\n"
        lines = self.out / LINES
        before = lines.stat().st_size if lines.exists() else 0
        try:
            _append_durably(lines, line)
        except BaseException:
            if lines.exists():
                os.truncate(lines, before)
            for name in names:
                (self.out / name).unlink(missing_ok=True)
            raise
        self.published[entry["shard"]] = entry

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Mark the data set as finished."""
        self.write(MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        (self.out / LINES).unlink(missing_ok=True)

    def _drop_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _take_up(self) -> dict[str, ShardEntry]:
        """Published shards by name; a torn last line is cut off, its shard was not published."""
        lines = self.out / LINES
        if not lines.exists():
            return {}
        entries, whole = read_lines(lines)
        if whole < lines.stat().st_size:
            os.truncate(lines, whole)
        return {entry["shard"]: entry for entry in entries}

    def _remove_partial(self) -> None:
        for path in self.out.rglob(f".*{PARTIAL}"):
            path.unlink()

    def _abandon(self) -> None:
        """Leave published shards, which the same run can build on; with none of them leave nothing of this run."""
        if self._begun:
            self._remove_partial()
        if self._begun and not self.published and not (self.out / MANIFEST).exists():
            for name in (RESOLVED, LINES):
                (self.out / name).unlink(missing_ok=True)
            folders = [path for path in self.out.rglob("*") if path.is_dir()]
            for folder in sorted(folders, reverse=True):
                _remove_if_empty(folder)
        self._drop_lock()
        for folder in reversed(self._made):
            _remove_if_empty(folder)


def resolved_text(resolved: Mapping[str, Any]) -> str:
    """The text of ``config.resolved.yaml``; also valid JSON line by line, so it needs no YAML library to be written."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in resolved.items())


def read_resolved(path: Path) -> dict[str, Any] | None:
    """Read a ``config.resolved.yaml``; None if the file isn't one of ours."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    ours = isinstance(content, dict) and content.get("pain3d_format") == FORMAT_VERSION
    return content if ours else None


def check_folder(out: Path, resolved: Mapping[str, Any]) -> None:
    """Refuse a folder that this run may not write into; looks only.

    Raises:
        RefusedError: Says why, in one line.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise RefusedError(f"{out}: not a folder")
    held = {path.name for path in out.iterdir() if not path.name.endswith(PARTIAL)}
    if not held:
        return
    old = read_resolved(out / RESOLVED) if RESOLVED in held else None
    if old is None:
        raise RefusedError(f"{out}: not empty, and not a data set of pain3d")
    changed = differences(old, resolved)
    state = "a finished data set" if MANIFEST in held else "an unfinished data set"
    if changed:
        raise RefusedError(f"{out}: holds {state} of another configuration ({changed})")
    if MANIFEST in held:
        raise RefusedError(f"{out}: holds {state} of this configuration")
    if LINES in held:
        read_lines(out / LINES)


def read_lines(path: Path) -> tuple[list[ShardEntry], int]:
    """The shards that a ``manifest.partial.jsonl`` names, and the bytes of its whole lines; looks only.

    Raises:
        RefusedError: A line is damaged; its number is named.
    """
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    entries: list[ShardEntry] = []
    for number, line in enumerate(whole.split(b"\n")[:-1], 1):
        entry = _entry(line)
        if entry is None:
            raise RefusedError(f"{path}: line {number} is damaged, it names no published shard; nothing was changed")
        entries.append(entry)
    return entries, len(whole)


def _entry(line: bytes) -> ShardEntry | None:
    """The shard that a line names; None if it isn't a line that a run writes."""
    try:
        held = json.loads(line)
        shard, files = held["shard"], held["files"]
        split = shard.partition("-")[0]
        for subset, file in zip(SUBSETS, files, strict=True):
            place = {"path": f"data/{subset}/{shard}.parquet", "subset": subset, "split": split}
            if {name: file[name] for name in place} != place or split not in SPLITS:
                return None
            if type(file["rows"]) is not int or type(file["bytes"]) is not int or not HASH.fullmatch(file["sha256"]):
                return None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return {"shard": shard, "files": files}


def _append_durably(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
