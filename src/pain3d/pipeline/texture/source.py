"""Knows where the textures of a data set come from: nowhere (procedural skin), a painter, or a bank of painted ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from pain3d.console.refused import RefusedError
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.texture.bank import TextureBank
from pain3d.pipeline.texture.choice import choose
from pain3d.pipeline.texture.filling import Maker, fill
from pain3d.pipeline.texture.making import Wish, open_maker
from pain3d.run_folder import settings_hash

PROCEDURAL: Final = "procedural"
NAMED: Final = ("model", "controlnet", "prompts", "delight")  # fields of a configuration that a painter has alone


class Source(Protocol):
    """Gives people textures.

    Attributes:
        fields: What of it decides the bytes of a data set, for its resolved configuration.
    """

    @property
    def fields(self) -> dict[str, Any]:
        """See attributes."""
        ...

    def provide(
        self, bank: TextureBank, everybody: Sequence[PlannedIdentity], wanted: Sequence[PlannedIdentity], quiet: bool
    ) -> dict[int, str]:
        """See that a bank holds the textures of those wanted, of everybody in a data set; returns their names."""
        ...


class Painted:
    """Textures that are painted for these very people.

    Args:
        maker: Who makes them.
        seed: Of the people.
    """

    def __init__(self, maker: Maker, seed: int) -> None:
        self._maker, self._seed = maker, seed
        origin = {f"texture_{name}": value for name, value in vars(maker.origin).items()}
        self.fields = {
            "texture": "diffusion",
            **origin,
            **{f"texture_{name}": value for name, value in maker.settings.items()},
        }

    def provide(
        self, bank: TextureBank, everybody: Sequence[PlannedIdentity], wanted: Sequence[PlannedIdentity], quiet: bool
    ) -> dict[int, str]:
        """See `Source`; `everybody` has no part in it."""
        return fill(bank, wanted, self._seed, self._maker, quiet=quiet)


class Drawn:
    """Textures that a bank holds already; what is used is copied, so that a data set stands alone.

    Args:
        folder: Of the bank.
        seed: Of the people.

    Raises:
        RefusedError: There is no bank, or a texture in it is damaged.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._bank, self._seed = TextureBank(folder), seed
        if not self._bank:
            raise RefusedError(f"--texture bank:{folder}: holds no textures")
        self.fields = {"texture": "bank", "texture_bank_hash": settings_hash(sorted(self._bank))}

    def provide(
        self, bank: TextureBank, everybody: Sequence[PlannedIdentity], wanted: Sequence[PlannedIdentity], quiet: bool
    ) -> dict[int, str]:
        """See `Source`; nothing is painted."""
        chosen = choose(self._bank, everybody, self._seed)
        names = {person.identity_id: chosen[person.identity_id] for person in wanted}
        for name in names.values():
            bank.copy(self._bank, name)
        return names


def open_source(config: SynthConfig, device: str, *, quiet: bool) -> Source | None:
    """Where a configuration says that textures come from; None where skin is procedural.

    Args:
        config: It.
        device: As torch names it, where a painter works.
        quiet: Leave out the painter's plan of memory.

    Raises:
        RefusedError: It says what there is not, or the model or the bank can't be used.
    """
    kind, _, name = config.texture.partition(":")
    asked = next((name for name in NAMED if getattr(config, name)), None)
    if kind != "diffusion" and asked is not None:
        raise RefusedError(f"--{asked} is for a painter: name one by --texture diffusion")
    if config.assets:
        if config.texture != PROCEDURAL:
            raise RefusedError(f"--assets {config.assets}: skins come from --texture {config.texture} already")
        from pain3d.pipeline.assets.worn import WornSkins

        return WornSkins(config.seed)
    if config.texture == PROCEDURAL:
        return None
    if kind == "bank" and name:
        return Drawn(Path(name), config.seed)
    if kind == "diffusion":
        of_texture = {
            name: getattr(config, f"texture_{name}") for name in ("steps", "views", "size", "view_size", "check")
        }
        named = {name: getattr(config, name) for name in NAMED}
        return Painted(open_maker(Wish(**named, **of_texture, recipe=name, device=device), quiet=quiet), config.seed)
    raise RefusedError(f"texture must be procedural, diffusion, diffusion:RECIPE or bank:DIR, got {config.texture!r}")
