"""Knows what ``pain3d texture`` and ``pain3d teach`` can be told, and what they print."""

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
    """Folder or hub id of a diffusers model, or weights of pain3d teach; none is the recipe's, or without one the small
    model that comes along."""
    recipe: str = ""
    """How the model is used: a name, or a YAML file of your own; none is the one for models of that kind."""
    controlnet: str = ""
    """Folder or hub id of its ControlNet, where that isn't in the model's folder."""
    prompts: str = ""
    """YAML file of what painters are asked for, in place of pain3d's own."""
    delight: str = ""
    """Folder or hub id of an intrinsic image pipeline (Marigold) that takes the light out; none is pain3d's own fit."""
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
    if "finished_already" in receipt:
        print(f"finished already, {receipt['textures']} textures")
    else:
        print(f"{receipt['new_textures']} textures in {receipt['seconds']:.1f} s, painted by {receipt['model']}")
    print(f"to look at     {command.out / 'textures.png'}")
    print(f"to use         pain3d synth DATA --texture bank:{command.out}")
    return 0


@dataclass(frozen=True)
class Teach:
    """Teach the small skin model the textures of a bank; who is held out says whether it helped."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder of the weights: new, empty, or an unfinished one to go on with."""
    bank: Annotated[Path | None, tyro.conf.arg(metavar="BANK")] = None
    """Bank of textures, of pain3d texture, or textures/ of a data set."""
    steps: Annotated[int, Within(1, 1_000_000)] = 400
    """Of learning, eight textures each, on the CPU."""
    seed: Seed = 0
    """The same seed, bank and steps give the same weights."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def teach_textures(command: Teach, started: float) -> int:
    """Run ``pain3d teach``."""
    from pain3d.pipeline.texture.teaching_run import teach_bank

    checked(command)
    receipt = teach_bank(command, started)
    if command.json:
        print(json.dumps(receipt))
        return 0
    if "finished_already" in receipt:
        print(f"finished already\nto use         pain3d synth DATA --texture diffusion --model {receipt['weights']}")
        return 0
    print(f"{receipt['textures']} textures learned in {receipt['seconds']:.1f} s, licence {receipt['licence']}")
    print(f"{receipt['held_out']} people were held out; PSNR in dB of what the front of them does not show")
    *others, (taught, found) = receipt["psnr"].items()
    for way, decibels in others:
        print(f"  {way:<24} {decibels:6.2f}   {taught} is better for {receipt['better'][way]}")
    print(f"  {taught:<24} {found:6.2f}")
    if found <= receipt["psnr"]["as it ships"]:
        print("it did not help: the weights that ship complete these people as well or better")
    print(f"to use         pain3d synth DATA --texture diffusion --model {receipt['weights']}")
    return 0
