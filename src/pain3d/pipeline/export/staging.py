"""Knows where an export may go, and how a whole folder is published at once: filled beside its place, flushed, renamed.

After an error nothing is left.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from pain3d.console.refused import RefusedError
from pain3d.files import flush_folder, lock_folder, make_folders, partial_path, remove, remove_empty, rename
from pain3d.pipeline.data_set import DataSet, open_data_set
from pain3d.provenance import pain3d_version
from pain3d.records import LICENCE


def refuse_occupied(to: Path) -> None:
    """Refuse a destination that holds something; looks only.

    Raises:
        RefusedError: It is a file, or a folder that isn't empty.
    """
    if to.is_dir():
        if any(to.iterdir()):
            raise RefusedError(f"{to}: not empty, an export needs a new or an empty folder")
    elif to.exists() or to.is_symlink():
        raise RefusedError(f"{to}: not a folder")


def open_source(data: Path, to: Path) -> DataSet:
    """Open the data set that is to be exported; looks only.

    Raises:
        RefusedError: There is no finished data set, or the destination holds something or lies inside it.
    """
    source = open_data_set(data)
    refuse_occupied(to)
    if to.resolve().is_relative_to(data.resolve()):
        raise RefusedError(f"{to}: lies inside the data set that would be exported")
    return source


def readme_fields(source: DataSet, licences: Sequence[str]) -> dict[str, object]:
    """What every export's README says of the data set: version, config, seed, licences, painted and licence."""
    painted = "" if licences == [LICENCE] else " (the README of the data set that was exported says who painted)"
    return {
        "version": pain3d_version(),
        "config": source.resolved["config_hash"][:12],
        "seed": source.resolved["seed"],
        "licences": " / ".join(licences),
        "painted": painted,
        "licence": LICENCE,
    }


class StagedFolder:
    """A context that hands out a folder to fill; it gets its name when the context ends without an error.

    It lies beside its place, as ``.name.partial``. After an error, Ctrl-C too, nothing of it stays. What a process that
    was killed left behind is removed by the next one; a lock keeps two of them apart.

    Args:
        to: Where the folder goes; absent or empty.

    Raises:
        RefusedError: There is something already, or another export to the same place is running.
    """

    def __init__(self, to: Path) -> None:
        self.to = to.resolve() if to.is_symlink() else to  # a link that the user names is followed, once
        self.folder = partial_path(self.to)
        self._made: list[Path] = []
        self._lock = -1

    def __enter__(self) -> Path:
        refuse_occupied(self.to)
        self._made = make_folders(self.to.parent)
        if not self.folder.is_dir() or self.folder.is_symlink():
            remove(self.folder)
        make_folders(self.folder)
        self._lock = lock_folder(self.folder, self.to)
        for old in self.folder.iterdir():
            remove(old)
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._publish()
            else:
                self._abandon()
        finally:
            os.close(self._lock)

    def _publish(self) -> None:
        os.sync()  # once for all: a flush per file is a millisecond, and there may be 100,000 files
        try:
            rename(self.folder, self.to)  # over an empty folder, never over a full one
        except OSError as error:
            self._abandon()
            raise RefusedError(f"{self.to}: could not be published ({error.strerror})") from error
        flush_folder(self.to.parent)

    def _abandon(self) -> None:
        remove(self.folder)
        remove_empty(self._made)
