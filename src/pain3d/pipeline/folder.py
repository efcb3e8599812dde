"""Knows the folder of a data set: who may write into it, what is already published there, and how a run ends cleanly.

States of a folder: absent or empty (a run may start), ours and unfinished (the same run may go on), ours and finished,
anything else (both refused). ``config.resolved.yaml`` marks it as ours, ``manifest.json`` as finished; between the two,
``manifest.partial.jsonl`` has one line per published shard. A lock on the folder, which the kernel drops with its
process, keeps two runs out of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypedDict

from pain3d.console.refused import RefusedError
from pain3d.files import PARTIAL, flush_folder, lock_folder, partial_path, write_flushed
from pain3d.pipeline.config import differences
from pain3d.records import FORMAT_VERSION

RESOLVED: Final = "config.resolved.yaml"
MANIFEST: Final = "manifest.json"
LINES: Final = "manifest.partial.jsonl"


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

    def __enter__(self) -> Self:
        check_folder(self.out, self.resolved)
        try:
            for folder in (*reversed(self.out.parents), self.out):
                if not folder.exists():
                    folder.mkdir()
                    self._made.append(folder)
            self._lock = lock_folder(self.out)
            check_folder(self.out, self.resolved)  # again: before the lock another run may have begun or ended
            self._remove_partial()
            if (self.out / RESOLVED).exists():
                self.published = _read_lines(self.out / LINES)
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

    def _remove_partial(self) -> None:
        for path in self.out.rglob(f".*{PARTIAL}"):
            path.unlink()

    def _abandon(self) -> None:
        """Leave published shards, which the same run can build on; with none of them leave nothing of this run."""
        if self._lock >= 0:  # else the folder isn't ours
            self._remove_partial()
        if self._lock >= 0 and not self.published and not (self.out / MANIFEST).exists():
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


def _read_lines(path: Path) -> dict[str, ShardEntry]:
    """Published shards by name; a torn last line is a shard that was not published."""
    if not path.exists():
        return {}
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        os.truncate(path, len(whole))
    entries: list[ShardEntry] = [json.loads(line) for line in whole.splitlines()]
    return {entry["shard"]: entry for entry in entries}


def _append_durably(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
