"""Knows the whole of a run that paints a bank: refuse or begin, paint what is missing, show it, finish.

A run that was stopped goes on when it is started again: what was painted stays.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pain3d.console.refused import RefusedError
from pain3d.files import remove, remove_empty
from pain3d.pipeline.folder import resolved_kind
from pain3d.pipeline.gallery import Cell, Sheet, draw_sheet, portrait
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.texture.bank import ENTRY, QUARANTINE, TextureBank
from pain3d.pipeline.texture.filling import fill
from pain3d.pipeline.texture.making import Wish, open_maker
from pain3d.provenance import code_version, pain3d_version
from pain3d.run_folder import RESOLVED, RunFolder, settings_hash
from pain3d.scene import demographic_grid, sample_scenes

if TYPE_CHECKING:
    from pain3d.pipeline.texture.command import Texture

LIST: Final = "textures.json"
SHEET: Final = "textures.png"
SHOWN: Final = 12  # people on the sheet
SIDE_YAW: Final = 50.0  # degrees of the second picture of each
CELL: Final = 316  # pixels a side: six pictures make a sheet of about 2000
BANK: Final = resolved_kind(("pain3d_bank", 1), LIST, "a bank of textures", "bank")


class BankFolder(RunFolder):
    """A bank's folder; see `RunFolder`."""

    def _discard(self) -> None:
        """What was painted stays, the same run can go on from it; without any, nothing of this run stays."""
        if not any(self.out.rglob(ENTRY)) and not (self.out / QUARANTINE).exists():
            remove(self.out / RESOLVED)
            remove_empty([path for path in self.out.rglob("*") if path.is_dir()])


def paint_bank(command: Texture, started: float) -> dict[str, Any]:
    """Paint a bank.

    Args:
        command: What was asked for, checked.
        started: ``time.perf_counter()`` at which the clock starts.

    Returns:
        What was made, as JSON holds it.

    Raises:
        RefusedError: The folder, the model or the device can't be used, or no texture could be made.
    """
    from pain3d.pipeline.run import device_class

    device = device_class(command.device)
    named = ("model", "recipe", "controlnet", "prompts", "steps", "views", "size", "view_size", "check", "delight")
    wish = Wish(**{name: getattr(command, name) for name in named}, device="cuda" if device == "cuda" else "cpu")
    maker = open_maker(wish, quiet=command.json)
    what = {
        "pain3d_bank": 1,
        "identities": command.identities,
        "seed": command.seed,
        **vars(maker.origin),
        **maker.settings,
        "device_class": device,
        "pain3d_version": pain3d_version(),
        "code_version": code_version(),
    }
    cells = demographic_grid(command.identities, command.seed)
    people = [PlannedIdentity(number, cell, "") for number, cell in enumerate(cells)]
    with BankFolder(command.out, BANK, what | {"config_hash": settings_hash(what)}) as folder:
        bank = TextureBank(command.out)
        before = len(bank)
        if not folder.finished:
            names = fill(bank, people, command.seed, maker, quiet=command.json)
            folder.write(SHEET, _sheet(bank, people, command.seed, names))
            listed = {"resolved": folder.resolved, "textures": names, "quarantine": bank.quarantined}
            folder.write(LIST, (json.dumps(listed, indent=1) + "\n").encode())
    return {
        "out": str(command.out),
        **({"finished_already": True} if folder.finished else {}),
        "textures": len(bank),
        "new_textures": len(bank) - before,
        "quarantined": len(bank.quarantined),
        "model": maker.origin.model,
        "model_hash": maker.origin.model_hash,
        "licence": maker.origin.licence,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _sheet(bank: TextureBank, people: list[PlannedIdentity], seed: int, names: Mapping[int, str]) -> bytes:
    """A PNG of the first people with their textures, from the front and from a side."""
    cells = []
    for person in [person for person in people if person.identity_id in names][:SHOWN]:
        number, cell = person.identity_id, person.cell
        (scene,) = sample_scenes(
            seed=seed, identity_id=number, cell=cell, expressions=0, views=1, size=CELL, environments=0
        )
        scene = replace(portrait(scene), texture=names[number])
        side = replace(scene, camera=replace(scene.camera, yaw=SIDE_YAW))
        cells += [Cell(scene, f"id{number:06d}"), Cell(side, f"{cell.sex}, {cell.age_group}, {cell.ancestry}")]
    if not cells:
        raise RefusedError(f"{bank.folder}: no texture to show")
    file = io.BytesIO()
    draw_sheet(Sheet("textures", 6, CELL, tuple(cells)), bank).save(file, "PNG")
    return file.getvalue()
