"""Knows what ``pain3d texture`` can be told, and what it prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pain3d.console.settings import OneOf, Within, checked
from pain3d.pipeline.config import Seed


@dataclass(frozen=True)
class Texture:
    """Paint a bank of textures, one for each of a data set's identities: pain3d synth --texture bank:OUT uses it."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the bank: new, empty, or an unfinished one to go on with."""
    identities: Annotated[int, Within(1, 1_000_000)] = 8
    """Number of people; the demographic cells are filled evenly, as synth does it."""
    seed: Seed = 0
    """Whose people: those of a data set of that seed."""
    model: str = ""
    """Folder or hub id of a diffusers model; none is the recipe's, or without one the small model that comes along."""
    recipe: str = ""
    """How the model is used: a name, or a YAML file of your own; none is the one for models of that kind."""
    controlnet: str = ""
    """Folder or hub id of its ControlNet, where that isn't in the model's folder."""
    prompts: str = ""
    """YAML file of what painters are asked for, in place of pain3d's own."""
    steps: Annotated[int, Within(0, 1_000)] = 0
    """Of the sampler; 0 is the recipe's number."""
    views: Annotated[int, Within(3, 5)] = 5
    """Views of a head that are painted, 3 or 5."""
    size: Annotated[int, Within(64, 4096)] = 1024
    """Texels a side, a power of two."""
    view_size: Annotated[int, Within(0, 4096)] = 0
    """Pixels a side of a view; 0 is 768."""
    check: bool = True
    """Put textures aside in which the quality report finds a fault; without, the bank keeps them and says so."""
    device: Annotated[str, OneOf(("auto", "cpu", "cuda")), tyro.conf.arg(metavar="{auto,cpu,cuda}")] = "auto"
    """Where to paint; auto is the GPU where there is one."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def paint_textures(command: Texture, started: float) -> int:
    """Run ``pain3d texture``."""
    from pain3d.pipeline.texture.bank_run import paint_bank

    checked(command)
    receipt = paint_bank(command, started)
    if command.json:
        print(json.dumps(receipt))
        return 0
    print(f"{receipt['new_textures']} textures in {receipt['seconds']:.1f} s, painted by {receipt['model']}")
    print(f"to look at     {command.out / 'textures.png'}")
    print(f"to use         pain3d synth DATA --texture bank:{command.out}")
    return 0
