"""Knows how a file is written so that nobody ever sees half of it, not even after a power cut."""

from __future__ import annotations

import fcntl
import os
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
