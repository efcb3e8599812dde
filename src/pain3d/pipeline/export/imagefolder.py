"""Knows how frames are written as the ``imagefolder`` of Hugging Face's `datasets`: files, and a line of JSON for each.

A folder per split holds the JPEGs, ``heatmap/`` with the heat maps (``depth/`` and ``parts/`` where the data set has
them) and ``metadata.jsonl``: every column that is no picture, ``file_name`` and ``heatmap_file_name``.
"""

from __future__ import annotations

from contextlib import ExitStack
from io import BufferedWriter
from pathlib import Path
from typing import Final

from pain3d.files import make_inside, open_new, write_new
from pain3d.pipeline.export.walk import Written, frame_name, labels_line, picture_bytes, picture_ending, walking

METADATA: Final = "metadata.jsonl"

TEXT: Final = """- `train/`, `validation/`, `test/`: the JPEGs of the data set; no identity lies in two splits.
- `metadata.jsonl` in each: every column that is no picture, and the files of those that are.

`datasets.load_dataset("imagefolder", data_dir=FOLDER)` has the pictures in {columns}.
"""


def export_imagefolder(data: Path, to: Path, quiet: bool = False) -> Written:
    """Write the frames of a finished data set as an ``imagefolder``: all of it, or nothing.

    Args:
        data: Folder of the data set.
        to: The new folder; absent or empty.
        quiet: Show no progress.

    Returns:
        How much was written.

    Raises:
        RefusedError: There is no finished data set, the destination holds something, a file of the data set can't be
            read, or a frame is not what its columns promise.
    """
    with walking(data, to, quiet) as walk, ExitStack() as files:
        lines: dict[str, BufferedWriter] = {}
        pictures, labels = walk.names("image"), walk.names()
        for row in walk.each((*pictures, *labels)):
            name, split = frame_name(row), row["split"]
            if split not in lines:
                for column in pictures:
                    make_inside(walk.folder, f"{split}/{_folder(column)}")
                lines[split] = files.enter_context(open_new(walk.folder / split / METADATA))
            told = {}
            for column in pictures:
                path = f"{_folder(column)}{name}.{picture_ending(column)}"
                write_new(walk.folder / split / path, picture_bytes(row, column))
                told["file_name" if column == "image" else f"{column}_file_name"] = path
            lines[split].write(labels_line(told | {column: row[column] for column in labels}) + b"\n")
        files.close()
        columns = ", ".join(f"`{column}`" for column in pictures)
        return walk.finish(to, "an image folder", TEXT.format(columns=columns))


def _folder(column: str) -> str:
    return "" if column == "image" else f"{column}/"
