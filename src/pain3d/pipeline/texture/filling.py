"""Knows how a bank comes to hold the textures of people: what is asked for, what is there already, what can't be made.

What can't be made goes to quarantine with the reason, and nobody tries it again: of the same, the same would come. Each
texture depends on its person, prompt and seed alone, so the bank's bytes are the same in any order and after any stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from pain3d.colour import linear_to_srgb
from pain3d.console.interrupt import Interruptible
from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError, complain
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.texture.bank import Entry, Sitter, TextureBank
from pain3d.pipeline.texture.choice import sitter_of
from pain3d.pipeline.texture.painter import Origin, PaintingError, Prompt
from pain3d.pipeline.workers import PAINTING
from pain3d.random import MAX_SEED, keyed_number
from pain3d.run_folder import settings_hash
from pain3d.scene import DemographicCell, Scene, sample_scenes


@dataclass(frozen=True)
class Made:
    """A texture as it was made.

    Attributes:
        albedo: [S, S, 3] float32 linear.
        report: Of its quality, as JSON holds it.
        note: What happened on the way, such as why it was painted twice; mostly empty.
    """

    albedo: Tensor
    report: Mapping[str, Any]
    note: str = ""


class Maker(Protocol):
    """Makes whole textures; the same arguments give the same bytes.

    Attributes:
        origin: What rows say of who paints.
        settings: What else decides the bytes: views, sizes, the words of prompts.
    """

    origin: Origin
    settings: Mapping[str, Any]

    def prompt(self, scene: Scene) -> Prompt:
        """What the painter is to be asked for; empty where it doesn't read."""
        ...

    def make(self, scene: Scene, prompt: Prompt, seed: int) -> Made:
        """Make the texture of a scene's person.

        Raises:
            PaintingError: It can't be used; says why.
            RefusedError: Nobody's can be made.
        """
        ...


def painting_seed(seed: int, identity_id: int) -> int:
    """The seed of a person's texture."""
    return keyed_number(seed, "texture", identity_id) & MAX_SEED


def fill(
    bank: TextureBank, people: Sequence[PlannedIdentity], seed: int, maker: Maker, *, quiet: bool = False
) -> dict[int, str]:
    """See that a bank holds the textures of people.

    Args:
        bank: To which is added.
        people: Whom.
        seed: Of the run: with an identity's number it is the person.
        maker: Who makes what is missing.
        quiet: Show no progress.

    Returns:
        The name of each one's texture; who is in quarantine has none.

    Raises:
        RefusedError: The maker can't go on, or nobody's texture could be made.
        KeyboardInterrupt: Between two textures; what was made stays.
    """
    asked = {person.identity_id: _asked(person, seed, maker) for person in people}
    missing = [
        person
        for person in people
        if bank.find(what := asked[person.identity_id]) is None and what not in bank.quarantined
    ]
    with (
        Interruptible() as interruptible,
        Progress(len(people), len(people) - len(missing), quiet, "textures") as progress,
    ):
        for person in missing:
            interruptible.check()
            _make(bank, person, seed, maker, asked[person.identity_id])
            progress.add(1)
        interruptible.check()
    names = {number: bank.find(what) for number, what in asked.items()}
    failed = [number for number, name in names.items() if name is None]
    if failed:
        reason = bank.quarantined[asked[failed[0]]]
        if len(failed) == len(people):
            raise RefusedError(f"{maker.origin.model}: none of {len(people)} textures is usable: {reason}")
        complain(f"{len(failed)} of {len(people)} textures are in quarantine, such as identity {failed[0]}: {reason}")
    return {number: name for number, name in names.items() if name is not None}


def _make(bank: TextureBank, person: PlannedIdentity, seed: int, maker: Maker, asked: str) -> None:
    """Put one person's texture into the bank, or what was asked for into quarantine."""
    sitter, drawn = sitter_of(person, seed), painting_seed(seed, person.identity_id)
    scene = scene_of(sitter)
    prompt = maker.prompt(scene)
    try:
        with PAINTING:
            made = maker.make(scene, prompt, drawn)
    except PaintingError as error:
        bank.quarantine(asked, sitter, str(error))
        return
    entry = Entry(
        asked=asked,
        sitter=sitter,
        **asdict(maker.origin),
        prompt=prompt.positive,
        negative=prompt.negative,
        seed=drawn,
        note=made.note,
        report=made.report,
    )
    bank.add(np.rint(linear_to_srgb(made.albedo.double().numpy()) * 255).astype(np.uint8), entry)


def _asked(person: PlannedIdentity, seed: int, maker: Maker) -> str:
    """Hash of all that decides a texture's bytes."""
    sitter = sitter_of(person, seed)
    parts = (sitter, maker.origin, maker.prompt(scene_of(sitter)))
    return settings_hash([asdict(part) for part in parts] + [dict(maker.settings)])


def scene_of(sitter: Sitter) -> Scene:
    """The neutral person that is painted."""
    cell = DemographicCell(sitter.age_group, sitter.sex, sitter.ancestry)
    return sample_scenes(
        seed=sitter.seed, identity_id=sitter.identity_id, cell=cell, expressions=0, views=1, environments=0
    )[0]
