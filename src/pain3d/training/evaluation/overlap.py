"""Knows that nobody may be both learned from and tested on: a net remembers people, and memory would be scored."""

from __future__ import annotations

from collections.abc import Iterable

from pain3d.console.refused import RefusedError


def refuse_overlap(trained: Iterable[str], tested: Iterable[str]) -> None:
    """Refuse people who are on both sides.

    Args:
        trained: Names of the people that training or validation saw; names of one data set.
        tested: Names of the people that are tested.

    Raises:
        RefusedError: Somebody is on both sides; the message names the first and how many others.
    """
    shared = sorted(set(trained) & set(tested))
    if shared:
        others = len(shared) - 1
        more = f" (and {others} {'other' if others == 1 else 'others'})" if others else ""
        raise RefusedError(f"subject '{shared[0]}'{more} was trained on: it can't be tested on")
