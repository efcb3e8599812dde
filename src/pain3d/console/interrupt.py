"""Knows when a signal may stop a command: between identities, never inside a file that is being written or published.

SIGINT (Ctrl-C) and SIGTERM ask for the same: one line, and 128 + the signal's number as the exit code.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self

STOPS: Final = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """What the front door has heard. In a process that isn't its own (a notebook, a test) it doesn't listen.

    Before the work begins and after it has ended a signal ends the process at once: a library that is being loaded may
    swallow an exception, or tell of it at length. Within the work the first one raises KeyboardInterrupt, so that
    nothing half-written stays, unless somebody waits for it (`Interruptible`); a second one doesn't wait for that.
    """

    def __init__(self) -> None:
        self.heard = 0  # the first signal's number
        self._listening = self._working = False
        self._left = "nothing was written"

    def listen(self) -> None:
        """Begin; a signal that whoever started the process made it ignore (nohup) stays ignored."""
        self._listening = True
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)
        sys.unraisablehook = self._unraisable

    @contextmanager
    def working(self) -> Iterator[None]:
        """The work of a command."""
        self._working = True
        try:
            yield
        finally:
            self._working, self._left = False, "what was made is kept"

    def note(self, number: int) -> None:
        """Remember a signal that somebody else hears for a while."""
        if self._listening:
            self.heard = self.heard or number

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came, also where a library swallowed the exception of that."""
        if self.heard:
            raise KeyboardInterrupt

    @property
    def exit_code(self) -> int:
        """Of whoever was stopped."""
        return 128 + (self.heard or signal.SIGINT)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        first, self.heard = not self.heard, self.heard or number
        if first and self._working:
            raise KeyboardInterrupt
        self._leave(first)

    def _leave(self, tell: bool) -> NoReturn:
        if tell:
            with suppress(OSError):  # nobody is there to be told
                os.write(2, f"pain3d: interrupted; {self._left}\n".encode())
        os._exit(self.exit_code)

    @staticmethod
    def _unraisable(what: Any) -> None:
        if not isinstance(what.exc_value, KeyboardInterrupt):  # this one was heard, see `check`
            sys.__unraisablehook__(what)


SIGNALS: Final = Signals()


@contextmanager
def unheard_by_children() -> Iterator[None]:
    """Processes started in this context never hear SIGINT: Ctrl-C is for the parent, who hears it when this ends."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else it is started within the context, and unblocks SIGINT when it is
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # what is blocked stays so across exec
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Interruptible:
    """A context in which SIGINT and SIGTERM wait for the next ``check``; a second one doesn't wait.

    Only the main thread may change what a signal does: elsewhere the context changes nothing and never raises.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not Python's
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @property
    def asked(self) -> bool:
        """Whether a signal came since the context began, or before, and was swallowed."""
        return self._asked or (bool(self._before) and SIGNALS.heard > 0)

    def check(self) -> None:
        """Raise KeyboardInterrupt if one came."""
        if self.asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        SIGNALS.note(number)
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
