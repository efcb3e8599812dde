"""Knows how rows of a data set without pictures get them: rendered while they are read, as many people as cores."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, Final

from pain3d.console.refused import RefusedError, one_line, quoted
from pain3d.doors.parquet import ParquetSource
from pain3d.pipeline.workers import limited_threads
from pain3d.ranks import launched_ranks
from pain3d.records import columns_of, picture_name, sample_id
from pain3d.scene import Scene
from pain3d.unstored import UnstoredPictures

NAMED_BY: Final = {
    "frames": ("identity_id", "sample_id"),
    "pairs": ("identity_id", "sample_id", "view_id"),
    "expressions": ("identity_id", "sample_id"),
    "identities": ("identity_id", "scene"),
}  # columns that say whose the pictures of a row are
NEUTRAL: Final = "neutral_image"
Row = dict[str, Any]


class RenderedRows:
    """Puts pictures into the rows of a subset.

    Args:
        frames: The files of frames, of which scenes are read.
        subset: Whose rows.
        columns: What a row is to hold, pictures among it.
        resolved: The resolved configuration of the data set.

    Attributes:
        stored: Columns that are read for it; those of pictures aren't among them.
    """

    def __init__(
        self, frames: Sequence[ParquetSource], subset: str, columns: Sequence[str], resolved: Mapping[str, Any]
    ) -> None:
        kinds = {column.name: column.kind for column in columns_of(subset, str(resolved.get("dense", "")))}
        self._subset, self._columns = subset, tuple(columns)
        self._wanted = [name for name in columns if kinds[name] == "image"]
        others = [name for name in columns if name not in self._wanted]
        self.stored = tuple(dict.fromkeys([*others, *NAMED_BY[subset]]))
        asked = dict.fromkeys("image" if name == NEUTRAL else name for name in self._wanted)
        self._pictures = UnstoredPictures(frames, tuple(asked), resolved)

    def filled(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Rows that have the columns of `stored`, in order, with what is asked for; people are rendered ahead.

        Raises:
            RefusedError: The scenes of a row can't be read or rendered.
        """
        people = [(who, list(own)) for who, own in groupby(rows, lambda row: int(row["identity_id"]))]
        cores = launched_ranks().cores()
        with limited_threads(1):
            pool = ThreadPoolExecutor(cores, "unstored")
            try:
                waiting = deque(pool.submit(self._pictures.person, who) for who, _ in people[:cores])
                for place, (_, own) in enumerate(people, cores):
                    files = waiting.popleft().result()
                    waiting.extend(pool.submit(self._pictures.person, who) for who, _ in people[place : place + 1])
                    for row in own:
                        pictures = {name: self._file(row, name, files) for name in self._wanted}
                        yield {name: pictures[name] if name in pictures else row[name] for name in self._columns}
            finally:
                pool.shutdown(cancel_futures=True)

    def _file(self, row: Row, column: str, files: dict[str, bytes]) -> dict[str, Any]:
        """One picture of a row, as Hugging Face's ``Image`` has it."""
        if column == NEUTRAL:
            name, column = sample_id(row["identity_id"], 0, row["view_id"]), "image"
        elif self._subset == "identities":
            try:
                scene = Scene.from_json(row["scene"])
            except ValueError as error:
                raise RefusedError(
                    f"identity {row['identity_id']}: its scene can't be read ({one_line(error)})"
                ) from error
            name = sample_id(scene.identity_id, scene.expression_id, scene.view_id)
        else:
            name = row["sample_id"]
        path = picture_name(name, column)
        if path not in files:
            raise RefusedError(f"identity {row['identity_id']}: no frame is named {quoted(name)}")
        return {"bytes": files[path], "path": path}
