"""Knows where decoded face crops are kept: in memory as far as the budget reaches, decoded again beyond it.

What is kept first stays. Training asks for everything once an epoch in another order: a store that dropped the oldest
would drop each crop just before it is asked for again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.face.square import cut
from pain3d.training.data.samples import Rows, Samples

Crop = npt.NDArray[np.uint8]
THREADS = min(4, os.cpu_count() or 1)


class CropStore:
    """Face crops of samples, as bytes that are the same whether they were kept or decoded anew. Thread-safe.

    Args:
        samples: Whose pictures.
        side: Pixels a side of a crop; see `crop_side`.
        cache_mb: Megabytes (2²⁰ bytes) of crops that are kept at most.
        heatmaps: Whether heat maps will be asked for too: they share the budget.
    """

    def __init__(self, samples: Samples, side: int, *, cache_mb: int = 2048, heatmaps: bool = False) -> None:
        self.samples = samples
        self.side = side
        self.has_heatmaps = heatmaps
        room = cache_mb * 2**20 // (side * side * (4 if heatmaps else 3))
        self._workers = ThreadPoolExecutor(THREADS, thread_name_prefix="crops")
        self._images = _Shelf(len(samples), room, (side, side, 3), self._image, self._workers)
        self._heatmaps = _Shelf(len(samples), room if heatmaps else 0, (side, side), self._heatmap, self._workers)

    def images(self, rows: npt.ArrayLike) -> Crop:
        """Crops of pictures, [n, side, side, 3] RGB.

        Raises:
            RefusedError: A picture can't be read; names it.
        """
        return self._images.take(np.asarray(rows, np.int64))

    def heatmaps(self, rows: npt.ArrayLike) -> Crop:
        """The same crops of heat maps, [n, side, side] in levels of `records.HEATMAP_UNIT_MM`.

        Raises:
            RefusedError: A heat map can't be read, or there is none.
        """
        return self._heatmaps.take(np.asarray(rows, np.int64))

    def _image(self, row: int) -> Crop:
        return self._cut(self.samples.pixels.picture(row), row)

    def _heatmap(self, row: int) -> Crop:
        levels = self.samples.pixels.heatmap(row)
        if levels is None:
            raise RefusedError(f"{self.samples.name}: {self.samples.ids[row]} has no heat map")
        return self._cut(levels, row)

    def _cut(self, picture: Crop, row: int) -> Crop:
        x, y, side = (float(number) for number in self.samples.square[row])
        if np.isnan(side):  # the whole picture; what is longer decides, so that nothing of it is lost
            height, width = picture.shape[:2]
            x, y, side = width / 2, height / 2, max(width, height)
        return cut(picture, x, y, side, self.side)


class _Shelf:
    """Arrays of one shape by row: made on demand, kept while there is room."""

    def __init__(
        self, count: int, room: int, shape: tuple[int, ...], make: Callable[[int], Crop], workers: ThreadPoolExecutor
    ) -> None:
        self._kept = np.empty((min(room, count), *shape), np.uint8)  # the system gives memory as it is written
        self._place = np.full(count, -1, np.int64)  # of each row among the kept
        self._filled = 0
        self._make = make
        self._workers = workers
        self._lock = threading.Lock()

    def take(self, rows: Rows) -> Crop:
        """The arrays of some rows, [n, ...]."""
        out = np.empty((len(rows), *self._kept.shape[1:]), np.uint8)
        place = self._place[rows]
        have = place >= 0
        out[have] = self._kept[place[have]]
        missing, where = np.unique(rows[~have], return_inverse=True)
        if len(missing):
            order = _dealt(len(missing))
            made = np.empty((len(missing), *out.shape[1:]), np.uint8)
            made[order] = np.stack(list(self._workers.map(self._make, missing[order].tolist())))
            out[~have] = made[where]
            self._keep(missing, made)
        return out

    def _keep(self, rows: Rows, made: Crop) -> None:
        with self._lock:
            new = np.flatnonzero(self._place[rows] < 0)[: len(self._kept) - self._filled]
            places = np.arange(self._filled, self._filled + len(new))
            self._kept[places] = made[new]
            self._place[rows[new]] = places  # last: who sees the place finds the crop
            self._filled += len(new)


def _dealt(count: int) -> Rows:
    """Places of so many rows, so that threads that take one after the other begin far apart.

    Neighbours are of one person: where pictures aren't stored, one thread renders them and the others would wait.
    """
    return np.argsort(np.arange(count) % -(-count // THREADS), kind="stable")
