"""Knows the commands that learn from data, and what they print."""

from __future__ import annotations

from typing import Final

from pain3d.console.entry import Entry

COMMANDS: Final[dict[str, Entry]] = {}
