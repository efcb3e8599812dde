"""Knows which code is running: its version and a hash over its sources, with no need of git."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def pain3d_version() -> str:
    """The installed version of pain3d."""
    return version("pain3d")


@cache
def code_version() -> str:
    """SHA-256 over the Python sources that make data, by name and content; the first 12 hex digits."""
    import pain3d
    import pain3d.kernels

    core, kernels, pipeline = Path(pain3d.__path__[0]), Path(pain3d.kernels.__path__[0]), Path(__file__).parent
    digest = hashlib.sha256()
    for name, folder in (("pain3d", core), ("kernels", kernels), ("pipeline", pipeline)):
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if name == "pain3d" and inside.parts[0] in ("kernels", "pipeline", "training"):
                continue  # in a wheel they lie inside pain3d
            digest.update(f"{name}/{inside.as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
