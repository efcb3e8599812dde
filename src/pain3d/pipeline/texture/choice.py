"""Knows which texture of a bank goes to whom: never one to two people, for a face in two splits would be a leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pain3d.console.refused import RefusedError
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.texture.bank import Sitter, TextureBank
from pain3d.scene import AGE_GROUPS


def sitter_of(person: PlannedIdentity, seed: int) -> Sitter:
    """A planned identity as a bank knows it."""
    return Sitter(seed, person.identity_id, person.cell.age_group, person.cell.sex, person.cell.ancestry)


def choose(bank: TextureBank, people: Sequence[PlannedIdentity], seed: int) -> dict[int, str]:
    """Name of the texture of each identity.

    Who was painted for the bank has that very texture. Anybody else has, in the order of their numbers, one of the same
    sex and ancestry and of the nearest age group that nobody has yet; of several the first by name.

    Args:
        bank: From which is drawn.
        people: All of a data set.
        seed: Of the data set.

    Raises:
        RefusedError: There are too few of a sex and ancestry.
    """
    free: dict[str, Sitter] = {name: bank.entry(name).sitter for name in sorted(bank)}
    chosen: dict[int, str] = {}
    for person in people:
        wanted = sitter_of(person, seed)
        own = next((name for name, sitter in free.items() if sitter == wanted), None)
        if own is not None:
            chosen[person.identity_id] = own
            del free[own]
    for person in people:
        if person.identity_id not in chosen:
            chosen[person.identity_id] = _nearest(bank, free, person, len(people))
            del free[chosen[person.identity_id]]
    return chosen


def _nearest(bank: TextureBank, free: Mapping[str, Sitter], person: PlannedIdentity, count: int) -> str:
    groups, cell = list(AGE_GROUPS), person.cell
    alike = [name for name, sitter in free.items() if (sitter.sex, sitter.ancestry) == (cell.sex, cell.ancestry)]
    if not alike:
        had = sum(
            (bank.entry(name).sitter.sex, bank.entry(name).sitter.ancestry) == (cell.sex, cell.ancestry)
            for name in bank
        )
        raise RefusedError(
            f"{bank.folder}: {had} textures of {cell.sex} {cell.ancestry} people are too few for {count} identities"
            ", each needs its own"
        )
    age = groups.index(cell.age_group)
    return min(alike, key=lambda name: (abs(groups.index(free[name].age_group) - age), name))
