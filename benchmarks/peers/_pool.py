"""Knows how pictures are drawn by several processes at once, each its share of a round, into memory that all see.

For peers whose renderer works in one thread (an OpenGL context belongs to a thread): a process per core is what a
careful user of them runs. Processes are started once and live for all rounds; they hold the ring of inputs and hand a
set's vertices, cameras and lights to their renderer within the round, when its number arrives.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from itertools import pairwise
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.workload import Shared, ViewSet, Workload

Pictures = npt.NDArray[np.uint8] | npt.NDArray[np.float32]  # [N, H, W, 3] bytes, or rows as asked
# Called in the process: (scene, options) -> draw; and draw(number of the set, number of the first picture, pictures).
Draw = Callable[[int, int, Pictures], None]
Maker = Callable[[SimpleNamespace, Mapping[str, Any]], Draw]


def scene_of(workload: Workload) -> SimpleNamespace:
    """The workload as arrays, without what no picture needs: `shared`, `ring` and `side`."""
    needed = ("faces", "uvs", "uv_faces", "occlusion", "textures", "background")
    kept = {field.name: field.name in needed for field in fields(Shared)}
    shared = {name: getattr(workload.shared, name).numpy() for name, wanted in kept.items() if wanted}
    ring = [
        {f.name: getattr(each, f.name).numpy() for f in fields(ViewSet) if f.name != "heat"} for each in workload.ring
    ]
    return SimpleNamespace(
        shared=SimpleNamespace(**shared), ring=[SimpleNamespace(**each) for each in ring], side=workload.size.side
    )


class Pool:
    """Processes that draw.

    Args:
        make: An importable function; called once in each process.
        workload: Its pictures are split evenly, neighbours together: they show the same mesh.
        options: For `make`.
        environment: Set in the processes before anything is imported there.
        processes: How many at most; None is one per thread that torch uses here.
        floats: Float32 numbers that a picture consists of, in a row, in the place of its bytes.
    """

    def __init__(
        self,
        make: Maker,
        workload: Workload,
        options: Mapping[str, Any],
        environment: Mapping[str, str],
        processes: int | None = None,
        floats: int | None = None,
    ) -> None:
        count, side = workload.size.batch, workload.size.side
        processes = min(processes or torch.get_num_threads(), count)
        shape, dtype = ((count, side, side, 3), np.uint8) if floats is None else ((count, floats), np.float32)
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        # Memory without a name: /dev/shm has only 64 MB in many containers.
        self._file = os.memfd_create("pictures")
        os.ftruncate(self._file, size)
        self._pictures = np.frombuffer(mmap.mmap(self._file, size), dtype).reshape(shape)
        path = f"/proc/{os.getpid()}/fd/{self._file}"
        context = multiprocessing.get_context("spawn")  # a fork would carry numba's and OpenMP's threads over, broken
        bounds = np.linspace(0, count, processes + 1).astype(int).tolist()
        self._workers = []
        scene = scene_of(workload)
        for share in pairwise(bounds):
            here, there = context.Pipe()
            given = (there, path, self._pictures.dtype, shape, share, make, scene, dict(options), dict(environment))
            process = context.Process(target=_serve, args=given, daemon=True)
            process.start()
            there.close()
            self._workers.append((process, here))
        try:
            self._wait()  # until each is ready
        except RuntimeError:
            self.close()
            raise

    def draw(self, number: int) -> Tensor:
        """Draw set `number`; the pictures stay as they are until the next call."""
        for _, connection in self._workers:
            with suppress(OSError):  # it has died: `_wait` says so
                connection.send(number)
        self._wait()
        return torch.from_numpy(self._pictures)

    def close(self) -> None:
        """End the processes."""
        for process, connection in self._workers:
            connection.close()  # the end of its work
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()
                process.join()
        self._workers = []
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _wait(self) -> None:
        for process, connection in self._workers:
            try:
                said = connection.recv()
            except (EOFError, OSError):
                process.join(timeout=10)
                raise RuntimeError(f"a drawing process ended with exit code {process.exitcode}") from None
            if said is not None:
                raise RuntimeError(f"a drawing process failed:\n{said}")


def _serve(
    connection: Connection,
    path: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    share: tuple[int, int],
    make: Maker,
    scene: SimpleNamespace,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
) -> None:
    """What a process does: get ready, then draw its share of each set whose number it is told."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        with open(path, "r+b") as file:  # noqa: PTH123  # a descriptor, not a path
            pictures = np.frombuffer(mmap.mmap(file.fileno(), 0), dtype).reshape(shape)
        draw = make(scene, options)
        while True:
            connection.send(None)
            number = connection.recv()
            draw(number, share[0], pictures[share[0] : share[1]])
    except EOFError:
        return
    except Exception:
        connection.send(traceback.format_exc())
