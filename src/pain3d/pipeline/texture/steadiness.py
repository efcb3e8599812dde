"""Knows whether a face still stands where its labels say after it was painted over: two witnesses compare the pictures.

A *detector* reads both pictures, ours and the painted one, so that what it always gets wrong cancels. It sees a closed
lid or an open mouth at once, but shadows pull its points: other light moves a corner of the mouth by as much as a shift
of 6 pixels at 512² does. So each part is *matched* too: the patch of our picture around a landmark is looked for in the
painted one, by what light and colour leave alone. That finds small shifts up to `REACH`, the detector the others.

Everything is told in per cent of the face's size, the longer side of the box around its 68 landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.face.landmarker import Reading

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]
Groups = tuple[tuple[int, ...], ...]

# Points of iBUG that move together. Of lids and lips the corners move little, so they stand apart.
CORNERS: Final[Groups] = ((48,), (54,))
LIPS: Final[Groups] = ((50, 51, 52), (56, 57, 58), (61, 62, 63), (65, 66, 67))
LIDS: Final[Groups] = ((37, 38), (40, 41), (43, 44), (46, 47))
BROWS: Final[Groups] = ((17, 18, 19, 20, 21), (22, 23, 24, 25, 26))
NOSE: Final = slice(27, 36)
INNER: Final = slice(17, 68)  # without the jaw, whose points the detector puts on the outline of its mesh
Opening = tuple[tuple[int, int], Groups]  # two points by which it is seen, and pairs of points above and below
# Of a closed mouth the inner points are hidden, so it is the outer ones that tell whether it is seen.
OPENINGS: Final[Mapping[str, tuple[Opening, ...]]] = {
    "lids": (((36, 39), ((37, 41), (38, 40))), ((42, 45), ((43, 47), (44, 46)))),
    "lips": (((51, 57), ((61, 67), (62, 66), (63, 65))),),
}

FACE: Final = 240  # pixels that a face is scaled to before it is matched; at 512² it has 190 to 260
MARGIN: Final = 0.25  # of the face's size, around the box of its landmarks
PATCH, REACH = 0.06, 0.05  # of the face's size: half a patch, and how far it is looked for
SMOOTH, COARSE = 0.004, 0.04  # of the face's size: finer is noise, coarser is light
BETTER: Final = 0.1  # correlation by which another place must win; grain alone wins by up to 0.08

# How far a part may seem to move, per cent of the face's size. Seen (97th percentile of 12 people, two faces each, at
# 512² or 256²: `python -m benchmarks.refined`, table in benchmarks/results/refine) where only colours, only light or
# only skin differ, and in the middle where the part itself moves:
LIMITS: Final[Mapping[str, float]] = {
    "corners matched": 1.0,  # 0, 0.9, 5.0 (old folds beside them); 2.1 where pushed by 6 of 512 pixels, least 1.7
    "lips matched": 1.0,  # 0, 3.5 (gloss and teeth), 1.2; AU25 1.3, a jaw that drops 5.6
    "lids matched": 1.0,  # 0, 0, 0; a lid that closes 4.8
    "brows matched": 1.0,  # 0, 0, 4.5 (lines of the forehead); AU4 3.6
    "corners read": 2.5,  # 1.1, 1.4, 1.8; AU12 on one side 4.3
    "lips read": 2.5,  # 1.6, 2.2, 1.8; a jaw that drops 5.5
    "lids read": 1.5,  # 0.6, 0.7, 1.5; a lid that closes 3.0
    "brows read": 2.5,  # 1.6, 2.0, 4.8; AU4 2.6
    "face read": 1.5,  # 1.0, 1.0, 1.4
}


class Detector(Protocol):
    """Finds the points of the face in a picture: `pain3d.face.landmarker.Landmarker`."""

    def read(self, pixels: Bytes) -> Reading | None:
        """Look at one picture [H, W, 3] sRGB; None if no face is seen."""
        ...


def what_moved(ours: Bytes, painted: Bytes, landmarks: Floats, visible: Truths, detector: Detector) -> str:
    """Which part moved the farthest beyond its limit, in words; empty where all stand as they stood.

    Args:
        ours: [H, W, 3] sRGB, as it was rendered.
        painted: [H, W, 3] sRGB, the same painted over.
        landmarks: [68, 2] pixels of our own, the label.
        visible: [68] which of them nothing hides; the others are not asked about.
        detector: Reads both pictures.
    """
    moved = movements(ours, painted, landmarks, visible, detector)
    if isinstance(moved, str):
        return moved
    worst = max(LIMITS, key=lambda part: moved[part] / LIMITS[part])
    if moved[worst] <= LIMITS[worst]:
        return ""
    return f"{worst}: {moved[worst]:.1f} % of the face's size, at most {LIMITS[worst]:g}"


def movements(
    ours: Bytes, painted: Bytes, landmarks: Floats, visible: Truths, detector: Detector
) -> dict[str, float] | str:
    """How far each part of `LIMITS` seems to have moved, per cent of the face's size, or who sees no face.

    Arguments as of `what_moved`.
    """
    before = detector.read(ours)
    if before is None:
        return "the detector sees no face in our own picture"
    after = detector.read(painted)
    if after is None:
        return "the detector sees no face in the painted picture"
    size = face_size(landmarks)
    return matched(ours, painted, landmarks, visible) | read(before, after, size, visible)


def face_size(landmarks: Floats) -> float:
    """The longer side of the box around [68, 2] landmarks, pixels."""
    return float(np.ptp(landmarks, axis=0).max())


def read(before: Reading, after: Reading, size: float, visible: Truths) -> dict[str, float]:
    """What the detector says of each part; the whole face's own shift is told apart, as ``face``."""
    first, second = before.ibug.astype(float), after.ibug.astype(float)
    shifts = 100 * (second - first) / size
    whole = np.median(shifts[INNER], axis=0)
    lengths = np.linalg.norm(shifts - whole, axis=1)

    def farthest(groups: Groups) -> float:
        return max((float(lengths[list(group)].mean()) for group in _seen(groups, visible)), default=0.0)

    def opened(part: str) -> float:
        parts = (pairs for ends, pairs in OPENINGS[part] if visible[list(ends)].all())
        return max((100 * abs(_gap(second, pairs) - _gap(first, pairs)) / size for pairs in parts), default=0.0)

    return {
        "corners read": farthest(CORNERS),
        "lips read": opened("lips"),
        "lids read": opened("lids"),
        "brows read": farthest(BROWS),
        "face read": float(max(np.linalg.norm(whole), lengths[NOSE].mean())),
    }


