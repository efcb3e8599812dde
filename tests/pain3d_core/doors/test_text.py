"""YAML, JSON and tables come in whole and within limits; every other one is refused in one line that names it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pain3d.console.refused import MOST_QUOTED, MOST_SAID, RefusedError, complain, quoted
from pain3d.doors import text
from pain3d.doors.limits import JSON_VALUES, LINE_CHARACTERS, NESTING, NUMBER_DIGITS, TEXT_BYTES, YAML_BYTES

# 9 levels of 9 aliases each: 368 bytes that are a billion values.
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join([f'*{chr(97 + level)}'] * 9)}]\n" for level in range(9)
)
YAMLS = {  # what a configuration may hold that ends a reader, and what is said of it
    "seed: 2020-99-99": "not YAML at line 1 (no timestamp: month must be in 1..12)",
    'seed: !!int "x"': "not YAML at line 1 (no int: invalid literal for int() with base 10: 'x')",
    'seed: !!int ""': "not YAML at line 1 (no int)",
    '\nseed: !!bool "x"': "not YAML at line 2 (no bool)",
    'seed: !!timestamp "x"': "not YAML at line 1 (no timestamp)",
    "[" * 20_000: f"line 1: nested more than {NESTING} deep",
    "{a: " * 20_000: f"line 1: nested more than {NESTING} deep",
    f"a: 1\nseed: {'1' * 5000}": f"line 2: a number of more than {NUMBER_DIGITS} digits",
    f"seed: 0x{'f' * 5000}": f"line 1: a number of more than {NUMBER_DIGITS} digits",
    f"seed: 1{':10' * 5000}": f"line 1: a number of more than {NUMBER_DIGITS} digits",
    LAUGHS: "line 2: an alias, write the value itself",
    "&a [*a]": "line 1: an alias, write the value itself",
    "seed: !!python/object/apply:os.system ['false']": "python/object/apply:os.system",
    "? [a]\n: b": "not YAML at line 1 (found unhashable key)",
    "a: [": "not YAML at line",
    "a: \0": "not YAML",
    "a: " + "x" * YAML_BYTES: f"larger than {YAML_BYTES} bytes",
}
JSONS = {
    "": "no JSON (Expecting value: line 1 column 1 (char 0))",
    "[" * 20_000: f"nested more than {NESTING} deep",
    '{"a":' * 500 + "1" + "}" * 500: f"nested more than {NESTING} deep",
    f'{{"seed": {"1" * 5000}}}': f"a number of more than {NUMBER_DIGITS} digits",
    f'{{"seed": 0.{"1" * 5000}}}': f"a number of more than {NUMBER_DIGITS} digits",
    '{"seed": 1e999}': "no JSON (1e999 is too large a number)",
    '{"seed": -1E+999}': "no JSON (-1E+999 is too large a number)",
    '{"seed": NaN}': "no JSON (NaN is no number of JSON's)",
    '{"seed": -Infinity}': "no JSON (-Infinity is no number of JSON's)",
    "[" + "[]," * (JSON_VALUES // 2) + "0]": f"more than {JSON_VALUES} values",
    " " * (TEXT_BYTES + 1): f"larger than {TEXT_BYTES} bytes",
}
TABLES = {
    "a,b\n" + "x" * 200_000 + ",1\n": f"a line of more than {LINE_CHARACTERS} characters",
    'a,b\n"x\ny",2\n': "line 2: a cell that doesn't end on its line",
    'a,b\n"x,2\n': "not a table of text",
    'a,b\n"x"y,2\n': "not a table of text",
}


def rows(path: Path) -> list[tuple[int, list[str]]]:
    return list(text.read_rows(path))


READERS = {"yaml": text.read_yaml, "json": text.read_json, "csv": rows, "txt": text.read_text}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("what", ["absent", "folder", "loop", "pipe", "device", "not text"])
def test_what_is_no_file_of_text_is_refused(kind: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / f"it.{kind}"
    if what == "folder":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "not text":
        path.write_bytes(b"a: \xe9")
    with pytest.raises(RefusedError, match=rf"^{path}: ") as refused:
        READERS[kind](path)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("reader", "content", "said"),
    [
        *((text.read_yaml, content, said) for content, said in YAMLS.items()),
        *((text.read_json, content, said) for content, said in JSONS.items()),
        *((rows, content, said) for content, said in TABLES.items()),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_hostile_text_is_refused_in_one_line(
    reader: Callable[[Path], Any], content: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "it"
    path.write_text(content)
    with pytest.raises(RefusedError) as refused:
        reader(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert said in message
    assert len(message.splitlines()) == 1
    assert len(message) < 400


def test_an_ordinary_text_comes_in_whole(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes(b"\xef\xbb\xbfname: h\xc3\xa9\nwhen: 2026-01-02\nlist: [1, 2.5, null]\nsame: 1\nsame: 2\n")
    held = text.read_yaml(path)
    assert (held["name"], held["list"], held["same"]) == ("hé", [1, 2.5, None], 2)
    assert str(held["when"]) == "2026-01-02"
    deep = json.loads("[" * (NESTING - 1) + "]" * (NESTING - 1))
    value = {"a": 'quoted "[[{" and \\', "b": [1e100, 1.5e-300, -(10**30)], "c": deep, "d": "e123" * 40, "e": "[" * 500}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(value).encode())
    assert text.read_json(path) == value == text.parse_json(json.dumps(value), "it")
    path.write_bytes('\ufeffa,b\r\n"1, ""x""",é\r\n\r\n'.encode())
    assert rows(path) == [(1, ["a", "b"]), (2, ['1, "x"', "é"]), (3, [])]


@pytest.mark.parametrize(
    "value",
    [10**10**6, -(10**400), "x" * 10**7, b"x" * 10**7, [[[[["x" * 10**6] * 100] * 100] * 100] * 100] * 100,
     {key: {} for key in range(10**5)}, "\x1b[2J\udce9\n"],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_quoted_value_is_short_and_printable(value: Any) -> None:
    assert len(quoted(value)) <= MOST_QUOTED
    assert quoted(value).isprintable()


def test_a_small_value_is_quoted_as_it_is() -> None:
    for value in ("a", 12, 2.5, None, True, [1, "b"], {"a": 1}, 10**70):
        assert quoted(value) == repr(value)


def test_a_complaint_is_one_short_line_of_printable_characters(capsys: pytest.CaptureFixture[str]) -> None:
    complain("folder\x1b[2J\udce9\x00é: no\nsuch\tthing")
    complain(f"/{'x' * 5000}: no such file")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "pain3d: folder\\x1b[2J\\udce9\\x00é: no such thing"
    assert second.startswith("pain3d: /xxx")
    assert second.endswith("x: no such file")
    assert len(second) == len("pain3d: ") + MOST_SAID
