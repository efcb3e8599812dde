"""Knows what ``pain3d assets`` can be told, and what it prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pain3d.console.refused import RefusedError
from pain3d.console.settings import OneOf, checked


@dataclass(frozen=True)
class Assets:
    """List the photographic skins that you have imported; pain3d assets import PATH imports those of a folder or zip.

    They lie in PAIN3D_ASSETS, or where this system keeps caches; pain3d synth --assets skins draws with them.
    """

    verb: Annotated[str, OneOf(("list", "import")), tyro.conf.Positional, tyro.conf.arg(metavar="[list|import]")] = (
        "list"
    )
    """What to do."""
    path: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[PATH]")] = None
    """Of import: a folder, or a zip such as MakeHuman's makehuman_system_assets_cc0.zip."""
    licence: str = ""
    """Of import: SPDX expression for what states no licence itself; none is what licence.txt or LICENSE there say."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def show_assets(command: Assets, _: float) -> int:
    """Run ``pain3d assets``."""
    from pain3d.pipeline.assets.importing import assets_folder, import_assets, skin_bank

    checked(command)
    new: list[str] = []
    if command.verb == "import":
        if command.path is None:
            raise RefusedError("assets import: say which folder or zip")

        def tell(title: str, name: str, licence: str) -> None:
            new.append(name)
            if not command.json:
                print(f"skin  {name[:16]}  {title}  {licence}", flush=True)

        count = import_assets(command.path, command.licence, tell)
        if not command.json:
            print(f"{len(new)} of {count} are new, in {assets_folder()}; to use: pain3d synth OUT --assets skins")
            return 0
    elif command.path is not None or command.licence:
        raise RefusedError("assets: a path and --licence are of pain3d assets import")
    bank = skin_bank()
    if command.json:
        skins = [
            {"name": name, "title": bank.entry(name).prompt, "licence": bank.entry(name).licence,
             "source_sha256": bank.entry(name).asked} for name in bank
        ]  # fmt: skip
        print(json.dumps({"folder": str(assets_folder()), "skins": skins, "new": new}))
        return 0
    for name in bank:
        entry = bank.entry(name)
        fits = " ".join(filter(None, (entry.sitter.age_group, entry.sitter.sex, entry.sitter.ancestry))) or "anybody"
        print(f"skin  {name[:16]}  {entry.prompt}  {entry.licence}  ({fits})")
    if not bank:
        print(f"nothing in {assets_folder()}; pain3d assets import PATH brings MakeHuman's skins")
    return 0
