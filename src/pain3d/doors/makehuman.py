"""Knows how MakeHuman's assets of strangers are read: folders and zips, materials (.mhmat) and bindings (.mhclo).

Nothing is unpacked: a member of a zip is read into memory, within its limit, and no name leads out of a folder.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError, one_line, quoted
from pain3d.doors.limits import ASSET_BYTES, ASSET_FILES, ASSET_TEXT_BYTES
from pain3d.doors.text import read_bytes

CC0_SAID: Final = ("released as CC0", "CC0 1.0 Universal")  # in an asset's head; in a licence's text
CC0: Final = "CC0-1.0"
AXES: Final = ("x_scale", "y_scale", "z_scale")
BASE_VERTICES: Final = 19158  # of hm08
FURTHEST_NUMBER: Final = 1e5


class Collection:
    """The files of a folder or of a zip, by names with ``/`` between folders; of `open_collection`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile | None) -> None:
        self.path, self._archive = path, archive
        found = sorted(_members(path, archive) if archive is not None else _files(path))
        self.names: Final = tuple(found)

    def read(self, name: str, most: int = ASSET_BYTES) -> bytes:
        """The bytes of a file. Raises RefusedError: larger than `most`, damaged, or the disk fails."""
        if self._archive is None:
            return read_bytes(self.path / name, most)
        told = f"{self.path}: {shown(name)}"
        try:
            with self._archive.open(name) as member:
                content = member.read(most + 1)
        except Exception as error:  # zlib, bz2 and lzma have errors of their own
            raise RefusedError(f"{told}: damaged ({one_line(error)})") from error
        if len(content) > most:
            raise RefusedError(f"{told}: larger than {most} bytes")
        return content

    def text(self, name: str) -> str:
        """A small text; what is no UTF-8 in it is replaced."""
        return self.read(name, ASSET_TEXT_BYTES).decode("utf-8-sig", "replace")

    def beside(self, name: str, wanted: str) -> str:
        """The name of a file that another names: one of its own folder. Raises RefusedError: there is none."""
        found = str(PurePosixPath(name).parent / wanted)
        if found not in self.names:
            raise RefusedError(f"{self.path}: {shown(name)} names {quoted(wanted)}, which is not beside it")
        return found


@contextmanager
def open_collection(path: Path) -> Iterator[Collection]:
    """A folder, or a zip, of assets.

    Raises:
        RefusedError: Neither, damaged, or more than ASSET_FILES files.
    """
    try:
        if path.is_dir():
            yield Collection(path, None)
            return
        if not stat.S_ISREG(path.stat().st_mode):
            raise RefusedError(f"{path}: neither a folder nor a zip")
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError(f"{path}: neither a folder nor a zip ({one_line(error)})") from error
    with archive:
        yield Collection(path, archive)


class Material(NamedTuple):
    """What is used of a .mhmat: its name, the file name of its picture (empty: none), and whether it says CC0."""

    name: str
    picture: str
    cc0: bool


def parse_material(text: str) -> Material:
    """A material: lines of a word and its values; others than those that are used here are passed over."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word in ("name", "diffuseTexture") and word not in said:
            said[word] = rest.strip()
    return Material(said.get("name", ""), said.get("diffuseTexture", ""), says_cc0(text))


def says_cc0(text: str) -> bool:
    """Whether a text says that what it is of is CC0."""
    return any(words in text for words in CC0_SAID)


def shown(name: str) -> str:
    """A name of a stranger's file as a message tells it."""
    return ascii(name)[1:-1][:80]


def _files(folder: Path) -> Iterator[str]:
    count = 0
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in files:
            path = Path(place) / name
            count += 1
            _check_count(folder, count)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix()


def _members(path: Path, archive: zipfile.ZipFile) -> list[str]:
    entries = archive.infolist()
    _check_count(path, len(entries))
    names = [entry.filename for entry in entries if not entry.is_dir()]
    if len(names) != len(set(names)):
        raise RefusedError(f"{path}: two files of one name")
    return names


def _check_count(path: Path, count: int) -> None:
    if count > ASSET_FILES:
        raise RefusedError(f"{path}: more than {ASSET_FILES} files")


class Binding(NamedTuple):
    """What a .mhclo says: how N vertices of an item hang on the base mesh hm08.

    Attributes:
        name: Of the item.
        mesh: File name of its OBJ; material: of its .mhmat, or empty.
        corners: [N, 3] numbers of vertices of the base mesh.
        shares: [N, 3] of each corner; they need not lie in 0–1.
        offsets: [N, 3] decimetres, times the scale of each axis.
        scales: Of x, y and z: two vertices, and their distance along the axis on which offsets are 1.
        cc0: Whether the file says that it is CC0.
    """

    name: str
    mesh: str
    material: str
    corners: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]
    scales: tuple[tuple[int, int, float], ...]
    cc0: bool


def parse_binding(text: str, name: str) -> Binding:
    """A binding of MakeHuman: rows of three vertices, three weights and three offsets, or of one vertex alone.

    Args:
        text: Of the file.
        name: What an error calls it.

    Raises:
        RefusedError: A line that is no such row, another base mesh, or no row, mesh or scale; names the line.
    """
    said: dict[str, str] = {}
    scales: dict[str, tuple[int, int, float]] = {}
    rows: list[tuple[float, ...]] = []
    reading = False
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith(("#", "//")):
            continue
        key = words[0]
        if reading and (key.isdigit() or key.startswith("-")):
            rows.append(_row(words, f"{name}:{number}"))
        elif key == "verts":
            reading = True
        elif key in ("weights", "delete_verts"):
            reading = False
        elif key in AXES:
            a, b, length = _row([*words[1:4], *["0"] * 6], f"{name}:{number}")[:3] if len(words) == 4 else (0, 0, 0)
            if not length > 0:
                raise RefusedError(f"{name}:{number}: {key} needs two vertices and a distance above 0")
            scales[key] = (int(a), int(b), length)
        else:
            said.setdefault(key, " ".join(words[1:]))
    if said.get("basemesh", "hm08") != "hm08":
        raise RefusedError(f"{name}: made for the base mesh {quoted(said['basemesh'])}, ours is of hm08")
    missing = [key for key in AXES if key not in scales] + ([] if said.get("obj_file") else ["obj_file"])
    if missing or not rows:
        raise RefusedError(f"{name}: no {missing[0] if missing else 'row of vertices'} in it")
    table = np.array(rows)
    corners = table[:, :3]
    if (corners != np.floor(corners)).any() or corners.min() < 0 or corners.max() >= BASE_VERTICES:
        raise RefusedError(f"{name}: a vertex that the base mesh hm08 has not")
    return Binding(
        said.get("name", ""), said["obj_file"], said.get("material", ""), corners.astype(np.int64), table[:, 3:6],
        table[:, 6:], tuple(scales[key] for key in AXES), says_cc0(text),
    )  # fmt: skip


def _row(words: list[str], where: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:
        numbers = ()
    if len(numbers) == 1:
        numbers = (numbers[0],) * 3 + (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    if len(numbers) != 9 or not np.isfinite(numbers).all() or np.abs(numbers).max() > FURTHEST_NUMBER:
        raise RefusedError(f"{where}: a row needs 1 or 9 finite numbers")
    return numbers
