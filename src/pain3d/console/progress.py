"""Knows how a long run tells how far it is: a bar on a terminal, otherwise a plain line now and then, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 5.0  # a log of an hour is then 720 lines


class Progress:
    """Counts images, or whatever is made, of a known total; a context manager.

    Args:
        total: Images to make.
        done: Images that were there already; they don't count for the speed.
        quiet: Say nothing.
        what: Is made.
    """

    def __init__(self, total: int, done: int = 0, quiet: bool = False, what: str = "images") -> None:
        self.total = total
        self._what = what
        self.done = done
        self._before = done
        self._started = time.monotonic()
        self._said = self._started
        self._lines = not quiet and not sys.stderr.isatty()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        if not quiet and sys.stderr.isatty():
            self._bar, self._task = _make_bar(total, done, what)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, images: int, note: str = "") -> None:
        """So many more images are done; `note` is shown beside the speed."""
        self.done += images
        now = time.monotonic()
        rate = (self.done - self._before) / max(now - self._started, 1e-9)
        beside = f", {note}" if note else ""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, rate=f"{self._speed(rate)}{beside}")
        elif self._lines and now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            left = (self.total - self.done) / max(rate, 1e-9)
            so_far = f"{self.done} of {self.total} {self._what}, {self._speed(rate)}{beside}"
            print(f"{so_far}, {left:.0f} s left", file=sys.stderr)

    def _speed(self, rate: float) -> str:
        """So many a second, with two digits where there are few."""
        return f"{rate:.0f} {self._what}/s" if rate >= 10 else f"{rate:.2g} {self._what}/s"


def _make_bar(total: int, done: int, what: str) -> tuple[RichProgress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    return bar, bar.add_task("images", total=total, completed=done, rate="")
