"""Knows how a numba backend uses the cores: plain threads over ranges, each without the GIL.

Numba's own ``parallel=True`` is not used: its work queue is not safe when several Python threads render at once.
Results never depend on how the range was cut, because each index is computed in full by one thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import torch

_lock = threading.Lock()
_executor: ThreadPoolExecutor | None = None
_inside = (
    threading.local()
)  # .yes in the pool's own threads: a nested call runs inline, so that it can't wait on itself


def for_each_range(count: int, function: Callable[[int, int], None]) -> None:
    """Call ``function(start, stop)`` on ranges that cover ``range(count)``, on ``torch.get_num_threads()`` threads.

    Returns when all are done. The calling thread takes the first range itself; with one thread nothing else is started.

    Args:
        count: Number of items; nothing is called for 0.
        function: Does the items from start up to, but without, stop. It must release the GIL to run beside others.

    Raises:
        BaseException: The first error that a range raised, after all ranges have ended.
    """
    parts = min(count, torch.get_num_threads())
    if parts <= 0:
        return
    if parts == 1 or getattr(_inside, "yes", False):
        function(0, count)
        return
    cuts = [count * part // parts for part in range(parts + 1)]
    waiting: list[Future[None]] = [_pool().submit(function, start, stop) for start, stop in pairwise(cuts[1:])]
    try:
        function(cuts[0], cuts[1])
    finally:
        errors = [future.exception() for future in waiting]
    for error in errors:
        if error is not None:
            raise error


def _pool() -> ThreadPoolExecutor:
    global _executor
    with _lock:
        if _executor is None:
            _executor = ThreadPoolExecutor(os.cpu_count() or 1, "pain3d", initializer=_mark_inside)
        return _executor


def _mark_inside() -> None:
    _inside.yes = True


def _forget() -> None:
    """A forked child has the executor object but none of its threads."""
    global _executor, _lock
    _executor, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
