"""Knows how the command line says no: in one line, with the exit code for it and the nearest known word."""

from __future__ import annotations

import difflib
import reprlib
import sys
from collections.abc import Sequence
from typing import Any, Final

WRONG: Final = 1
REFUSED: Final = 2
MOST_QUOTED: Final = 80  # characters of a value in a message
MOST_SAID: Final = 1000  # characters of a message: a few long paths, and what is wrong with them
MOST_BITS: Final = 256  # of a whole number that is written out: it has 80 digits


class RefusedError(ValueError):
    """Something the user asked for can't be done; the message is one line and names the culprit.

    What isn't printable in it, because a file said so, is escaped here.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class _Excerpt(reprlib.Repr):
    """`repr` that stops early: its time and memory don't grow with the value."""

    def repr_int(self, number: int, level: int) -> str:
        return repr(number) if number.bit_length() <= MOST_BITS else f"a number of {number.bit_length()} bits"

    def repr_bytes(self, content: bytes, level: int) -> str:
        return repr(content[:MOST_QUOTED])


def _excerpt() -> _Excerpt:
    excerpt = _Excerpt()
    excerpt.maxstring = excerpt.maxother = MOST_QUOTED
    return excerpt


_EXCERPT: Final = _excerpt()


def quoted(value: Any) -> str:
    """A value as a message quotes it: as `repr` writes it, on one line of printable characters, 80 at most."""
    return shortened(printable(_EXCERPT.repr(value)), MOST_QUOTED)


def printable(text: str) -> str:
    """A text whose unprintable characters (control characters, halves of surrogate pairs) are escaped as in `repr`."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def shortened(text: str, most: int) -> str:
    """At most so many characters of a text: where it is longer its begin and its end."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[-end:]}"


def complain(message: str) -> None:
    """One line on stderr, of printable characters, MOST_SAID at most."""
    print(f"pain3d: {shortened(printable(' '.join(message.split())), MOST_SAID)}", file=sys.stderr)


def one_line(error: Exception) -> str:
    """What an error says, on one line of bearable length, of printable characters."""
    return printable(" ".join(str(error).split()) or type(error).__name__)[:200]


def hint(word: str, known: Sequence[str]) -> str:
    """What to say after an unknown word: the nearest known one, or all of them."""
    near = difflib.get_close_matches(word[:MOST_QUOTED], known, n=1)
    return f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
