"""Knows when Ctrl-C may stop a run: between identities, never inside a file that is being written or published."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self


@contextmanager
def unheard_by_children() -> Iterator[None]:
    """Processes started in this context ignore SIGINT from their first instruction: Ctrl-C is for the parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is ignored stays so across exec
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Interruptible:
    """A context in which SIGINT waits for the next ``check``; a second SIGINT doesn't wait.

    Only the main thread may change what a signal does: elsewhere the context changes nothing and never raises.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @property
    def asked(self) -> bool:
        """Whether SIGINT came since the context began."""
        return self._asked

    def check(self) -> None:
        """Raise KeyboardInterrupt if SIGINT came since the context began."""
        if self._asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
