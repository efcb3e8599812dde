"""Knows who wears which of a user's skins: the nearest by age of those for the person, as far as their names tell.

Nobody wears a skin of the other sex, which may have a shaved beard, nor one so far in tone that pigment can't bring it:
who has none keeps procedural skin.

There are fewer skins than people, so one goes to many, in all splits: what tells people apart is shape, tone, relief,
marks and hair, which stay their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pain3d.console.refused import RefusedError
from pain3d.pipeline.assets.importing import assets_folder, skin_bank
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.texture.bank import Sitter, TextureBank
from pain3d.random import keyed_number
from pain3d.run_folder import settings_hash
from pain3d.scene import AGE_GROUPS

NEAR: Final = {"asian", "caucasian"}  # ancestries whose tones overlap
OTHER_ANCESTRY: Final = 4  # what a skin of another near one costs, in age groups


class WornSkins:
    """A source of textures (`texture.source.Source`) out of what the user imported; what is worn is copied.

    Args:
        seed: Of the people.

    Raises:
        RefusedError: Nothing was imported, or a skin is damaged.
    """

    def __init__(self, seed: int) -> None:
        self._bank, self._seed = skin_bank(), seed
        if not self._bank:
            raise RefusedError(f"--assets skins: {assets_folder()} holds none; pain3d assets import PATH brings some")
        self.fields: Final[dict[str, Any]] = {
            "texture": "assets",
            "texture_bank_hash": settings_hash(sorted(self._bank)),
        }

    def provide(
        self, bank: TextureBank, everybody: Sequence[PlannedIdentity], wanted: Sequence[PlannedIdentity], quiet: bool
    ) -> dict[int, str]:
        """See `Source`; `everybody` has no part in it."""
        worn = ((person.identity_id, worn_skin(self._bank, person, self._seed)) for person in wanted)
        names = {number: name for number, name in worn if name is not None}
        for name in dict.fromkeys(names.values()):
            bank.copy(self._bank, name)
        return names


def worn_skin(bank: TextureBank, person: PlannedIdentity, seed: int) -> str | None:
    """The name of a person's skin, of those that fit equally well one by key; None where none fits."""
    ages, cell = list(AGE_GROUPS), person.cell

    def cost(sitter: Sitter) -> int | None:
        other = sitter.ancestry not in ("", cell.ancestry)
        if sitter.sex not in ("", cell.sex) or (other and not {sitter.ancestry, cell.ancestry} <= NEAR):
            return None
        years = abs(ages.index(sitter.age_group) - ages.index(cell.age_group)) if sitter.age_group else 1
        return OTHER_ANCESTRY * other + years

    told = {name: cost(bank.entry(name).sitter) for name in sorted(bank)}
    costs = {name: own for name, own in told.items() if own is not None}
    if not costs:
        return None
    best = [name for name, own in costs.items() if own == min(costs.values())]
    return best[keyed_number(seed, "assets/skins", person.identity_id) % len(best)]
