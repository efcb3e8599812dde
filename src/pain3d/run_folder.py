"""Knows the folder of a run, be it one that makes data or one that learns: what it is of, who may write into it.

States of a folder: absent or empty (a run may begin), of the same run and unfinished (it goes on), of the same run and
finished (nothing is left to do), anything else (refused). ``config.resolved.yaml`` says which run it is of, and the
name that appears last that it is finished. A lock on the folder, which the kernel drops with its process, keeps two
runs out of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pain3d.console.refused import MOST_QUOTED, RefusedError, shortened
from pain3d.doors.text import read_yaml
from pain3d.files import (
    is_partial,
    lock_folder,
    make_folders,
    refuse_irregular,
    refuse_links,
    remove_empty,
    remove_partial,
    write_inside,
)

RESOLVED: Final = "config.resolved.yaml"
Resolved = Mapping[str, Any]


@dataclass(frozen=True)
class RunKind:
    """What the folders of one kind of run have in common.

    Attributes:
        mark: A field of the resolved configuration and its number; where it differs, the folder isn't of this kind.
        last: Name of the file or folder that says that a run is finished.
        text: A resolved configuration as YAML.
        decides: What must be equal for a run to go on where it stopped, by name.
        foreign: What is said of a folder that isn't of this kind.
        other: What is said of another run's; with fields ``state``, "a finished" or "an unfinished", and ``changed``.
    """

    mark: tuple[str, int]
    last: str
    text: Callable[[Resolved], str]
    decides: Callable[[Resolved], Resolved]
    foreign: str
    other: str


class RunFolder:
    """A run's folder, locked for one run: a context manager that leaves nothing half-written behind.

    Args:
        out: The folder; made if absent.
        kind: Of the run.
        resolved: What the run is, as ``config.resolved.yaml`` holds it.

    Attributes:
        finished: Whether nothing is left to do, once the folder was looked at.

    Raises:
        RefusedError: The folder is a file, holds something else, another run (the differences are named), a link, or
            another run is writing into it; nothing in it is touched then.
    """

    def __init__(self, out: Path, kind: RunKind, resolved: Resolved) -> None:
        self.out = out
        self.kind = kind
        self.resolved = dict(resolved)
        self._made: list[Path] = []
        self._lock = -1
        self.finished = False
        self._begun = False  # a folder that this run may not write into is left as it was

    def __enter__(self) -> Self:
        self.check()
        try:
            self._made = make_folders(self.out)
            self._lock = lock_folder(self.out)
            self.check()  # again: before the lock another run may have begun or ended
            self._begun = True
            remove_partial(self.out)
            if (self.out / RESOLVED).exists():
                self._take_up()
            else:
                self.write(RESOLVED, self.kind.text(self.resolved).encode())
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abandon()
        else:
            self._drop_lock()

    def check(self) -> None:
        """Refuse a folder that this run may not write into; looks only.

        Raises:
            RefusedError: Says why, in one line.
        """
        self.finished = False
        if not self.out.exists():
            return
        if not self.out.is_dir():
            raise RefusedError(f"{self.out}: not a folder")
        held = {path.name for path in self.out.iterdir() if not is_partial(path.name)}
        if not held:
            return
        refuse_irregular(self.out / RESOLVED)
        old = read_resolved(self.out, self.kind)
        if old is None:
            raise RefusedError(f"{self.out}: {self.kind.foreign}")
        finished = self.kind.last in held
        changed = differences(self.kind.decides(old), self.kind.decides(self.resolved))
        if changed:
            state = "a finished" if finished else "an unfinished"
            raise RefusedError(f"{self.out}: {self.kind.other.format(state=state, changed=changed)}")
        refuse_links(self.out)
        self.finished = finished

    def write(self, name: str, content: bytes) -> None:
        """Publish a file atomically, in a folder that is made if absent."""
        write_inside(self.out, name, content)

    def _take_up(self) -> None:
        """Read what the same run left when it was stopped."""

    def _discard(self) -> None:
        """After an error: remove what the same run could not go on from. Here it can go on from everything."""

    def _abandon(self) -> None:
        if self._begun:
            remove_partial(self.out)
            self._discard()
        self._drop_lock()
        remove_empty(self._made)

    def _drop_lock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def read_resolved(out: Path, kind: RunKind) -> dict[str, Any] | None:
    """The resolved configuration of a run's folder; None if there is none of this kind."""
    name, number = kind.mark
    try:
        content = read_yaml(out / RESOLVED)
        ours = isinstance(content, dict) and content.get(name) == number and bool(kind.decides(content))
    except (RefusedError, LookupError, TypeError, AttributeError):
        return None
    return content if ours else None


def differences(old: Resolved, new: Resolved) -> str:
    """Say in one line what changed between two configurations: ``seed 0 -> 7, views 3 -> 5``; empty if nothing did."""
    names = dict.fromkeys([*old, *new])
    return ", ".join(
        f"{name} {_shown(old.get(name, 'absent'))} -> {_shown(new.get(name, 'absent'))}"
        for name in names
        if old.get(name, "absent") != new.get(name, "absent")
    )


def _shown(value: Any) -> str:
    return shortened(str(value), MOST_QUOTED)


def settings_hash(settings: Any) -> str:
    """SHA-256 over settings as JSON with sorted names, 64 hex digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