def _gap(points: Floats, pairs: Groups) -> float:
    above, below = (points[list(side)] for side in zip(*pairs, strict=True))
    return float(np.linalg.norm(above - below, axis=1).mean())


def _seen(groups: Groups, visible: Truths) -> list[tuple[int, ...]]:
    return [group for group in groups if visible[list(group)].all()]


def matched(ours: Bytes, painted: Bytes, landmarks: Floats, visible: Truths) -> dict[str, float]:
    """How far the patches around the landmarks moved."""
    first, places = _prepared(ours, landmarks)
    second, _ = _prepared(painted, landmarks)
    parts = {"corners matched": CORNERS, "lips matched": LIPS, "lids matched": LIDS, "brows matched": BROWS}
    return {
        name: max((_shift(first, second, places[list(group)]) for group in _seen(groups, visible)), default=0.0)
        for name, groups in parts.items()
    }


def _prepared(picture: Bytes, landmarks: Floats) -> tuple[npt.NDArray[np.float32], Floats]:
    """The face's part of a picture, `FACE` pixels large, without light; and where its landmarks are in it."""
    size = face_size(landmarks)
    scale, room = FACE / size, int(np.ceil(MARGIN * size))
    padded = cv2.copyMakeBorder(picture, room, room, room, room, cv2.BORDER_REPLICATE)
    height, width = picture.shape[:2]
    low = np.clip(np.floor(landmarks.min(0)).astype(int), 0, (width - 1, height - 1))
    high = np.clip(np.ceil(landmarks.max(0)).astype(int), low + 1, (width, height))
    cut = padded[low[1] : high[1] + 2 * room, low[0] : high[0] + 2 * room]
    grey = np.sqrt(cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY).astype(np.float32))
    area = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=area)
    fine = cv2.GaussianBlur(scaled, (0, 0), SMOOTH * FACE)
    return fine - cv2.GaussianBlur(fine, (0, 0), COARSE * FACE), (landmarks - low + room) * scale


def _shift(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], places: Floats) -> float:
    """Of the patches at several places the middle one's way, the shorter of two; per cent of the face's size."""
    half, reach = round(PATCH * FACE), round(REACH * FACE)
    ways: list[float] = []
    for x, y in np.floor(places).astype(int):
        patch = first[y - half : y + half + 1, x - half : x + half + 1]
        around = second[y - half - reach : y + half + reach + 1, x - half - reach : x + half + reach + 1]
        if around.shape != (2 * (half + reach) + 1,) * 2:  # outside the picture and its margin
            continue
        likeness = cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED)
        row, column = np.unravel_index(int(likeness.argmax()), likeness.shape)
        won = likeness[row, column] - likeness[reach, reach]
        ways.append(float(np.hypot(row - reach, column - reach)) if won > BETTER else 0.0)
    ways.sort()
    return 100 * ways[(len(ways) - 1) // 2] / FACE if ways else 0.0
