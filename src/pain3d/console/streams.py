"""Knows what becomes of words that nobody can take: stdout and stderr that are closed, full, or whose reader has gone.

The work goes on, and its exit code is its own: what a terminal, a pipe or a log does is no reason to lose it.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO


class _Outlet(io.FileIO):
    """One of the process's own descriptors; after the first failure what is written to it is dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.fault: OSError | None = None

    def write(self, content: Any) -> int:
        if self.fault is None:
            try:
                return super().write(content) or 0
            except OSError as error:
                self.fault = error
        return len(memoryview(content).cast("B"))


def open_closed() -> None:
    """Lead each of the three streams that is closed (``>&-``) to nowhere.

    Else the next file that is opened has the number of stdout, and what a library prints is written into it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


class Streams:
    """From now on no word to stdout or stderr raises; of the process's own command line, so never in a library."""

    def __init__(self) -> None:
        open_closed()
        self._out, self._err = _Outlet(1), _Outlet(2)
        sys.stdout = _text(self._out, sys.stdout)
        sys.stderr = _text(self._err, sys.stderr)

    def close(self) -> OSError | None:
        """Hand on what still waits; returns why results on stdout were lost. A reader who had enough is no reason."""
        sys.stdout.flush()
        sys.stderr.flush()
        fault = self._out.fault
        return None if isinstance(fault, BrokenPipeError) else fault


def _text(outlet: _Outlet, before: TextIO | None) -> io.TextIOWrapper:
    terminal = outlet.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=getattr(before, "encoding", "utf-8"),
        errors="backslashreplace",  # a file's name may hold what no encoding has
        line_buffering=terminal or outlet.fileno() == 2,
        write_through=bool(getattr(before, "write_through", False)),
    )
