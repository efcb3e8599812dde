"""Knows how a dataclass of settings is read from YAML and checked: unknown keys, wrong types, values out of limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from pain3d.console.refused import RefusedError, hint

MAX_BYTES: Final = 1 << 20  # settings are a few hundred bytes; a larger file is something else
Form = TypeVar("Form")


class Within(NamedTuple):
    """Beside the type of a number: the smallest and the largest that the setting may be."""

    least: float
    most: float


class OneOf(NamedTuple):
    """Beside the type of a text: the words that the setting may be."""

    words: tuple[str, ...]


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


def load_settings(path: Path, start: Form, validated: Callable[[Form], Form]) -> Form:
    """Settings of a YAML file over those of `start`; see `with_content`. Raises RefusedError, which names the file."""
    content = read_yaml(path)
    try:
        return with_content(start, content, validated)
    except RefusedError as error:
        raise RefusedError(f"--config {path}: {error}") from error


def with_content(start: Form, content: Mapping[Any, Any], validated: Callable[[Form], Form]) -> Form:
    """Settings of a mapping over those of `start`, checked by `validated`.

    A form whose fields had other names before has them in ``RENAMED``: old name → new name.

    Raises:
        RefusedError: A key is no field of the form (its new name or the nearest one is named), or a value isn't right.
    """
    renamed = getattr(start, "RENAMED", {})
    names = [field.name for field in dataclasses.fields(start)]  # type: ignore[arg-type]
    for key in content:
        if key in renamed:
            raise RefusedError(f"{key} is now {renamed[key]}")
        if key not in names:
            raise RefusedError(f"unknown key {str(key)!r}{hint(str(key), names)}")
    return validated(dataclasses.replace(start, **content))  # type: ignore[type-var]


def checked(settings: Form) -> Form:
    """Hand back a dataclass if every field is of its type and within the limits that stand beside it.

    A number needs `Within`, a text may have `OneOf`, and fields of other types are left alone.

    Raises:
        RefusedError: Names the first field that isn't right, what it may be and what it holds.
    """
    types = get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        name, value, annotation = field.name, getattr(settings, field.name), types[field.name]
        kind, *beside = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
        words = get_args(kind) if get_origin(kind) is Literal else ()
        least = most = 0.0
        for extra in beside:
            if isinstance(extra, Within):
                least, most = extra
            elif isinstance(extra, OneOf):
                words = extra.words
        if words:
            expected, fine = f"one of {', '.join(words)}", value in words
        elif kind is bool:
            expected, fine = "true or false", type(value) is bool
        elif kind is int:
            expected = f"a whole number from {least} to {most}"
            fine = type(value) is int and least <= value <= most
        elif kind is float:
            expected = f"a number from {least:g} to {most:g}"
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            fine = number and least <= value <= most  # false for NaN
        else:
            expected, fine = "a text", kind is not str or isinstance(value, str)
        if not fine:
            raise RefusedError(f"{name} must be {expected}, got {value!r}")
    return settings
