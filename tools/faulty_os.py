"""Knows how a disk fails: an `os` for `pain3d.files` that counts each change of the disk and, at one of them, lets go.

It is real as far as `pain3d.files` is the one place that changes the disk of a run (a house test holds that), and
SIGKILL is the kernel's. It is no power cut: what was written is there afterwards, whether anybody waited for the disk
or not.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import pain3d.files

CHANGES: Final = ("open", "write", "fsync", "replace", "unlink", "truncate", "mkdir", "rmdir", "rmtree")
GROWING: Final = ("open", "write", "mkdir")  # what a full disk refuses
KINDS: Final = ("before", "after", "torn", "full", "broken")


class Fault(NamedTuple):
    """What happens at a change of the disk.

    Attributes:
        kind: ``before`` and ``after`` are SIGKILL before and after it, ``torn`` is SIGKILL after half of a write,
            ``full`` is ENOSPC from there on, ``broken`` is EIO once.
        event: Number of the change, from 0.
    """

    kind: str
    event: int


class FaultyOs:
    """Stands in for `os`, and for `shutil`, in `pain3d.files`.

    Args:
        fault: Where it fails; None only counts.
    """

    def __init__(self, fault: Fault | None) -> None:
        self.fault = fault
        self.events: list[str] = []
        self._lock = threading.RLock()

    def install(self) -> None:
        """From now on, in this process, the disk of `pain3d.files` is this one."""
        for name in ("os", "shutil"):
            setattr(pain3d.files, name, self)

    def __getattr__(self, name: str) -> Any:
        real = getattr(shutil if name == "rmtree" else os, name)
        if name not in CHANGES:
            return real

        def change(*given: Any, **named: Any) -> Any:
            if name == "open" and not given[1] & os.O_CREAT:
                return real(*given, **named)
            with self._lock:
                return self._change(name, real, given, named)

        return change

    def _change(self, name: str, real: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        number = len(self.events)
        self.events.append(name)
        kind, event = self.fault or ("", -1)
        if kind == "full" and number >= event and name in GROWING:
            self._fail(errno.ENOSPC, name, given)
        if number == event:
            if kind == "broken":
                self._fail(errno.EIO, name, given)
            if kind == "torn" and name == "write":
                real(given[0], bytes(given[1])[: len(given[1]) // 2])
            if kind == "after":
                real(*given, **named)
            if kind in ("before", "after", "torn"):
                os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)

    @staticmethod
    def _fail(number: int, name: str, given: tuple[Any, ...]) -> NoReturn:
        if isinstance(given[0], (str, Path)):
            raise OSError(number, os.strerror(number), str(given[0]))
        raise OSError(number, os.strerror(number))
