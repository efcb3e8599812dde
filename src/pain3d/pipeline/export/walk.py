"""Knows what the exports row by row share: the walk, the names and pictures of frames, README and summary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pain3d.console.interrupt import Interruptible
from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError, quoted
from pain3d.files import write_new
from pain3d.pipeline.data_set import DataSet, Row
from pain3d.pipeline.export.staging import StagedFolder, open_source, readme_fields
from pain3d.records import SPLITS, columns_of, sample_id

README_FILE: Final = "README.md"
STARTS: Final = {"jpg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}
NAMED_BY: Final = ("sample_id", "identity_id", "expression_id", "view_id", "split")  # what `frame_name` reads

README: Final = """# A pain3d data set as {form}

Synthetic faces made by pain3d {version}: no person was photographed. Not for diagnosis.
Configuration {config}, seed {seed}.

Licence of the pictures: {licences}{painted}. Labels, heat maps and shapes: {licence}.

{text}"""


@dataclass(frozen=True)
class Written:
    """What an export wrote: so many rows of a subset, in so many files, README and all."""

    to: Path
    subset: str
    rows: int
    files: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.to}: {self.rows} {self.subset} in {self.files} files, {self.bytes / 1e6:,.0f} MB"


@dataclass
class Walk:
    """An export under way.

    Attributes:
        source: The data set.
        folder: Where its files go; it gets its name when all is done.
        subset: Whose rows are exported.
        rows: So many so far.
        licences: Of the rows so far.
    """

    source: DataSet
    folder: Path
    subset: str
    _interrupt: Interruptible
    _progress: Progress
    rows: int = 0
    licences: set[str] = field(default_factory=set)

    def each(self, columns: Sequence[str]) -> Iterator[Row]:
        """The rows, a row group in memory at a time, with `columns` and the licence; Ctrl-C stops between two."""
        for row in self.again((*columns, "licence")):
            self.licences.add(row["licence"])
            yield row
            self.rows += 1
            self._progress.add(1)

    def again(self, columns: Sequence[str]) -> Iterator[Row]:
        """The same rows another time, which are not counted."""
        for row in self.source.rows(self.subset, tuple(dict.fromkeys(columns))):
            self._interrupt.check()
            yield row

    def names(self, kind: str = "") -> tuple[str, ...]:
        """Names of the subset's columns of one kind; without a kind of all that are no pictures."""
        columns = columns_of(self.subset, self.source.resolved.get("dense", ""))
        return tuple(c.name for c in columns if (c.kind == kind if kind else c.kind != "image"))

    def finish(self, to: Path, form: str, text: str) -> Written:
        """Write the README, say what there is.

        Args:
            to: The name that the folder will get.
            form: What the format is called.
            text: What lies where.
        """
        content = README.format(form=form, text=text, **readme_fields(self.source, sorted(self.licences)))
        write_new(self.folder / README_FILE, content.encode())
        files = bytes_written = 0
        for path in self.folder.rglob("*"):
            if path.is_file():
                files, bytes_written = files + 1, bytes_written + path.stat().st_size
        return Written(to, self.subset, self.rows, files, bytes_written)


@contextmanager
def walking(data: Path, to: Path, quiet: bool, subset: str = "frames") -> Iterator[Walk]:
    """An export of the rows of a subset: `to` is there when this ends without an error, and nothing of it otherwise.

    Raises:
        RefusedError: There is no finished data set, or the destination can't be one; see `open_source`.
    """
    source = open_source(data, to)
    what = "images" if subset == "frames" else subset
    with (
        Interruptible() as interrupt,
        StagedFolder(to) as folder,
        Progress(source.count(subset), quiet=quiet, what=what) as progress,
    ):
        yield Walk(source, folder, subset, interrupt, progress)


def frame_name(row: Row) -> str:
    """The name of a frame, which names its files too. Raises RefusedError if it isn't that of the row's numbers."""
    name = sample_id(row["identity_id"], row["expression_id"], row["view_id"])
    if row["sample_id"] != name:
        raise RefusedError(f"{quoted(row['sample_id'])}: its numbers give it the name {name}")
    if row["split"] not in SPLITS:
        raise RefusedError(f"{name}: split is {quoted(row['split'])}, there are {', '.join(SPLITS)}")
    return name


def picture_bytes(row: Row, column: str) -> bytes:
    """The encoded picture of a column as it is: JPEG of ``image``, PNG of others. Raises RefusedError if it is not."""
    content: bytes = row[column]["bytes"] or b""
    ending = picture_ending(column)
    if not content.startswith(STARTS[ending]):
        raise RefusedError(f"{row['sample_id']}: {column} is no {'JPEG' if ending == 'jpg' else 'PNG'}")
    return content


def picture_ending(column: str) -> str:
    """``jpg`` or ``png``."""
    return "jpg" if column == "image" else "png"


def labels_line(labels: dict[str, Any]) -> bytes:
    """Labels as one line of JSON."""
    return json.dumps(labels, separators=(",", ":")).encode()
