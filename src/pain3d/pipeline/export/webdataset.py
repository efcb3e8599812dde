"""Knows how frames are written as WebDataset: tar files whose neighbouring members of one key are a sample.

A key is the frame's name; its members are ``.jpg``, ``.heatmap.png`` (``.depth.png`` and ``.parts.png`` where the data
set has them) and ``.json``, which holds every column that is no picture. A tar file holds frames of one split.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from pain3d.files import open_new
from pain3d.pipeline.export.walk import Written, frame_name, labels_line, picture_bytes, picture_ending, walking

SHARD_FRAMES: Final = 1000  # at most in a tar file: some 50 MB at 512²

TEXT: Final = """- `train-000000.tar`, `validation-…`, `test-…`: {most} frames at most each.
- Of each frame: {members} and `.json`, every column that is no picture. The JPEG is that of the data set.

No identity lies in two splits.
"""


class TarShards:
    """The tar files of one split: ``SPLIT-000000.tar`` and so on, each closed when the next one begins."""

    def __init__(self, folder: Path, split: str, most: int) -> None:
        self._folder, self._split, self._most = folder, split, most
        self._frames = 0
        self._open = ExitStack()

    def add(self, name: str, members: dict[str, bytes]) -> None:
        """Write the members of a frame, by what follows its name and a dot."""
        if self._frames % self._most == 0:
            self._open.close()
            file = open_new(self._folder / f"{self._split}-{self._frames // self._most:06d}.tar")
            self._open.enter_context(file)
            self._tar = self._open.enter_context(tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT))
        for ending, content in members.items():
            entry = tarfile.TarInfo(f"{name}.{ending}")  # no owner, no date: the same bytes every time
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))
        self._frames += 1

    def close(self) -> None:
        """End the last file."""
        self._open.close()


def export_webdataset(data: Path, to: Path, quiet: bool = False, shard_frames: int = SHARD_FRAMES) -> Written:
    """Write the frames of a finished data set as tar files that `webdataset` reads: all of it, or nothing.

    Args:
        data: Folder of the data set.
        to: The new folder; absent or empty.
        quiet: Show no progress.
        shard_frames: Frames of a tar file, at most.

    Returns:
        How much was written.

    Raises:
        RefusedError: There is no finished data set, the destination holds something, a file of the data set can't be
            read, or a frame is not what its columns promise.
    """
    with walking(data, to, quiet) as walk, ExitStack() as files:
        shards: dict[str, TarShards] = {}
        pictures, labels = walk.names("image"), walk.names()
        endings = {c: picture_ending(c) if c == "image" else f"{c}.{picture_ending(c)}" for c in pictures}
        for row in walk.each((*pictures, *labels)):
            name, split = frame_name(row), row["split"]
            if split not in shards:
                shards[split] = TarShards(walk.folder, split, shard_frames)
                files.callback(shards[split].close)
            members = {endings[column]: picture_bytes(row, column) for column in pictures}
            shards[split].add(name, members | {"json": labels_line({column: row[column] for column in labels})})
        files.close()
        told = ", ".join(f"`.{ending}`" for ending in endings.values())
        return walk.finish(to, "WebDataset", TEXT.format(most=shard_frames, members=told))
