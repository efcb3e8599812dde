"""Knows the folder of a data set: its manifest, and which shards are already published there.

``manifest.json`` marks it as finished; until then ``manifest.partial.jsonl`` has one line per published shard.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypedDict

from pain3d.console.refused import RefusedError
from pain3d.files import cut, flush_folder, open_end, partial_path, remove, remove_empty, rename, write_end
from pain3d.records import FORMAT_VERSION, SPLITS, SUBSETS
from pain3d.run_folder import RESOLVED, RunFolder, RunKind

MANIFEST: Final = "manifest.json"
LINES: Final = "manifest.partial.jsonl"
TEXTURES: Final = "textures"  # the bank of what was painted for this data set
HASH: Final = re.compile("[0-9a-f]{64}")


def resolved_text(resolved: Mapping[str, Any]) -> str:
    """The text of ``config.resolved.yaml``; also valid JSON line by line, so it needs no YAML library to be written."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in resolved.items())


def resolved_kind(mark: tuple[str, int], last: str, foreign: str, called: str) -> RunKind:
    """A kind of run whose folder says by ``config.resolved.yaml`` what decides its bytes, with their hash.

    Args:
        mark: Name and number of its format.
        last: The file that is written last.
        foreign: What a folder that isn't one is not.
        called: What is in the folder, in words.
    """
    return RunKind(
        mark=mark,
        last=last,
        text=resolved_text,
        # Its hash changes exactly when something else does.
        decides=lambda resolved: {name: value for name, value in resolved.items() if name != "config_hash"},
        foreign=f"not empty, and not {foreign}",
        other=f"holds {{state}} {called} of another configuration ({{changed}})",
        finished=f"holds a finished {called} of this configuration",
    )


DATA_SET: Final = resolved_kind(("pain3d_format", FORMAT_VERSION), MANIFEST, "a data set of pain3d", "data set")


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


class DataFolder(RunFolder):
    """A data set's folder; see `RunFolder`.

    Args:
        out: The folder; made if absent.
        resolved: The flat resolved configuration.
    """

    def __init__(self, out: Path, resolved: Mapping[str, Any]) -> None:
        super().__init__(out, DATA_SET, resolved)
        self.published: dict[str, ShardEntry] = {}

    def check(self) -> None:
        """See `RunFolder.check`; a damaged line in the list of published shards is refused too."""
        super().check()
        if (self.out / LINES).exists():
            read_lines(self.out / LINES)

    def publish_shard(self, entry: ShardEntry) -> None:
        """Rename a shard's finished partial files and add its manifest line."""
        names = [file["path"] for file in entry["files"]]
        self._rename(names)
        line = json.dumps(entry).encode() + b"\n"
        lines = self.out / LINES
        with open_end(lines) as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # other ranks add theirs
            before = lines.stat().st_size
            try:
                write_end(lines, line)
            except BaseException:
                cut(lines, before)
                for name in names:
                    remove(self.out / name)
                raise
        self.published[entry["shard"]] = entry

    def join(self, published: Mapping[str, ShardEntry]) -> None:
        """Write into the folder beside rank 0, which has begun it, locked it and told what is published there."""
        self.published = dict(published)

    def take_up(self) -> None:
        """Read what all ranks have published."""
        self._take_up()

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Mark the data set as finished."""
        self.write(MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        remove(self.out / LINES)

    def _rename(self, names: list[str]) -> None:
        """Move finished partial files to their names; all of them, or after an error none."""
        moved: list[Path] = []
        try:
            for name in names:
                moved.append(self.out / name)
                rename(partial_path(self.out / name), self.out / name)
            for folder in {path.parent for path in moved}:
                flush_folder(folder)
        except BaseException:
            for path in moved:
                remove(path)
            raise

    def _take_up(self) -> None:
        """Shards that were published; a torn last line is cut off, its shard was not."""
        lines = self.out / LINES
        if lines.exists():
            entries, whole = read_lines(lines)
            if whole < lines.stat().st_size:
                cut(lines, whole)
            self.published = {entry["shard"]: entry for entry in entries}

    def _discard(self) -> None:
        """Published shards and textures stay, the same run builds on them; without any, nothing of this run stays."""
        lines = self.out / LINES
        published = self.published or (lines.exists() and lines.stat().st_size)  # by other ranks
        painted = any((self.out / TEXTURES).rglob("*.json"))
        if not published and not painted and not (self.out / MANIFEST).exists():
            for name in (RESOLVED, LINES):
                remove(self.out / name)
            remove_empty([path for path in self.out.rglob("*") if path.is_dir()])


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
