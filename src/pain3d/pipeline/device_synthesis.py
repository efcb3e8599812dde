"""Knows how identities are made on a device, many at a time, in stages that overlap.

    draw → render → copy → encode → write

Scenes are drawn ahead by other processes, which take seconds to start: a thread draws the first batch, and all where a
run is too short for them. One thread asks the device for the pictures of a batch of identities, and for their copies
into pinned memory: it waits for neither, so the device has its next batch before it has ended one. Encoders on a thread
per core wait for the copy of theirs; the caller writes. A few batches are in flight, so memory doesn't grow with the
data set.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Final

import torch
from torch import Tensor

from pain3d.child_processes import process_pool, refuse_broken
from pain3d.console.interrupt import unheard_by_children
from pain3d.console.refused import RefusedError, complain, one_line
from pain3d.head import Head
from pain3d.kernels._backend import answered_as_on_gpu
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.painted import Decorated
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.rows import Provenance
from pain3d.pipeline.synthesis import (
    EncodedIdentity,
    PreparedIdentity,
    decorate,
    encode_identity,
    prepare_identity,
    split_pixels,
)
from pain3d.pipeline.workers import KILLED, limit_threads, limited_threads, load_meanwhile
from pain3d.rendering.encoded import pixels_of
from pain3d.skin import SurfaceMaps, surface_maps

AT_A_TIME: Final = 32  # identities: fewer are asked for more often, and painting more of them took over 10 GB
FIRST: Final = 16  # identities of the first batch; Triton compiles anew for a number that isn't a multiple of 16
AHEAD: Final = 2  # batches beside the one that is written: one is encoded while the device makes the next
BUFFERS: Final = 2  # of pinned memory, each for a batch: one is encoded while the other is filled
LARGE: Final = ("image", "heatmap", "frontal_heatmap", "depth", "parts")  # what they hold
WORTH_DRAWERS: Final = 64  # identities from which it pays to start processes: each takes 5 s of a core until it draws


@dataclass(frozen=True)
class Batch:
    """What the encoders are told of a batch: its CUDA events, None without CUDA, and the seconds it took to ask."""

    begun: Any
    ended: Any
    copied: Any
    launched: dict[str, float]


class DeviceBatches:
    """Renders batches of identities on one device and hands them to the encoders.

    Args:
        device: A CUDA device; or the CPU, where Triton's interpreter then runs its kernels.
        encoders: Where pictures are encoded.
        at_a_time: Identities; halved when the device has no memory for them.
    """

    def __init__(self, device: torch.device, encoders: Executor, at_a_time: int) -> None:
        from pain3d.rendering.frames import render_setup

        self._device, self._encoders, self._at_a_time = device, encoders, at_a_time
        self._cuda = device.type == "cuda"
        self._buffers: SimpleQueue[dict[str, Tensor]] = SimpleQueue()
        self._made = 0  # of them
        self._copies = torch.cuda.Stream(device) if self._cuda else None  # type: ignore[no-untyped-call]
        self._setup = render_setup(Head.default(), device)

    def make(self, drawn: Sequence[Future[PreparedIdentity]]) -> list[Future[EncodedIdentity]]:
        """Ask for a batch, at most as many identities at a time as there is memory for."""
        people = [one.result() for one in drawn]
        futures: list[Future[EncodedIdentity]] = []
        while people:
            batch = people[: self._at_a_time]
            made = self._try(batch)
            if made is None:  # here and not where it was caught: the error held what was allocated
                self._at_a_time = len(batch) // 2
                torch.cuda.empty_cache()
                complain(f"{self._device} has no memory for {len(batch)} identities at a time, now {self._at_a_time}")
                continue
            futures += made
            people = people[len(batch) :]
        return futures

    def _try(self, batch: list[PreparedIdentity]) -> list[Future[EncodedIdentity]] | None:
        """The batch, or None where the device has no memory for so many."""
        try:
            return self._render(batch)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise RefusedError(
                    f"{self._device} has no memory for the pictures of one identity; published shards are kept"
                ) from error
            return None

    def _render(self, batch: list[PreparedIdentity]) -> list[Future[EncodedIdentity]]:
        from pain3d.rendering.frames import Clock, render_people

        painting = time.perf_counter()
        decorated = [decorate(one) for one in batch]
        clock, started = Clock(), time.perf_counter()
        plates = {} if batch[0].commission is None else {"plates": started - painting}
        with self._on_device():
            begun = self._mark()
            pixels = pixels_of(
                render_people([one.inputs for one in decorated], self._setup, clock, dense=batch[0].dense)
            )
            ended = self._mark()
            asked = time.perf_counter() - started
            buffers, host, copied = self._copy(pixels)
        laps = {f"launch/{name}": seconds for name, seconds in clock.laps.items()}
        told = Batch(begun, ended, copied, {"launch": asked, **laps, **plates})
        parts = split_pixels(host, batch)
        futures = [
            self._encoders.submit(self._finish, told if number == 0 else replace(told, launched={}), *each)
            for number, each in enumerate(zip(batch, decorated, parts, strict=True))
        ]
        if buffers:
            ended_ones = itertools.count(1)  # a number for each, whoever asks at once
            for future in futures:
                future.add_done_callback(lambda _: self._give_back(buffers, next(ended_ones) == len(futures)))
        return futures

    def _finish(
        self, batch: Batch, one: PreparedIdentity, decorated: Decorated, part: dict[str, Tensor]
    ) -> EncodedIdentity:
        """Encode an identity once its pixels are there; the first of a batch tells of the batch."""
        seconds = dict(batch.launched)
        if batch.copied is not None:
            batch.copied.synchronize()
        if seconds:
            seconds["device"] = batch.begun.elapsed_time(batch.ended) / 1000 if self._cuda else seconds["launch"]
        return encode_identity(one, decorated, part, self._setup, seconds)

    def _mark(self) -> Any:
        if not self._cuda:
            return None
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _copy(self, pixels: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor], Any]:
        """Pinned buffers, the pixels in them, and what to wait for before they are read.

        The copy goes on beside the next batch's work. What is small has memory of its own: rows keep it.
        """
        if self._copies is None:
            return {}, pixels, None
        buffers = self._buffers.get() if self._made >= BUFFERS else {}
        self._made += not buffers
        self._copies.wait_stream(torch.cuda.current_stream())
        host: dict[str, Tensor] = {}
        with torch.cuda.stream(self._copies):
            for name, tensor in pixels.items():
                if name in LARGE:
                    if len(buffers.get(name, ())) < len(tensor):
                        buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                    host[name] = buffers[name][: len(tensor)].copy_(tensor, non_blocking=True)
                else:  # pinned too: the thread would wait for a copy into other memory
                    here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                    host[name] = here.copy_(tensor, non_blocking=True)
                tensor.record_stream(self._copies)  # its memory is not given to others before
            copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            copied.record()
        return buffers, host, copied

    def _give_back(self, buffers: dict[str, Tensor], last: bool) -> None:
        if last:
            self._buffers.put(buffers)

    def _on_device(self) -> AbstractContextManager[object]:
        return torch.cuda.device(self._device) if self._cuda else answered_as_on_gpu()


def synthesise_on(
    device: torch.device,
    config: SynthConfig,
    people: Sequence[PlannedIdentity],
    provenance: Provenance,
    cores: int,
    lanes: dict[str, int],
) -> Generator[EncodedIdentity, None, None]:
    """Make identities on a device, ``config.batch_size`` at a time, or one where somebody paints what stands behind.

    Plates are as large as pictures, and their painter takes longer than all else: more identities at a time would hold
    up memory, and whoever waits for them, for nothing. They are yielded in order.

    Args:
        device: A CUDA device, or the CPU in Triton's interpreter.
        config: A checked configuration.
        people: Whom.
        provenance: What every row says of its making.
        cores: Threads that encode.
        lanes: Is told how many of each stage work beside each other.

    Raises:
        RefusedError: The device failed, or has no memory for one identity; or a process that draws was killed.
        BaseException: The first error of any stage; what was waiting is cancelled, what is running ends first.
    """
    alone = any(person.behind is not None for person in people)
    size = 1 if alone else config.batch_size or AT_A_TIME
    first = 1 if alone else config.batch_size or FIRST
    batches = [people[:first], *(people[start : start + size] for start in range(first, len(people), size))]
    # An identity of 33 pictures takes a core 0.1 s to draw, and as long to encode.
    drawers = config.processes or (max(1, cores // 2) if len(people) >= WORTH_DRAWERS else 1)
    lanes |= {"sample": drawers, "plates": 1, "launch": 1, "device": 1, "encode": cores, "rows": cores}
    encoders = ThreadPoolExecutor(cores, "encode")
    asking = ThreadPoolExecutor(1, "device")
    drawing = ThreadPoolExecutor(1, "draw")
    beside: Executor = drawing
    if drawers > 1:
        beside = process_pool(drawers, limit_threads, 1)
    waiting: deque[Future[list[Future[EncodedIdentity]]]] = deque()
    with limited_threads(1):
        try:
            if drawers > 1:
                with unheard_by_children():  # a pool starts a process with each work that it is given
                    for person in people[:drawers]:  # for nothing: they load what they need while there is no board
                        beside.submit(prepare_identity, config, person, provenance)
            head = Head.default()  # before threads ask for it: two that load it at once have two, and maps of each
            ready = asking.submit(DeviceBatches, device, encoders, size)
            board = _board(head) if device.type == "cuda" else None  # a CPU paints people one by one
            for number, batch in enumerate(batches):
                drawer = drawing if number == 0 else beside
                with unheard_by_children():
                    drawn = [drawer.submit(prepare_identity, config, person, provenance, board) for person in batch]
                waiting.append(asking.submit(_make, ready, drawn))
                if number == 0:
                    load_meanwhile()
                if len(waiting) > AHEAD:
                    yield from (encoded.result() for encoded in waiting.popleft().result())
            while waiting:
                yield from (encoded.result() for encoded in waiting.popleft().result())
        except BrokenProcessPool as error:
            raise refuse_broken(error, KILLED) from error
        except RuntimeError as error:
            if not _of_the_device(error):
                raise
            raise RefusedError(f"{device} failed ({one_line(error)}); published shards are kept") from error
        finally:
            for pool in (drawing, beside, asking, encoders):
                pool.shutdown(wait=True, cancel_futures=True)


def _board(head: Head) -> SurfaceMaps:
    from pain3d.rendering.frames import TEXTURE_SIZE

    return surface_maps(head, TEXTURE_SIZE).board()


def _make(ready: Future[DeviceBatches], drawn: Sequence[Future[PreparedIdentity]]) -> list[Future[EncodedIdentity]]:
    return ready.result().make(drawn)


def _of_the_device(error: RuntimeError) -> bool:
    """Whether an error says that a CUDA device failed, be it torch that says so or Triton."""
    return isinstance(error, torch.AcceleratorError) or "CUDA" in str(error)
