"""Knows how arrays are read from an HDF5 file, as the one door of h5py: which are let in, and how much of them.

HDF5 can lead out of its file (external storage, virtual data sets, external and user-defined links), run a plug-in that
unpacks, unpack a kilobyte to a megabyte, and declare what nobody ever wrote. So an array is read if it lies whole in
its own file, under hard links, packed by nothing but FILTERS; its declared bytes are counted before they are read.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.limits import HDF5_BYTES, HDF5_NAMES, HDF5_TEXT_FILE_BYTES

FILTERS: Final = {1: "deflate", 2: "shuffle", 3: "fletcher32"}  # by their numbers in HDF5; these only ship with it
DEFLATE: Final = 1
MOST_INFLATED: Final = 1032  # bytes that deflate makes of one at most: zlib.net/zlib_tech.html
UNMEASURED: Final = 4 * HDF5_BYTES  # what a chunk may inflate to without a look: HDF5 doesn't stop at its declared size
STEP: Final = 1 << 20  # bytes that are inflated at a time where there is a look
MOST_ROWS: Final = HDF5_BYTES // np.dtype(np.float64).itemsize
BYTES_OF_A_WORD: Final = 64  # that a short text takes in Python
NUMBERS: Final = "biuf"  # of NumPy's kinds: no complex ones, records, dates or references


class Hdf5File:
    """An open HDF5 file; a context manager. Threads must take turns.

    Args:
        path: The file.

    Raises:
        RefusedError: It is no regular file or no HDF5, or h5py is missing. So do all methods, in one line that names
            file and array: where it isn't there, leads elsewhere, is of another type, or larger than the limits.
    """

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError as error:
            raise RefusedError(f"{path}: HDF5 is read with h5py, which is not installed: pip install h5py") from error
        if not path.is_file():
            raise RefusedError(f"{path}: not a file")
        self.path = path
        self._h5py = h5py
        self._left = HDF5_BYTES  # of what is read whole
        self._arrays: dict[str, Any] = {}
        self._measured: set[tuple[str, int]] = set()
        try:
            self._file = h5py.File(path, "r")
        except (OSError, ValueError, RuntimeError) as error:
            raise RefusedError(f"{path}: can't be read as HDF5") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def names(self, group: str = "") -> list[str]:
        """What lies in a group, the file's own by default, sorted."""
        held = self._follow(group) if group else self._file
        if not isinstance(held, self._h5py.Group):
            raise RefusedError(f"{self.path}: {group} must be a group of arrays")
        with self._telling(group or "its names"):
            if len(held) > HDF5_NAMES:
                raise RefusedError(f"{self.path}: {group or 'the file'} has {len(held)} names, {HDF5_NAMES} are read")
            return sorted(held)

    def holds(self, name: str) -> bool:
        """Whether there is an array of that name; a link out of here in its place is refused."""
        with self._telling(name):
            there = self._file.get(name, getlink=True) is not None
        return there and isinstance(self._follow(name), self._h5py.Dataset)

    def rows(self, name: str) -> tuple[int, ...]:
        """Shape of an array of numbers, whose rows are small enough for `row`."""
        array = self._array(name)
        each = math.prod(array.shape[1:]) * array.dtype.itemsize
        if array.dtype.kind not in NUMBERS or each > HDF5_BYTES:
            raise RefusedError(
                f"{self.path}: {name} has {_kind(array)} of {each} bytes a row, {HDF5_BYTES} of numbers are read"
            )
        return tuple(array.shape)

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """An array of numbers, whole, as float64."""
        array = self._array(name)
        if array.dtype.kind not in NUMBERS:
            raise RefusedError(f"{self.path}: {name} must hold numbers, got {_kind(array)}")
        self._charge(name, math.prod(array.shape) * max(array.dtype.itemsize, np.dtype(np.float64).itemsize))
        self._measure(name, array, 0, array.shape[0])
        with self._telling(name):
            return np.asarray(array[:], np.float64)

    def words(self, name: str) -> list[str]:
        """An array [N] of texts or whole numbers, as texts."""
        array = self._array(name)
        free = array.dtype.kind == "O" and self._h5py.check_string_dtype(array.dtype) is not None
        if len(array.shape) != 1 or not (free or array.dtype.kind in "Siu"):
            raise RefusedError(
                f"{self.path}: {name} must be a list of names, got {_kind(array)} of shape {list(array.shape)}"
            )
        self._charge(name, array.shape[0] * max(array.dtype.itemsize, BYTES_OF_A_WORD))
        self._measure(name, array, 0, array.shape[0])
        held: list[Any] = []
        step = self._texts_at_once(name, array) if free else max(1, array.shape[0])
        for start in range(0, array.shape[0], step):
            with self._telling(name):
                part = list(array[start : start + step])
            if free:
                self._charge(name, sum(map(len, part)))
            held += part
        return [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in held]

    def row(self, name: str, place: int) -> npt.NDArray[Any]:
        """One row of an array of numbers, as it is stored.

        Raises:
            IndexError: The array has fewer rows.
        """
        if not 0 <= place < self.rows(name)[0]:
            raise IndexError(place)
        array = self._array(name)
        self._measure(name, array, place, place + 1)
        with self._telling(f"{name} row {place}"):
            return np.asarray(array[place])

    def _follow(self, name: str) -> Any:
        """What lies under a name, by hard links alone."""
        held: Any = self._file
        for part in name.split("/"):
            with self._telling(name):
                link = held.get(part, getlink=True) if isinstance(held, self._h5py.Group) else None
            if link is None:
                raise RefusedError(f"{self.path}: has no {name}")
            if not isinstance(link, self._h5py.HardLink):
                raise RefusedError(f"{self.path}: {name} is a link, and none is followed: keep the array itself")
            with self._telling(name):
                held = held[part]
        return held

    def _array(self, name: str) -> Any:
        """An array that lies whole in this file."""
        if name not in self._arrays:
            array = self._follow(name)
            if not isinstance(array, self._h5py.Dataset):
                raise RefusedError(f"{self.path}: {name} must be an array, got a {type(array).__name__.lower()}")
            with self._telling(name):
                self._check(name, array)
            self._arrays[name] = array
        return self._arrays[name]

    def _check(self, name: str, array: Any) -> None:
        stored = self._h5py.h5d
        array.dtype  # noqa: B018  # raises where NumPy has no such type
        plan = array.id.get_create_plist()
        if plan.get_external_count() or plan.get_layout() == stored.VIRTUAL:
            raise RefusedError(f"{self.path}: {name} lies in other files, and none is followed: keep the array itself")
        if not array.shape:
            raise RefusedError(f"{self.path}: {name} must have rows, got a single value or none")
        if array.shape[0] > MOST_ROWS:
            raise RefusedError(f"{self.path}: {name} has {array.shape[0]} rows, {MOST_ROWS} are read")
        filters = [plan.get_filter(place)[0] for place in range(plan.get_nfilters())]
        if not set(filters) <= FILTERS.keys() or filters.count(DEFLATE) > 1:
            names = ", ".join(FILTERS.get(number, f"filter {number}") for number in filters)
            raise RefusedError(f"{self.path}: {name} is packed by {names}; deflate once is read: h5repack -f GZIP=4")
        declared = math.prod(array.shape) * array.id.get_type().get_size()
        if plan.get_layout() != stored.CHUNKED:
            if array.id.get_storage_size() < declared:
                raise RefusedError(f"{self.path}: {name} was never written, it holds nothing")
            return
        if math.prod(array.chunks) * array.dtype.itemsize > HDF5_BYTES:
            raise RefusedError(f"{self.path}: {name} has chunks {list(array.chunks)}, {HDF5_BYTES} bytes each are read")
        parts = math.prod(-(-side // chunk) for side, chunk in zip(array.shape, array.chunks, strict=True))
        if (written := array.id.get_num_chunks()) < parts:
            raise RefusedError(f"{self.path}: {name} was never written whole, {written} of its {parts} chunks are here")

    def _measure(self, name: str, array: Any, start: int, stop: int) -> None:
        """See that no chunk of these rows unpacks to much more than it says."""
        if array.compression is None or 0 in array.shape:
            return
        sides = array.chunks
        for block in range(start // sides[0], -(-stop // sides[0])):
            if (name, block) in self._measured:
                continue
            others = (range(0, side, chunk) for side, chunk in zip(array.shape[1:], sides[1:], strict=True))
            for corner in itertools.product((block * sides[0],), *others):
                with self._telling(name):
                    self._measure_chunk(name, array, corner)
            self._measured.add((name, block))

    def _measure_chunk(self, name: str, array: Any, corner: tuple[int, ...]) -> None:
        packed = array.id.get_chunk_info_by_coord(corner).size
        if packed * MOST_INFLATED <= UNMEASURED:
            return
        if packed > HDF5_BYTES or any(size > UNMEASURED for size in _inflated(array.id.read_direct_chunk(corner)[1])):
            raise RefusedError(f"{self.path}: {name} unpacks to more than {UNMEASURED} bytes, at {list(corner)}")

    def _charge(self, name: str, size: int) -> None:
        if size > self._left:
            raise RefusedError(
                f"{self.path}: {name} has {size} bytes; of all that is read whole {HDF5_BYTES} bytes are read"
            )
        self._left -= size

    def _texts_at_once(self, name: str, array: Any) -> int:
        """How many texts of free length may be read at once: they lie apart from their array, which says where.

        Any number of them may be the same long one. An array in one piece tells their lengths, in the first four of
        the bytes that it has of each (HDF5 file format, global heap ID); another's may each be as long as the file.
        """
        start, count = array.id.get_offset(), int(array.shape[0])
        if start is not None and count:
            kind = np.dtype([("length", "<u4"), ("place", f"V{array.id.get_type().get_size() - 4}")])
            lengths = np.fromfile(self.path, kind, count, offset=start)["length"]
            if len(lengths) == count and int(lengths.sum(dtype=np.int64)) <= self._left:
                return count
        size = self.path.stat().st_size
        if size > HDF5_TEXT_FILE_BYTES:
            raise RefusedError(
                f"{self.path}: {name} is text of free length in a file of {size} bytes, up to {HDF5_TEXT_FILE_BYTES} "
                "are read: keep it apart from pictures"
            )
        return max(1, HDF5_BYTES // size)

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """All that h5py raises of a damaged file becomes a line."""
        try:
            yield
        except RefusedError:  # a ValueError, too
            raise
        except (OSError, ValueError, RuntimeError, LookupError, TypeError, ArithmeticError) as error:
            raise RefusedError(f"{self.path}: {what} can't be read ({one_line(error)})") from error


def _inflated(packed: bytes) -> Iterator[int]:
    """How many bytes have come of a stream so far, time and again; a damaged one ends where the damage is."""
    stream = zlib.decompressobj()
    size = 0
    while packed and not stream.eof:
        try:
            size += len(stream.decompress(packed, STEP))
        except zlib.error:
            return  # HDF5 stops there, too
        packed = stream.unconsumed_tail
        yield size


def _kind(array: Any) -> str:
    return "text, records or references" if array.dtype.kind in "OV" else f"{array.dtype}"
