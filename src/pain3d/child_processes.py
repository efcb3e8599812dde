"""Knows how processes beside this one begin and end: they are started afresh, and none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pain3d.console.interrupt import SIGNALS
from pain3d.console.refused import RefusedError


def process_pool(count: int, begin: Callable[..., None], *given: Any) -> ProcessPoolExecutor:
    """A pool of processes, each of which follows this one and calls ``begin(*given)`` before anything else.

    They are spawned: a fork would copy the threads of torch, of the kernels and of CUDA half-alive.
    """
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (begin, *given))


def follow_parent() -> None:
    """End this process as soon as its parent has ended, however that was.

    It would wait for work for ever: it holds both ends of the pipe that work comes through. A thread waits for the
    kernel to close the parent's end of another; it needs the GIL for a moment, which kernels and encoders release.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a process that multiprocessing started"

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, name="follow parent", daemon=True).start()


def refuse_broken(error: BrokenProcessPool, message: str) -> RefusedError:
    """What to raise after a process of a pool was killed.

    Raises:
        KeyboardInterrupt: By a signal to the whole group of processes, which this one heard too.
    """
    SIGNALS.check()
    return RefusedError(message)


def _begin(begin: Callable[..., None], *given: Any) -> None:
    follow_parent()
    begin(*given)
