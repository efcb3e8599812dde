"""Knows the folder of a data set: its manifest, and which shards are already published there.

``manifest.json`` marks it as finished; until then ``manifest.partial.jsonl`` has one line per published shard.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypedDict

from pain3d.console.refused import RefusedError, complain
from pain3d.files import (
    cut,
    flush_folder,
    open_end,
    partial_path,
    refuse_irregular,
    remove,
    remove_empty,
    rename,
    write_durably,
    write_end,
)
from pain3d.pipeline.plan import Plan
from pain3d.pipeline.shard_list import find_faults, line_of, read_lines, read_manifest_shards, size_fault
from pain3d.records import FORMAT_VERSION
from pain3d.run_folder import RESOLVED, RunFolder, RunKind

MANIFEST: Final = "manifest.json"
LINES: Final = "manifest.partial.jsonl"
TEXTURES: Final = "textures"  # the bank of what was painted for this data set
MOST_TOLD: Final = 10  # lines about what is made again
REPAIR: Final = "--repair keeps what its hash proves and makes the rest again"


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
        plan: What the run makes.
        repair: Keep what its hash proves and drop the rest, where a run without it refuses a damaged list; a finished
            data set is unfinished then.
        quiet: Show no progress while published files are compared with their lines.
        cores: So many files are read at a time.
    """

    def __init__(
        self,
        out: Path,
        resolved: Mapping[str, Any],
        plan: Plan,
        *,
        repair: bool = False,
        quiet: bool = True,
        cores: int = 1,
    ) -> None:
        super().__init__(out, DATA_SET, resolved)
        self.plan = plan
        self.repair = repair
        self.published: dict[str, ShardEntry] = {}
        self._quiet, self._cores = quiet, cores

    def check(self) -> None:
        """See `RunFolder.check`; a damaged list of published shards is refused too, unless it is to be repaired."""
        super().check()
        for name in (LINES, MANIFEST):
            refuse_irregular(self.out / name)
        if self.repair:
            return
        if self.finished:
            self._check_finished()
        else:
            self._check_lines()

    def publish_shard(self, entry: ShardEntry, attempt: str = "") -> None:
        """Rename a shard's finished partial files, of the attempt that made it, and add its manifest line."""
        names = [file["path"] for file in entry["files"]]
        self._rename(names, attempt)
        line = line_of(entry)
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
        """Read what all ranks have published. Raises RefusedError unless that is the whole plan."""
        self._check_lines()
        self.published |= {entry["shard"]: entry for entry, _ in read_lines(self.out / LINES, self.plan) if entry}
        missing = [shard.name for shard in self.plan.shards if shard.name not in self.published]
        if missing:
            raise RefusedError(f"{self.out / LINES}: lost {missing[0]}; the same command goes on from what is left")

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Mark the data set as finished."""
        self.write(MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        remove(self.out / LINES)

    def _rename(self, names: list[str], attempt: str) -> None:
        """Move finished partial files to their names; all of them, or after an error none."""
        moved: list[Path] = []
        try:
            for name in names:
                moved.append(self.out / name)
                rename(partial_path(self.out / name, attempt), self.out / name)
            for folder in {path.parent for path in moved}:
                flush_folder(folder)
        except BaseException:
            for path in moved:
                remove(path)
            raise

    def _take_up(self) -> None:
        """What was published and is still as it was; the rest is dropped from the list, and will be made again."""
        if self.finished and not self.repair:
            remove(self.out / LINES)  # the run was killed before it did
            return
        if self.finished:
            self._reopen()
        if self.repair:
            from pain3d.pipeline.texture.bank import drop_damaged

            _tell(drop_damaged(self.out / TEXTURES))
        lines = self.out / LINES
        held: list[ShardEntry] = []
        dropped: list[str] = []
        damaged = whole = 0
        for number, (entry, end) in enumerate(read_lines(lines, self.plan), 1):
            whole = end
            if entry is not None:
                held.append(entry)
            else:
                damaged += 1
                if damaged <= MOST_TOLD:
                    dropped.append(f"{lines}: line {number} is damaged; dropped")
        faults = find_faults(self.out, held, self._cores, self._quiet)
        dropped += [f"{fault}; made again" for of_shard in faults.values() for fault in of_shard]
        _tell(dropped, max(0, damaged - MOST_TOLD))
        self.published = {entry["shard"]: entry for entry in held if entry["shard"] not in faults}
        if dropped:
            write_durably(lines, b"".join(map(line_of, self.published.values())))
        elif lines.exists() and whole < lines.stat().st_size:
            cut(lines, whole)  # a torn last line: its shard was not published
        for entry in held:
            for file in entry["files"]:
                if entry["shard"] in faults and size_fault(self.out, file) == "not a file":
                    remove(self.out / file["path"])  # no file could take its place

    def _reopen(self) -> None:
        """Make a finished data set an unfinished one, of the shards that its manifest names."""
        named = read_manifest_shards(self.out / MANIFEST, self.plan)
        damaged = len(self.plan.shards) - sum(map(bool, named))
        _tell([f"{self.out / MANIFEST}: damaged, {damaged} of its shards dropped"] if damaged else [])
        write_durably(self.out / LINES, b"".join(line_of(entry) for entry in named if entry is not None))
        remove(self.out / MANIFEST)
        self.finished = False

    def _check_lines(self) -> None:
        for number, (entry, _) in enumerate(read_lines(self.out / LINES, self.plan), 1):
            if entry is None:
                what = f"line {number} is damaged, it names no published shard"
                raise RefusedError(f"{self.out / LINES}: {what}; nothing was changed, {REPAIR}")

    def _check_finished(self) -> None:
        """Refuse a finished data set that isn't whole, as far as names and sizes tell: `verify` tells more."""
        named = read_manifest_shards(self.out / MANIFEST, self.plan)
        if [entry and entry["shard"] for entry in named] != [shard.name for shard in self.plan.shards]:
            raise RefusedError(f"{self.out / MANIFEST}: damaged; nothing was changed, {REPAIR}")
        for file in [file for entry in named if entry for file in entry["files"]]:
            if fault := size_fault(self.out, file):
                raise RefusedError(f"{self.out / file['path']}: {fault}; nothing was changed, {REPAIR}")

    def _discard(self) -> None:
        """Without anything but its configuration in the folder, nothing of this run stays."""
        lines = self.out / LINES
        ours = [self.out / RESOLVED, *([lines] if lines.exists() and not lines.stat().st_size else [])]
        if all(path.is_dir() or path in ours for path in self.out.rglob("*")):
            for path in ours:
                remove(path)
            remove_empty([path for path in self.out.rglob("*") if path.is_dir()])


def _tell(lines: list[str], untold: int = 0) -> None:
    """A few lines on stderr, and how many there are more."""
    for line in lines[:MOST_TOLD]:
        complain(line)
    untold += max(0, len(lines) - MOST_TOLD)
    if untold:
        complain(f"and {untold} more")
