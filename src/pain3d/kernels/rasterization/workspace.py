"""Knows the memory that visibility on a GPU works in: how many views at once, filled when, and what if it doesn't fit.

`rasterize` and the fused `render` go through their views in chunks, in one workspace per call:

    workspace = allocate_workspace(views, vertices, faces, size, device)
    for first, last, epoch in workspace.passes(views):
        ...  # views first … last - 1: screen records, visibility, resolve
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

# Of a chunk. What stays in the second-level cache (32 MB) does not pay: on an H200 a round of 512 pictures at 512² took
# 13.4 ms in chunks of 16, 8.3 of 64, 8.1 of 128, 7.9 of 256 and in one.
BYTES = 512 << 20
EPOCHS = 128  # passes between two fills of the visibility buffer: a key has 7 bits for them
EMPTY = 2**63 - 1  # fills the visibility buffer: above every key of every epoch
RECORD = 4  # int32 per vertex and view: x, y, 1/w, spare, so that a record is one 16-byte load


class Workspace(NamedTuple):
    """Buffers for `chunk` views at a time."""

    chunk: int
    screen: Tensor  # [chunk, V, 4] int32
    keys: Tensor  # [chunk, H · W] int64, the visibility buffer
    queue: Tensor  # [1 + chunk · F] int64: a count and as many faces as there can be

    def passes(self, views: int) -> Iterator[tuple[int, int, int]]:
        """Yield (first, last, epoch) of each chunk of the views; the visibility buffer is filled where it must be."""
        for number, first in enumerate(range(0, views, self.chunk)):
            if number % EPOCHS == 0:
                self.keys.fill_(EMPTY)
            yield first, min(first + self.chunk, views), EPOCHS - 1 - number % EPOCHS


def allocate_workspace(
    views: int, vertices: int, faces: int, size: tuple[int, int], device: torch.device, chunk: int | None = None
) -> Workspace:
    """Return a workspace for as many views as fit in `BYTES`, or for `chunk` of them.

    Where the device has not enough memory left, the chunk is halved until it fits; the results are the same.

    Raises:
        torch.OutOfMemoryError: Not even one view fits.
    """
    pixels = size[0] * size[1]
    if chunk is None:
        chunk = BYTES // max(4 * RECORD * vertices + 8 * pixels + 8 * faces, 1)
    chunk = max(min(chunk, views), 1)
    while True:
        try:
            return Workspace(
                chunk,
                torch.empty(chunk, vertices, RECORD, dtype=torch.int32, device=device),
                torch.empty(chunk, pixels, dtype=torch.int64, device=device),
                torch.empty(1 + chunk * faces, dtype=torch.int64, device=device),
            )
        except torch.OutOfMemoryError:
            if chunk == 1:
                raise
        chunk //= 2
