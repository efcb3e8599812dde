"""Knows which code is running: its version and a hash over its sources, with no need of git."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parent


def pain3d_version() -> str:
    """The version of pain3d, of the sources that run."""
    from pain3d import __version__

    return __version__


@cache
def code_version(without: str = "training") -> str:
    """SHA-256 over the Python sources, by name and content; the first 12 hex digits.

    Args:
        without: The half of the house that had no part in it: "training" for a data set, "pipeline" for a model.
    """
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] != without:
            digest.update(f"{inside.as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
