"""Knows what `pain3d mesh` can be told and what it prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import RefusedError
from pain3d.console.settings import Within, checked

if TYPE_CHECKING:
    from pain3d.facs import ActionUnits


@dataclass(frozen=True)
class WriteMesh:
    """Write a person's head for other programs: .glb with action units and joints to move, .obj or .ply as it is."""

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The file: its ending is the format. An OBJ or PLY has its picture beside it."""
    au: Annotated[tuple[str, ...], tyro.conf.arg(metavar="AU4=3 ...")] = ()
    """The expression, FACS intensities 0–5: AU4=3, AU6_L=2, AU43=1."""
    seed: Annotated[int, Within(0, 2**63 - 1)] = 0
    """Whose head and skin."""
    identity: Annotated[int, Within(0, 2**31 - 1)] = 0
    """Which person of that seed."""
    texture_size: Annotated[int, Within(64, 4096)] = 1024
    """Pixels a side of the picture, a power of two."""
    texture: bool = True
    """Paint the skin; else the head is clay, without hair."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def write_mesh(command: WriteMesh, _: float) -> int:
    """Write and print the files. Raises RefusedError: an action unit, ending or number that there is none of."""
    try:
        checked(command)
    except RefusedError as error:
        raise RefusedError(f"--{error}") from None
    au = action_units(command.au)
    from pain3d.head import Head
    from pain3d.mesh_files.saving import FORMATS

    if command.out.suffix.lower() not in FORMATS:
        raise RefusedError(f"{command.out}: a mesh is written as {', '.join(FORMATS)}")
    if command.texture_size & (command.texture_size - 1):
        raise RefusedError(f"--texture-size {command.texture_size}: must be a power of two")
    head = Head.default()
    person = head.sample_identity(command.seed, command.identity)
    texture = surface = None
    if command.texture:
        from pain3d.skin import paint, sample_skin, surface_maps
        from pain3d.skin import surface as surface_of

        skin = sample_skin(command.seed, command.identity, age=person.age, sex=person.sex, ancestry=person.ancestry)
        surface = surface_of(head, skin)
        texture = paint(surface_maps(head, command.texture_size), skin)
    if command.out.suffix.lower() == ".glb":
        files = head.save(command.out, person, au, texture=texture, surface=surface)
    else:
        files = head(person, au, surface=surface).save(command.out, texture=texture)
    said = [str(path) for path in files]
    print(json.dumps({"files": said, "pspi": au.pspi()}) if command.json else "\n".join(said))
    return 0


def action_units(words: tuple[str, ...]) -> ActionUnits:
    """The face of words like ``AU4=3``. Raises RefusedError, naming the word."""
    from pain3d.facs import ActionUnits

    given: dict[str, float] = {}
    for word in words:
        name, sign, number = word.partition("=")
        try:
            value = float(number)
        except ValueError:
            sign = ""
        if not sign:
            raise RefusedError(f"--au {word}: write it as AU4=3")
        given[name] = value
    try:
        return ActionUnits(**given)
    except ValueError as error:
        raise RefusedError(f"--au: {error}") from None


COMMANDS: Final = {"mesh": Entry(WriteMesh, write_mesh)}
