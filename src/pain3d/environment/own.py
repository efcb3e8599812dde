"""Knows places of one's own: a folder of panoramas, each named by the hash of its file, and their licence."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.limits import PANORAMA_BYTES
from pain3d.doors.panoramas import ENDINGS, read_panorama
from pain3d.doors.text import read_bytes
from pain3d.environment.embedded import embedded_environment
from pain3d.environment.panorama import Environment, analyse

OWN: Final = re.compile(r"own:[0-9a-f]{16}")
LICENCE_FILE: Final = "licence.txt"  # one line: an SPDX expression
LICENCE: Final = re.compile(r"[A-Za-z0-9.+() -]{1,100}")
LICENCE_BYTES: Final = 200
UNKNOWN: Final = "unknown"


class Places(NamedTuple):
    """The places of a folder: their names, in the order of names, and the licence of all of them."""

    folder: Path
    names: tuple[str, ...]
    licence: str


def open_places(folder: Path) -> Places:
    """What lies in a folder, each panorama read once: those that can't be are refused before anything is made.

    Raises:
        RefusedError: No such folder, no panorama in it, one that `read_panorama` refuses, or a licence that is no line.
    """
    names = tuple(sorted(_files(folder)))
    stated = folder / LICENCE_FILE
    licence = UNKNOWN
    if stated.exists():
        licence = read_bytes(stated, LICENCE_BYTES).decode("ascii", "replace").strip()
        if not LICENCE.fullmatch(licence):
            raise RefusedError(f"{stated}: must be one line, an SPDX expression such as CC0-1.0")
    read_places(folder, names)
    return Places(folder, names, licence)


@lru_cache(maxsize=2)
def read_places(folder: Path, names: tuple[str, ...]) -> Mapping[str, Environment]:
    """The places of a folder by name, each turned so that its key stands before the face.

    Raises:
        RefusedError: As `open_places`; or a place is no longer there.
    """
    files = _files(folder)
    missing = next((name for name in names if name not in files), None)
    if missing is not None:
        raise RefusedError(f"{folder}: {missing} is gone from it")
    return {name: _turned_to_key(name, files[name]) for name in names}


def place_of(name: str, places: Mapping[str, Environment] | None = None) -> Environment:
    """A place by name, embedded or one of `places`.

    Raises:
        ValueError: There is none of that name.
    """
    if not OWN.fullmatch(name):
        return embedded_environment(name)
    if places is None or name not in places:
        raise ValueError(f"environments must hold {name}, which the scene names")
    return places[name]


def _files(folder: Path) -> dict[str, Path]:
    """Panorama files of a folder by the names of their places."""
    if not folder.is_dir():
        raise RefusedError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not files:
        raise RefusedError(f"{folder}: holds no panorama ({' or '.join(ENDINGS)})")
    return {f"own:{hashlib.sha256(read_bytes(path, PANORAMA_BYTES)).hexdigest()[:16]}": path for path in files}


def _turned_to_key(name: str, file: Path) -> Environment:
    panorama = read_panorama(file)
    try:
        x, _, z = analyse(name, panorama).key_direction
        # Column j has the azimuth 360° · (1 - (j + 0.5) / w): to the key's own, columns move right.
        columns = round(float(np.arctan2(x, z)) / (2 * np.pi) * panorama.shape[1])
        return analyse(name, np.roll(panorama, columns, axis=1))
    except ValueError as error:
        raise RefusedError(f"{file}: {one_line(error)}") from error
