"""Knows where a path leads that a file names: to a regular file in the folder of that file, or nowhere."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pain3d.console.refused import RefusedError


def named_path(folder: Path, name: object, by: str | Path) -> Path:
    """The place that a file's path names inside its folder; there need be nothing.

    Args:
        folder: Of the file; it may be a link itself, its user chose it.
        name: What the file says: relative, with ``/`` between folders, no ``..``.
        by: What an error calls that file.

    Raises:
        RefusedError: The name is no such path, or what it names is no regular file or lies outside, be it by a link.
    """
    path = _inside(folder, name, by)
    try:
        place = path.resolve()  # through every link on the way; a loop is an OSError, of Python 3.11 and 12 another
        if not place.is_relative_to(folder.resolve()):
            raise _refused(by, name, "a link that leads out of its folder")
        if (path.exists() or path.is_symlink()) and not path.is_file():
            raise _refused(by, name, "not a regular file")
    except (OSError, RuntimeError) as error:
        raise _refused(by, name, getattr(error, "strerror", None) or "a link to itself") from error
    return path


def named_file(folder: Path, name: object, by: str | Path) -> Path:
    """As `named_path`, of a file that must be there."""
    path = named_path(folder, name, by)
    if not path.is_file():
        raise _refused(by, name, "missing")
    return path


def _inside(folder: Path, name: object, by: str | Path) -> Path:
    if not isinstance(name, str):
        raise _refused(by, name, "not a path")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise _refused(by, name, "not a path inside its folder")
    if not name.isprintable():  # NUL ends a path for the system, half of a pair is in no file's name
        raise _refused(by, name, "not a name of a file")
    return folder / pure


def _refused(by: str | Path, name: object, why: str) -> RefusedError:
    return RefusedError(f"{by}: names {ascii(name)[:80]}: {why}")
