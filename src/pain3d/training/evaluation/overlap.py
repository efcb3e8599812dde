"""Knows that nobody may be both learned from and tested on: a net remembers people, and memory would be scored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pain3d.console.refused import RefusedError

STRANGERS: Final = "People whom no model was trained on."
BY_NAME: Final = "No model was trained on people of these names; it learned from another data set, which may show them."


def acquaintance(
    tested: Iterable[str], trained: Iterable[str], chosen_by: Iterable[str], same_data: bool = True
) -> str:
    """A sentence for a report: whether those who were tested are strangers to the models.

    Args:
        tested: Names of the people that were tested.
        trained: Names of the people that a model was trained on.
        chosen_by: Names of the people by whom its checkpoint was chosen.
        same_data: Whether the names are of the data set that every model learned from.
    """
    people = set(tested)
    trained_on, chosen = len(people & set(trained)), len(people & set(chosen_by))
    if trained_on:
        return (
            f"A model was trained on people of this test ({trained_on} of {len(people)}):"
            " the figures tell what it remembers, not how it does on strangers."
        )
    if chosen:
        return f"A model was chosen by people of this test ({chosen} of {len(people)}): it may do worse on strangers."
    return STRANGERS if same_data else BY_NAME


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
