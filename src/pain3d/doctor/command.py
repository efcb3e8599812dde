"""Knows what `pain3d doctor` can be told and what it prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import tyro

from pain3d.console.entry import Entry
from pain3d.console.refused import WRONG, RefusedError

if TYPE_CHECKING:
    from pain3d.doctor.findings import Findings


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, which heads there are under which licences, and what would be faster."""

    head: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PATH ...")] = ()
    """Heads of your own to look at: a FLAME pickle, ICT-FaceKit's folder, a folder of OBJ files."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """End with one JSON object on stdout."""


def run_doctor(command: Doctor, _: float) -> int:
    """Print what was found; 1 where something that is needed is missing. Raises RefusedError: a head that is none."""
    from pain3d.doctor.findings import examine
    from pain3d.head.assets import HeadFileError

    try:
        found = examine(command.head)
    except HeadFileError as error:
        raise RefusedError(str(error)) from None
    print(json.dumps(found.as_dict()) if command.json else page(found))
    return 0 if found.ok else WRONG


def page(found: Findings) -> str:
    """The findings as lines."""
    lines = [f"{name:<24} {value}" for name, value in found.system.items()]
    lines += [f"{'device':<24} {found.device}", "", "needed"]
    lines += [f"  {name:<22} {value}" for name, value in found.needed.items()]
    lines += ["", "optional"]
    for name, entry in found.optional.items():
        how = "" if entry["version"] != "missing" else f'; pip install "pain3d[{entry["extra"]}]"'
        lines.append(f"  {name:<22} {entry['version']:<12} {entry['opens']}{how}")
    lines += ["", "heads"]
    for entry in found.heads:
        lacking = f"; missing: {entry['missing']}" if entry["missing"] else ""
        lines.append(f"  {entry['head']:<22} {entry['licence']}{lacking}")
    return "\n".join([*lines, "", "faster", *(f"  {line}" for line in found.faster or ["nothing that we know of"])])


COMMANDS: Final = {"doctor": Entry(Doctor, run_doctor)}
