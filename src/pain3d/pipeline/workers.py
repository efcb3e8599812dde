"""Knows how identities are spread over threads or processes, and hands the results back in the order of the plan.

One process renders on a thread per core: kernels and encoders release the GIL, and torch, OpenCV and the kernels are
kept to one thread each meanwhile, so that the cores aren't asked for twice. With more processes each has an equal share
of the cores. At most a few identities are in flight, so memory doesn't grow with the data set.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from typing import Final

import cv2
import pyarrow
import torch

from pain3d.child_processes import process_pool, refuse_broken
from pain3d.console.interrupt import unheard_by_children
from pain3d.head import Head
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.rows import Provenance
from pain3d.pipeline.synthesis import EncodedIdentity, rehearse, synthesise_identity

# Half a second, while others are busy and the GIL free.
LOADED_MEANWHILE = (
    "pyarrow.parquet", "pain3d.pipeline.description", "matplotlib.figure", "matplotlib.backends.backend_svg",
)  # fmt: skip
KILLED = "a worker process was killed, for want of memory perhaps; published shards are kept"
# A painter comes back from OpenCV a thousand times a person, and waits so long for the GIL if another thread computes.
GIL_SECONDS = 0.0005
# Options of glibc's mallopt: one heap for all threads, for blocks of any size, of which 1 GB may lie idle.
KEEP = {-8: 1, -3: 1 << 30, -1: 1 << 30}  # M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
PAINTING_THREADS: Final = 2  # also on one core, and on fifty: the bytes of what is painted follow them
AHEAD = 2  # tasks waiting per worker: enough that none idles while the writer writes


def synthesise_all(
    config: SynthConfig,
    people: Sequence[PlannedIdentity],
    provenance: Provenance,
    cores: int,
    lanes: dict[str, int],
) -> Generator[EncodedIdentity, None, None]:
    """Make identities on ``config.processes`` processes, ``config.batch_size`` at a time; yield them in order.

    Args:
        config: A checked configuration.
        people: Whom.
        provenance: What every row says of its making.
        cores: How many may be used.
        lanes: Is told how many workers share a stage.

    Raises:
        RefusedError: A worker process was killed.
        BaseException: The first error of any worker; what was waiting is cancelled, what is running ends first.
    """
    size = max(config.batch_size, 1)
    tasks = [people[start : start + size] for start in range(0, len(people), size)]
    workers = min(config.processes if config.processes > 1 else cores, max(len(tasks), 1))
    threads = max(1, cores // workers)
    executor: Executor
    with limited_threads(threads):
        if config.processes <= 1 and people:
            _warm_up(config, people[0], provenance)
        if config.processes > 1:
            executor = process_pool(workers, limit_threads, threads)
        else:
            executor = ThreadPoolExecutor(workers, "synth")
        waiting: deque[Future[list[EncodedIdentity]]] = deque()
        try:
            for number, task in enumerate(tasks, 1):
                with unheard_by_children():  # a pool starts its processes when it is given work
                    waiting.append(executor.submit(_synthesise_task, config, task, provenance))
                if number == workers:
                    load_meanwhile()
                if len(waiting) >= workers * (1 + AHEAD):
                    yield from _told(waiting.popleft().result(), workers, lanes)
            while waiting:
                yield from _told(waiting.popleft().result(), workers, lanes)
        except BrokenProcessPool as error:
            raise refuse_broken(error, KILLED) from error
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def synthesise_people(
    config: SynthConfig,
    kind: str,
    people: Sequence[PlannedIdentity],
    provenance: Provenance,
    cores: int,
    card: int,
    lanes: dict[str, int],
) -> Generator[EncodedIdentity, None, None]:
    """Make identities on a class of device; yield them in order.

    Args:
        config: A checked configuration.
        kind: The class: ``cpu``, ``cuda`` or ``cuda-interpreted``.
        people: Whom.
        provenance: What every row says of its making.
        cores: How many may be used.
        card: Which CUDA device, counted round: more workers than cards share them.
        lanes: Is told how many workers share a stage.
    """
    if kind == "cpu":
        return synthesise_all(config, people, provenance, cores, lanes)
    from pain3d.pipeline.device_synthesis import synthesise_on

    device = cuda_device(card) if kind == "cuda" else torch.device("cpu")
    return synthesise_on(device, config, people, provenance, cores, lanes)


def cuda_device(card: int) -> torch.device:
    """A card by its number, counted round."""
    return torch.device("cuda", card % torch.cuda.device_count())


def load_meanwhile() -> None:
    """Import what comes after the work while the work is being done."""
    for module in LOADED_MEANWHILE:
        import_module(module)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Torch and OpenCV keep to so many threads each in the context, and threads hand the GIL over sooner."""
    before = torch.get_num_threads(), cv2.getNumThreads(), sys.getswitchinterval()
    try:
        limit_threads(threads)
        sys.setswitchinterval(GIL_SECONDS)
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
        sys.setswitchinterval(before[2])


class FixedThreads:
    """A context, of which `PAINTING` is the one of a process, in which torch has the same threads on every machine.

    For what paints: on another number of threads sums round otherwise, and how many there are varies with the machine,
    with the batch and with what a stopped run left. The number is the process's, so of all who are in the context the
    first sets it and the last puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = torch.get_num_threads()
                torch.set_num_threads(PAINTING_THREADS)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.set_num_threads(self._before)


PAINTING: Final = FixedThreads()


def limit_threads(threads: int) -> None:
    """Torch keeps to so many threads from now on, OpenCV to one: a picture is too short to share. See `keep_memory`."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    keep_memory()


def keep_memory() -> None:
    """Let glibc, where it is the C library, keep what is freed for the next picture, as long as the process lives.

    Else planes and pictures are given back and asked for again, 830 fresh pages an image and a twentieth of the time;
    of a painted texture too. Arrow, whose own allocator gives back too, takes its memory there: 10 ms of the 17
    that an identity's rows took.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        for option, value in KEEP.items():
            library.mallopt(option, value)
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())


def _told(made: list[EncodedIdentity], workers: int, lanes: dict[str, int]) -> list[EncodedIdentity]:
    for one in made:
        lanes |= dict.fromkeys(one.seconds, workers)
    return made


def _synthesise_task(
    config: SynthConfig, people: Sequence[PlannedIdentity], provenance: Provenance
) -> list[EncodedIdentity]:
    return [synthesise_identity(config, person, provenance) for person in people]


def _warm_up(config: SynthConfig, person: PlannedIdentity, provenance: Provenance) -> None:
    """Load compiled kernels and every library, and draw the skin's maps, once, before threads would contend for them.

    Loading holds the GIL: two threads that begin cold took 1.5 s longer than one that warms up for both. Drawing does
    not, so that one thread draws while this one rehearses.
    """
    from pain3d.rendering.frames import render_setup

    head = Head.default()
    collecting = gc.isenabled()
    gc.disable()  # numba makes a million objects that stay: to look them over for garbage takes 0.1 s at a time
    try:
        with ThreadPoolExecutor(1, "maps") as drawing:
            drawn = drawing.submit(render_setup, head)
            rehearse(config, person, provenance)
            load_meanwhile()
            drawn.result()
        gc.freeze()  # nor later
    finally:
        if collecting:
            gc.enable()
