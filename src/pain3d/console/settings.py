"""Knows how a dataclass of settings is read from YAML and checked: unknown keys, wrong types, values out of limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from pain3d.console.refused import RefusedError, hint, quoted
from pain3d.doors.text import read_yaml

Form = TypeVar("Form")


class Within(NamedTuple):
    """Beside the type of a number: the smallest and the largest that the setting may be."""

    least: float
    most: float


class OneOf(NamedTuple):
    """Beside the type of a text: the words that the setting may be."""

    words: tuple[str, ...]


def read_mapping(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds. Raises RefusedError in one line."""
    content = read_yaml(path, f"--config {path}")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RefusedError(f"--config {path}: expected a mapping of names to values, got a {type(content).__name__}")
    return content


def load_settings(path: Path, start: Form, validated: Callable[[Form], Form]) -> Form:
    """Settings of a YAML file over those of `start`; see `with_content`. Raises RefusedError, which names the file."""
    content = read_mapping(path)
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
            raise RefusedError(f"unknown key {quoted(str(key))}{hint(str(key), names)}")
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
            raise RefusedError(f"{name} must be {expected}, got {quoted(value)}")
    return settings
