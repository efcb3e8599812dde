"""Knows how to read an OBJ that somebody else wrote: places, faces of any number of corners, texture coordinates.

Everything else in the file is passed over: materials are never opened. What can't be read is refused by its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import quoted
from pain3d.head.assets import HeadFileError

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
MAX_BYTES = 64 * 2**20  # ICT-FaceKit's are under 3 MB
MAX_VERTICES = 200_000
MAX_CORNERS = 64  # of one face


@dataclass(frozen=True)
class WavefrontMesh:
    """What an OBJ says: places [V, 3] in its own unit, triangles [F, 3], and uvs [T, 2] with [F, 3], or None."""

    places: Floats
    faces: Indices
    uvs: Floats | None
    uv_faces: Indices | None


def read_places(path: Path) -> Floats:
    """The places [V, 3] of an OBJ alone, as shapes need them. Raises HeadFileError, naming the line."""
    return _numbers(path, _lines(path), b"v", 3)


def read_obj(path: Path) -> WavefrontMesh:
    """Read an OBJ; a face of more than three corners becomes a fan. Raises HeadFileError, naming the line."""
    lines = _lines(path)
    places, uvs = _numbers(path, lines, b"v", 3), _numbers(path, lines, b"vt", 2)
    seen = seen_uvs = 0
    faces: list[tuple[int, int, int]] = []
    uv_faces: list[tuple[int, int, int]] = []
    for number, line in enumerate(lines, 1):
        if line.startswith(b"v "):
            seen += 1
        elif line.startswith(b"vt "):
            seen_uvs += 1
        elif line.startswith(b"f "):
            corners = line.split()[1:]
            if not 3 <= len(corners) <= MAX_CORNERS:
                raise HeadFileError(f"{path}:{number}: a face of {len(corners)} corners")
            words = [corner.split(b"/") for corner in corners]
            place = [_index(path, number, word[0], seen, len(places)) for word in words]
            faces += [(place[0], place[k], place[k + 1]) for k in range(1, len(place) - 1)]
            if all(len(word) > 1 and word[1] for word in words):
                uv = [_index(path, number, word[1], seen_uvs, len(uvs)) for word in words]
                uv_faces += [(uv[0], uv[k], uv[k + 1]) for k in range(1, len(uv) - 1)]
    if not faces:
        raise HeadFileError(f"{path}: no face in it")
    mapped = len(uv_faces) == len(faces) and uvs.min() >= 0 and uvs.max() <= 1
    return WavefrontMesh(places, np.array(faces), uvs if mapped else None, np.array(uv_faces) if mapped else None)


def _lines(path: Path) -> list[bytes]:
    if not path.is_file():
        raise HeadFileError(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise HeadFileError(f"{path}: larger than the {MAX_BYTES >> 20} MB an OBJ of a head may take")
    content = path.read_bytes()
    if content.lstrip()[:1] == b"<":
        raise HeadFileError(f"{path}: a web page, not an OBJ")
    if content.startswith(b"version https://git-lfs"):
        raise HeadFileError(f"{path}: a Git LFS pointer, not an OBJ: run git lfs pull")
    return content.splitlines()


def _numbers(path: Path, lines: list[bytes], word: bytes, width: int) -> Floats:
    """The first numbers [N, width] of the lines that begin with a word."""
    start = word + b" "
    chosen = [line for line in lines if line.startswith(start)]
    if len(chosen) > MAX_VERTICES:
        raise HeadFileError(f"{path}: {len(chosen)} lines of {word.decode()}, more than a head has")
    try:
        found = np.array([line.split(None, width + 1)[1 : width + 1] for line in chosen], dtype="S32").astype(
            np.float64
        )
        if found.size == len(chosen) * width and np.isfinite(found).all():
            return found.reshape(-1, width)
    except ValueError:
        pass  # one of them is no row of numbers: it is named below
    for number, line in enumerate(lines, 1):
        if line.startswith(start):
            try:
                row = [float(part) for part in line.split(None, width + 1)[1 : width + 1]]
            except ValueError:
                row = []
            if len(row) != width or not np.isfinite(row).all():
                raise HeadFileError(f"{path}:{number}: {word.decode()} needs {width} finite numbers")
    raise HeadFileError(f"{path}: {word.decode()} lines can't be read")


def _index(path: Path, line: int, text: bytes, seen: int, count: int) -> int:
    """A corner's index from 0; negative ones count back from the lines above."""
    try:
        number = int(text)
    except ValueError:
        raise HeadFileError(f"{path}:{line}: {text[:20]!r} is no index") from None
    index = number - 1 if number > 0 else seen + number
    if number == 0 or not 0 <= index < count:
        raise HeadFileError(f"{path}:{line}: index {quoted(number)} of {count}")
    return index
