"""Knows which code is running: its version and a hash over its sources, with no need of git."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MAKES_DATA: Final = ("pain3d", "kernels", "pipeline")
LEARNS: Final = ("pain3d", "kernels", "training")


@cache
def pain3d_version() -> str:
    """The installed version of pain3d."""
    return version("pain3d")


@cache
def code_version(folders: tuple[str, ...] = MAKES_DATA) -> str:
    """SHA-256 over the Python sources of some folders, by name and content; the first 12 hex digits."""
    digest = hashlib.sha256()
    for name in folders:
        folder = _folder(name)
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if name == "pain3d" and inside.parts[0] in ("kernels", "pipeline", "training"):
                continue  # in a wheel they lie inside pain3d
            digest.update(f"{name}/{inside.as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _folder(name: str) -> Path:
    found = find_spec(name if name == "pain3d" else f"pain3d.{name}")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent
