"""Knows how the command line says no: in one line, with the exit code for it and the nearest known word."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from typing import Final

WRONG: Final = 1
REFUSED: Final = 2
INTERRUPTED: Final = 130


class RefusedError(ValueError):
    """Something the user asked for can't be done; the message is one line and names the culprit."""


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"pain3d: {' '.join(message.split())}", file=sys.stderr)


def one_line(error: Exception) -> str:
    """What an error says, on one line of bearable length."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def hint(word: str, known: Sequence[str]) -> str:
    """What to say after an unknown word: the nearest known one, or all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
