"""Knows the pictures of a data set that stores none: rendered from the scenes of its frames when they are asked for.

The bytes are those that ``pain3d synth`` would have stored, of the code that made the rows; other code may draw the
same scenes otherwise, which is said once, aloud. All of a person is rendered at a time, because to paint one costs as
much as several pictures, and the last people are kept, encoded.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import pairwise
from typing import Any, Final

import numpy as np

from pain3d.console.refused import RefusedError, complain, one_line, quoted
from pain3d.doors.parquet import ParquetSource
from pain3d.provenance import code_version
from pain3d.records import picture_name, sample_id
from pain3d.rendering.encoded import picture_files
from pain3d.scene import Scene

KEPT_BYTES: Final = 256 * 2**20  # of encoded pictures: 25,000 of 256 pixels


class UnstoredPictures:
    """Pictures of a data set that stores none. Safe to be asked by several threads at once.

    Who is asked for by two threads at once is rendered by one of them; other people are rendered beside.

    Args:
        frames: The files of the subset.
        columns: Which pictures are wanted: image, heatmap, frontal_heatmap, those of ``--dense``.
        resolved: The resolved configuration of the data set.
        kept_bytes: Of encoded pictures, at most; who was rendered last is kept in any case.

    Raises:
        RefusedError: A file can't be read, or the rows of a person don't follow each other.
    """

    def __init__(
        self,
        frames: Sequence[ParquetSource],
        columns: Sequence[str],
        resolved: Mapping[str, Any],
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._columns, self._most = tuple(columns), kept_bytes
        self._size, quality = resolved.get("size"), resolved.get("quality")
        if type(quality) is not int or not 1 <= quality <= 100:
            raise RefusedError(f"manifest.json: quality of resolved is {quoted(quality)}")
        self._quality = quality
        self._places: dict[int, tuple[ParquetSource, int, int]] = {}  # person → file, first row, rows
        for source in frames:
            numbers = source.read(["identity_id"])["identity_id"].to_numpy()
            borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            for first, last in pairwise(borders if len(numbers) else []):
                who = int(numbers[first])
                if who in self._places:
                    raise RefusedError(f"{source.name}: the rows of identity {who} don't follow each other")
                self._places[who] = source, first, last
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, dict[str, bytes]] = OrderedDict()  # who was seen last at the end
        self._made: dict[int, Future[dict[str, bytes]]] = {}  # who are being rendered
        self._bytes = 0

    def picture(self, identity_id: int, name: str, column: str) -> bytes:
        """An encoded picture.

        Args:
            identity_id: Whose.
            name: sample_id of the row of frames, or for a frontal_heatmap of expressions, that has it.
            column: Which one of those that are wanted.

        Raises:
            RefusedError: There is no such row, or its scenes can't be read or rendered.
        """
        files = self.person(identity_id)
        if (content := files.get(picture_name(name, column))) is None:
            raise RefusedError(f"identity {identity_id} has no scene named {quoted(name)}")
        return content

    def person(self, identity_id: int) -> dict[str, bytes]:
        """All pictures of a person by `picture_name`. Raises RefusedError as `picture` does."""
        with self._lock:
            if identity_id in self._kept:
                self._kept.move_to_end(identity_id)
                return self._kept[identity_id]
            made = self._made.get(identity_id)
            mine = made is None
            if made is None:
                made = self._made[identity_id] = Future()
        if mine:
            try:
                files = self._rendered(identity_id)
            except BaseException as error:
                made.set_exception(error)
                raise
            else:
                self._keep(identity_id, files)
                made.set_result(files)
            finally:
                with self._lock:
                    del self._made[identity_id]
        return made.result()

    def _keep(self, identity_id: int, files: dict[str, bytes]) -> None:
        with self._lock:
            self._kept[identity_id] = files
            self._bytes += _size_of(files)
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= _size_of(self._kept.popitem(last=False)[1])

    def _rendered(self, identity_id: int) -> dict[str, bytes]:
        if identity_id not in self._places:
            raise RefusedError(f"frames have no identity {identity_id}")
        source, first, last = self._places[identity_id]
        rows = source.read_rows(["sample_id", "scene"], first, last)
        names, texts = rows["sample_id"].to_pylist(), rows["scene"].to_pylist()
        try:
            scenes = [Scene.from_json(text) for text in texts]
            for name, scene in zip(names, scenes, strict=True):
                if name != (own := sample_id(scene.identity_id, scene.expression_id, scene.view_id)):
                    raise ValueError(f"the scene of {quoted(name)} is that of {own}")
                if scene.size != self._size:
                    raise ValueError(f"size is {scene.size}, the configuration says {quoted(self._size)}")
            return picture_files(scenes, self._columns, self._quality)
        except (ValueError, RecursionError) as error:
            raise RefusedError(
                f"{source.name}: identity {identity_id} can't be rendered ({one_line(error)})"
            ) from error


def say_if_redrawn(folder: object, resolved: Mapping[str, Any]) -> None:
    """Say aloud that the pictures of a data set that stores none are rendered by other code than made it."""
    if (made := resolved.get("code_version")) != code_version():
        complain(
            f"{folder}: made by other code ({quoted(made)}, this is {code_version()}); it stores no pictures, and what"
            " this code renders of its scenes may differ from what its rows were measured on"
        )


def _size_of(files: dict[str, bytes]) -> int:
    return sum(map(len, files.values()))
