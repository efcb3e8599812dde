"""Knows how a dataclass of settings is read from YAML and checked: unknown keys, wrong types, values out of limits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pain3d.console.refused import RefusedError, hint

MAX_BYTES: Final = 1 << 20  # settings are a few hundred bytes; a larger file is something else
Limits = Mapping[str, tuple[float, float]]
Choices = Mapping[str, tuple[str, ...]]
Form = TypeVar("Form")


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds. Raises RefusedError in one line."""
    import yaml

    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RefusedError(f"--config {path}: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise RefusedError(f"--config {path}: larger than {MAX_BYTES} bytes, that is no configuration")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise RefusedError(f"--config {path}: not YAML{where}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RefusedError(f"--config {path}: expected a mapping of names to values, got a {type(content).__name__}")
    return content


def check_keys(content: Mapping[Any, Any], form: type) -> None:
    """Raise RefusedError for the first key that is no field of the form; its new name or the nearest one is named.

    A form whose fields had other names before has them in ``RENAMED``: old name → new name.
    """
    renamed = getattr(form, "RENAMED", {})
    names = [field.name for field in dataclasses.fields(form)]
    for key in content:
        if key in renamed:
            raise RefusedError(f"{key} is now {renamed[key]}")
        if key not in names:
            raise RefusedError(f"unknown key {str(key)!r}{hint(str(key), names)}")


def checked(settings: Form, limits: Limits, choices: Choices) -> Form:
    """Hand back a dataclass if every field is of its type and within its limits.

    A field's type is that of its default: whole numbers and numbers need limits, texts may have choices.

    Raises:
        RefusedError: Names the first field that isn't right, what it may be and what it holds.
    """
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        name, value, default = field.name, getattr(settings, field.name), field.default
        if name in choices:
            if value not in choices[name]:
                raise RefusedError(f"{name} must be one of {', '.join(choices[name])}, got {value!r}")
        elif isinstance(default, bool):
            if type(value) is not bool:
                raise RefusedError(f"{name} must be true or false, got {value!r}")
        elif isinstance(default, int):
            least, most = limits[name]
            if type(value) is not int or not least <= value <= most:
                raise RefusedError(f"{name} must be a whole number from {least} to {most}, got {value!r}")
        elif isinstance(default, float):
            least, most = limits[name]
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not least <= value <= most:
                raise RefusedError(f"{name} must be a number from {least:g} to {most:g}, got {value!r}")
        elif isinstance(default, str) and not isinstance(value, str):
            raise RefusedError(f"{name} must be a text, got {value!r}")
    return settings
