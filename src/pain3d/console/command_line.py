"""Knows how words on a command line become a dataclass, and how what tyro says of a bad one becomes one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final

import tyro

from pain3d.console.refused import RefusedError, hint

ABOUT = "Labelled synthetic pain faces from a 3D head, and networks that learn from them. pain3d --version says which."

# What other programs call what a command here calls otherwise; which of these a command has, it has.
MEANT: Final[dict[str, tuple[str, ...]]] = {
    "--workers": ("--processes",), "--num-workers": ("--processes",), "--jobs": ("--processes",),
    "--batch-size": ("--batch",), "--learning-rate": ("--lr",), "--epochs": ("--steps",), "--max-steps": ("--steps",),
    "--model-name": ("--backbone",), "--pretrained": ("--weights",), "--output": ("--to",), "--out": ("--to",),
}  # fmt: skip


def parse(given: Sequence[str], forms: Mapping[str, type]) -> Any:
    """An instance of the form of the command that is named first.

    A form may have a method ``with_config()``: it hands back an instance whose values become the defaults, or None. The
    line is then parsed again, so that what stands on it overrides the file.

    Args:
        given: The words.
        forms: Dataclass of each command, by its name.

    Raises:
        RefusedError: One line, made of what tyro says.
    """
    command = _parse_once(given, forms, None)
    read = command.with_config() if hasattr(command, "with_config") else None
    return command if read is None else _parse_once(given, forms, read)


def _parse_once(given: Sequence[str], forms: Mapping[str, type], default: Any) -> Any:
    if given and not given[0].startswith("-") and given[0] not in forms:
        raise RefusedError(f"unknown command {given[0]!r}{hint(given[0], list(forms))}")
    arms: list[Any] = []
    annotated: Any = Annotated  # made at run time, which is no type to a type checker
    for name, form in forms.items():
        known: dict[str, Any] = {"default": default} if isinstance(default, form) else {}
        arms.append(annotated[form, tyro.conf.subcommand(name, **known)])
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            command, unknown = tyro.cli(
                reduce(or_, arms), args=list(given), prog="pain3d", description=ABOUT, return_unknown_args=True
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise RefusedError(_one_line(said.getvalue())) from None
    if unknown:
        option = unknown[0].partition("=")[0]
        if not option.startswith("-"):
            raise RefusedError(f"unexpected argument {unknown[0]!r}")
        new = renamed_options(command).get(option.replace("_", "-"))
        if new is not None:
            raise RefusedError(f"{option} is now {new}")
        had = options(command)
        meant = next((f", did you mean {word}?" for word in MEANT.get(option, ()) if word in had), None)
        raise RefusedError(f"unknown option {option}{meant or hint(option, had)}")
    return command


def options(command: Any) -> list[str]:
    """The options of a command: its fields, and those of dataclasses in them, but nothing that has no default."""
    names: list[str] = []
    for field in fields(command):
        value = getattr(command, field.name)
        if is_dataclass(value):
            names += options(value)
        elif field.default is not MISSING or field.default_factory is not MISSING:
            names.append(f"--{field.name.replace('_', '-')}")
    return names


def renamed_options(command: Any) -> dict[str, str]:
    """Options of a command that had another name before, old → new, from ``RENAMED`` of its form and of those in it."""
    renamed = {f"--{old}": f"--{new}" for old, new in getattr(command, "RENAMED", {}).items()}
    for field in fields(command):
        value = getattr(command, field.name)
        renamed |= renamed_options(value) if is_dataclass(value) else {}
    return {old.replace("_", "-"): new.replace("_", "-") for old, new in renamed.items()}


def _one_line(said: str) -> str:
    """The first paragraph of tyro's box of text as one line."""
    lines = [line.strip(" │╭╮╰╯") for line in said.splitlines()]
    blocks: list[list[str]] = [[]]
    for line in lines[1:]:
        if re.fullmatch(r"[-─]{3,}", line):
            blocks.append([])
        elif line:
            blocks[-1].append(line)
    filled = [block for block in blocks if block]
    return " ".join(filled[0]).removesuffix(".") if filled else "the command line can't be parsed"
