"""Knows how a file is written so that nobody ever sees half of it, not even after a power cut."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from pain3d.console.refused import RefusedError

PARTIAL: Final = ".partial"  # ends the name of a file that is being written; such a file is never part of the data


def partial_path(path: Path) -> Path:
    """Where a file is written before it gets its name: ``.name.partial`` in the same folder."""
    return path.with_name(f".{path.name}{PARTIAL}")


def write_flushed(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Publish a file: written beside its place, flushed, renamed; after an error the old one is still there."""
    partial = partial_path(path)
    try:
        write_flushed(partial, content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def remove_partial(folder: Path) -> None:
    """Remove what a run that was stopped left half-written, anywhere in a folder."""
    for path in list(folder.rglob(f".*{PARTIAL}")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # it lay in a folder of that name


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those that it lies in; hands back those that weren't there. After an error none is made."""
    made: list[Path] = []
    try:
        for path in (*reversed(folder.parents), folder):
            if not path.exists():
                path.mkdir()
                made.append(path)
    except BaseException:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, each after those that lie in it, unless they hold something."""
    for folder in sorted(folders, reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def lock_folder(folder: Path, shown: Path | None = None) -> int:
    """Keep every other run out of a folder, until the descriptor that comes back is closed or the process ends.

    Args:
        folder: It must exist.
        shown: What the message calls it.

    Raises:
        RefusedError: Another run has it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise RefusedError(f"{shown or folder}: another run is writing into it") from error
    return descriptor
