"""Knows how a file is written so that nobody ever sees half of it, not even after a power cut, nor through a link.

Whatever changes the disk goes through this file, and each such function asks `os` for it: an `os` that fails, or that
ends the process, can stand in for it. A folder that the user names may be a link; what lies in it may not.
Every OSError that is raised here names its file.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pain3d.console.refused import RefusedError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PARTIAL: Final = ".partial"  # ends the name of a file that is being written; such a file is never part of the data
BUFFER: Final = 1 << 18  # bytes gathered before they are written


def partial_path(path: Path, attempt: str = "") -> Path:
    """Where a file is written before it gets its name: ``.name.partial`` in the same folder, apart for each attempt."""
    return path.with_name(f".{path.name}{attempt}{PARTIAL}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError that leaves this context without the name of a file gets this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


class DiskFile(FileIO):
    """A file without a buffer whose errors name it; see `open_new` and `open_end`."""

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o666))
        self.path = path

    def write(self, content: ReadableBuffer) -> int:
        """Write as much as the disk takes at once; returns the number of bytes."""
        with naming(self.path):
            return os.write(self.fileno(), content)

    def close(self) -> None:
        """Let go of the file."""
        with naming(self.path):
            super().close()


def open_new(path: Path) -> BufferedWriter:
    """Open a new file. What lies under its name is removed and never opened: it may be a link or a pipe."""
    remove(path)
    return BufferedWriter(DiskFile(path, "x"), BUFFER)


def open_end(path: Path) -> BufferedWriter:
    """Open a file to write on at its end; made if absent. Raises RefusedError if it is no ordinary file."""
    refuse_irregular(path)
    return BufferedWriter(DiskFile(path, "a"), BUFFER)


def flush_file(file: BufferedWriter) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    with naming(Path(file.name)):
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_written(path: Path) -> None:
    """Wait until a file that a library wrote is on the disk."""
    flush_folder(path)  # a descriptor to read from will do, of a file as of a folder


def rename(old: Path, new: Path) -> None:
    """Give a file or folder another name at once; a file of that name goes, a link as a link."""
    os.replace(old, new)


def remove(path: Path) -> None:
    """Remove what lies under a name, if anything: a file, a folder with all that it holds, a link and not its end."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


def cut(path: Path, size: int) -> None:
    """Cut a file off after so many bytes. Raises RefusedError if it is no ordinary file."""
    refuse_irregular(path)
    os.truncate(path, size)


def write_new(path: Path, content: bytes) -> None:
    """Write a new file, see `open_new`, and don't wait for the disk."""
    with open_new(path) as file:
        file.write(content)


def write_flushed(path: Path, content: bytes) -> None:
    """Write a new file, see `open_new`, and wait until it is on the disk."""
    with open_new(path) as file:
        file.write(content)
        flush_file(file)


def write_end(path: Path, content: bytes) -> None:
    """Add to the end of a file, see `open_end`, and wait until it is on the disk."""
    with open_end(path) as file:
        file.write(content)
        flush_file(file)


def write_durably(path: Path, content: bytes) -> None:
    """Publish a file: written beside its place, flushed, renamed; after an error the old one is still there."""
    partial = partial_path(path)
    try:
        write_flushed(partial, content)
        rename(partial, path)
    except BaseException:
        remove(partial)
        raise
    flush_folder(path.parent)


def write_inside(folder: Path, name: str, content: bytes) -> None:
    """Publish a file as `write_durably` does; folders between the two are made, see `make_inside`."""
    path = folder / name
    make_inside(folder, str(Path(name).parent))
    write_durably(path, content)


def make_inside(folder: Path, name: str) -> Path:
    """Make a folder in another, with those between, unless they are there; hands back its path.

    Raises:
        RefusedError: One of them is a link.
    """
    path = folder
    for part in Path(name).parts:
        path = path / part
        refuse_link(path)
        with suppress(FileExistsError):
            os.mkdir(path)
    return path


def refuse_link(path: Path) -> None:
    """Refuse what is a link; looks only. Raises RefusedError."""
    if path.is_symlink():
        raise RefusedError(f"{path}: a link, and nothing is written through one")


def refuse_irregular(path: Path) -> None:
    """Refuse what is there and no ordinary file; looks only. Raises RefusedError."""
    refuse_link(path)
    if path.exists() and not path.is_file():
        raise RefusedError(f"{path}: not a file")


def refuse_links(folder: Path) -> None:
    """Refuse a folder that holds a link, at any depth; partial files apart, which `remove_partial` removes; looks only.

    Raises:
        RefusedError: Names the link.
    """
    for entry in _entries(folder):
        if entry.is_symlink() and not is_partial(entry.name):
            refuse_link(Path(entry.path))


def is_partial(name: str) -> bool:
    """Whether it is the name of something that was being written."""
    return name.startswith(".") and name.endswith(PARTIAL)


def remove_partial(folder: Path) -> None:
    """Remove what a run that was stopped left half-written, anywhere in a folder."""
    for path in [Path(entry.path) for entry in _entries(folder) if is_partial(entry.name)]:
        remove(path)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All that lies in a folder, but nothing that lies in a partial folder; no link is followed."""
    folders = [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and not is_partial(entry.name):
                    folders.append(entry.path)
                yield entry


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those that it lies in; hands back those that weren't there. After an error none is made."""
    made: list[Path] = []
    try:
        for path in (*reversed(folder.parents), folder):
            if not path.exists():
                os.mkdir(path)
                made.append(path)
    except BaseException:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, each after those that lie in it, unless they hold something."""
    for folder in sorted(folders, reverse=True):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            os.rmdir(folder)


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
        with naming(folder):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise RefusedError(f"{shown or folder}: another run is writing into it") from error
    return descriptor
