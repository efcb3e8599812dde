"""Knows which maker's head a path is, by its content, and says whose it is before anything is computed."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

from pain3d.head.assets import HeadFile, HeadFileError, read_head
from pain3d.head.foreign.blendshapes import blendshape_head, missing_of, open_folder
from pain3d.head.foreign.conversion import HeadSource, head_file
from pain3d.head.foreign.flame import OPEN, Release, flame_head, flame_source, read_flame


class HeadNotice(UserWarning):
    """Whose head was loaded, under which licence, and what it lacks; one line."""


def says_foreign(path: Path) -> bool:
    """Whether a path is another maker's head: a folder, or a file that is no zip (ours are)."""
    return path.is_dir() or (path.is_file() and not zipfile.is_zipfile(path) and path.suffix.lower() != ".npz")


def load_foreign(path: Path, release: Release | None) -> tuple[HeadFile, HeadSource]:
    """Read another maker's head; nothing in its files is executed.

    Args:
        path: A FLAME pickle, ICT-FaceKit's folder, or a folder of OBJ files with a mapping file.
        release: ``"flame-2023-open"`` for that release of FLAME, whose licence is another; None for all others.

    Raises:
        HeadFileError: It is none, or is damaged; one line.
    """
    if release not in (None, OPEN):
        raise HeadFileError(f"release must be {OPEN!r} or None, got {release!r}")
    if path.is_dir():
        folder = open_folder(path)
        source = replace(folder.source, missing=missing_of(folder))
        _say(path, source)
        return head_file(blendshape_head(folder)), source
    _say(path, flame_source(release))
    made, source = flame_head(path, release)
    return head_file(made), source


def source_of(path: Path) -> HeadSource:
    """Whose head a path is, without making it: licence and what is missing. Raises HeadFileError: it is none."""
    if path.is_dir():
        folder = open_folder(path)
        return replace(folder.source, missing=missing_of(folder))
    if says_foreign(path):
        read_flame(path)
        return flame_source(None)
    return HeadSource("pain3d head file", str(read_head(path).meta.get("source", "its maker does not say")), "")


def _say(path: Path, source: HeadSource) -> None:
    warnings.warn(f"{path}: {source.says()}", HeadNotice, stacklevel=4)
