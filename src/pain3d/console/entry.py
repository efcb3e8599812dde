"""Knows what a command is to the front door: the form of its options, and who runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A command of ``pain3d``.

    Attributes:
        form: Frozen dataclass of its arguments and options.
        run: Called with an instance and the moment the process began (`time.perf_counter`); returns the exit code.
        interrupted: What is true of the work when Ctrl-C stops it.
    """

    form: type
    run: Callable[[Any, float], int]
    interrupted: str = "nothing was written"
