"""Knows how text of strangers becomes values, in the whole house: YAML, JSON and tables (CSV), each within limits.

The libraries parse; here stands what they are let at, because each of them takes far more from a file than the file is
long. YAML's aliases say one value many times, and nothing of ours needs them; deep nesting ends C's stack or Python's;
a number of 5,000 digits is a ValueError of Python's own. Of two equal keys of a mapping the last one holds, in both.
"""

from __future__ import annotations

import csv
import json
import re
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from pain3d.console.refused import RefusedError, one_line, shortened
from pain3d.doors.limits import (
    JSON_VALUES,
    LINE_CHARACTERS,
    NESTING,
    NUMBER_DIGITS,
    TABLE_BYTES,
    TEXT_BYTES,
    YAML_BYTES,
)

MOST_TOLD: Final = 160  # characters of what a parser says, which may quote the file
MARKS: Final = b'"[]{}'  # what tells how deep JSON is nested
OTHERS: Final = bytes(set(range(256)) - set(MARKS))
STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one deeper; as an int8, −1
ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
ZEROS: Final = bytes.maketrans(b"123456789E", b"000000000e")
TOO_LONG: Final = b"0" * (NUMBER_DIGITS + 1)
LARGE: Final = b"0e000"  # an exponent that may be beyond a float's, by ZEROS and without its plus
# What YAML 1.1 takes for a number or a date: decimal, octal and base 60; hexadecimal; binary.
NUMBER: Final = re.compile(r"[-+.]?(?:0x[0-9a-fA-F_]*|0b[01_]*|[0-9][0-9_.:eE+-]*)")


def read_bytes(path: Path, most: int, name: str = "") -> bytes:
    """A whole file, of the disk and not of a device or a pipe.

    Args:
        path: Of the file; a link to one will do.
        most: Bytes.
        name: What an error calls it; the path where empty.

    Raises:
        RefusedError: No such file, no file, larger, or the disk fails.
    """
    name = name or str(path)
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            raise RefusedError(f"{name}: {'a folder' if stat.S_ISDIR(kind) else 'no file, but a device or a pipe'}")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise RefusedError(f"{name}: {error.strerror}") from error
    if len(content) > most:
        raise RefusedError(f"{name}: larger than {most} bytes")
    return content


def read_text(path: Path, most: int = TEXT_BYTES, name: str = "", errors: str = "strict") -> str:
    """As `read_bytes`, a text in UTF-8 without its mark of byte order; `errors` as of `bytes.decode`."""
    return _decoded(read_bytes(path, most, name), name or str(path), errors)


def read_json(path: Path, name: str = "") -> Any:
    """What a JSON file holds; see `parse_json`."""
    return parse_json(read_bytes(path, TEXT_BYTES, name), name or str(path))


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: after 8 bytes of its length, JSON of each tensor's kind, shape and place.

    Raises:
        RefusedError: There is none, or it goes beyond the limits of `parse_json`.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            whole = length <= min(TEXT_BYTES, path.stat().st_size)
            held = parse_json(file.read(length), str(path)) if whole else None
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    if not isinstance(held, dict):
        raise RefusedError(f"{path}: not a whole safetensors file")
    return held


def parse_json(content: bytes | str, name: str) -> Any:
    """What a JSON text holds.

    Args:
        content: UTF-8.
        name: What an error calls it.

    Raises:
        RefusedError: It isn't JSON, goes beyond TEXT_BYTES, JSON_VALUES, NESTING or NUMBER_DIGITS, or has a number
            that isn't finite.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    if len(content) > TEXT_BYTES:
        raise RefusedError(f"{name}: larger than {TEXT_BYTES} bytes")
    text = _decoded(content, name)
    opened = content.count(b"[") + content.count(b"{")
    if opened + content.count(b",") > JSON_VALUES:
        raise RefusedError(f"{name}: more than {JSON_VALUES} values")
    if opened > NESTING and _nesting(content) > NESTING:
        raise RefusedError(f"{name}: nested more than {NESTING} deep")
    digits = content.translate(ZEROS, b"+")
    if TOO_LONG in digits:
        raise RefusedError(f"{name}: a number of more than {NUMBER_DIGITS} digits")
    # A hook for floats takes half of the parser's time again, so it is there only where one may be infinite.
    decoder = _CAREFUL if LARGE in digits else _PLAIN
    try:
        return decoder.decode(text)
    except ValueError as error:
        raise RefusedError(f"{name}: no JSON ({error})") from error


def read_yaml(path: Path, name: str = "") -> Any:
    """What a YAML file holds; see `parse_yaml`."""
    return parse_yaml(read_bytes(path, YAML_BYTES, name), name or str(path))


def parse_yaml(content: bytes | str, name: str) -> Any:
    """What a YAML text holds: plain values, never an object of Python's.

    Args:
        content: UTF-8.
        name: What an error calls it.

    Raises:
        RefusedError: It isn't YAML, holds a value that its kind doesn't know (such as a 99th month), an alias, or goes
            beyond YAML_BYTES, NESTING or NUMBER_DIGITS; names the line.
    """
    import yaml

    if len(content) > YAML_BYTES:
        raise RefusedError(f"{name}: larger than {YAML_BYTES} bytes")
    text = content if isinstance(content, str) else _decoded(content, name)
    loader: Any = _yaml_loader()
    event: Any
    depth = 0
    try:
        for event in yaml.parse(text, loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            wrong = ""
            if depth > NESTING:
                wrong = f"nested more than {NESTING} deep"
            elif isinstance(event, yaml.AliasEvent):
                wrong = "an alias, write the value itself"
            elif isinstance(event, yaml.ScalarEvent) and len(event.value) > NUMBER_DIGITS:
                wrong = f"a number of more than {NUMBER_DIGITS} digits" if NUMBER.fullmatch(event.value) else ""
            if wrong:
                raise RefusedError(f"{name} line {event.start_mark.line + 1}: {wrong}")
        return yaml.load(text, loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = shortened(getattr(error, "problem", None) or one_line(error), MOST_TOLD)
        raise RefusedError(f"{name}: not YAML{f' at line {mark.line + 1}' if mark else ''} ({problem})") from error


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV in UTF-8, its heading too, each with the number of its line.

    Raises:
        RefusedError: No such file, no table, beyond TABLE_BYTES or LINE_CHARACTERS, or a cell that goes over a line.
    """
    size = 0
    asked = False  # for a line, since the last row

    def lines() -> Iterator[str]:
        nonlocal size, asked
        while line := file.readline(LINE_CHARACTERS + 1):
            size += len(line)
            if len(line) > LINE_CHARACTERS or size > TABLE_BYTES:
                what = f"a line of more than {LINE_CHARACTERS} characters" if size <= TABLE_BYTES else "too large"
                raise RefusedError(f"{path}: no table that is read here, {what}")
            if asked:
                raise RefusedError(f"{path} line {rows.line_num}: a cell that doesn't end on its line")
            asked = True
            yield line

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RefusedError(f"{path}: {'a folder' if path.is_dir() else 'no file, but a device or a pipe'}")
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(lines(), strict=True)
            for cells in rows:
                asked = False
                yield rows.line_num, cells
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise RefusedError(f"{path}: not a table of text ({error})") from error


def _decoded(content: bytes, name: str, errors: str = "strict") -> str:
    try:
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise RefusedError(f"{name}: not text in UTF-8 (byte {error.start})") from error


def _nesting(content: bytes) -> int:
    """How deep the brackets of a JSON text go that stand in no string."""
    if b"\\" in content:
        content = ESCAPED.sub(b"", content)
    brackets = b"".join(content.translate(None, OTHERS).split(b'"')[::2])  # between strings, which quotes cut out
    steps = np.frombuffer(brackets.translate(STEPS), np.int8)
    return int(steps.cumsum(dtype=np.int64).max(initial=0))


def _finite(text: str) -> float:
    number = float(text)
    if number in (np.inf, -np.inf):
        raise ValueError(f"{text} is too large a number")
    return number


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON's")


_PLAIN: Final = json.JSONDecoder(parse_constant=_refuse_constant)
_CAREFUL: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


@cache
def _yaml_loader() -> Any:
    """PyYAML's safe loader, in C where it is there; whatever its constructors raise is an error with a line."""
    import yaml
    from yaml.constructor import ConstructorError

    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(safe):  # type: ignore[misc]
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
                kind, told = node.tag.rpartition(":")[2], f": {error}" if type(error) is ValueError else ""
                raise ConstructorError(None, None, f"no {kind}{told}", node.start_mark) from error

    return Loader
