"""Knows how a picture file becomes the crop that a model sees: read, turned upright, its face found and cut out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.doors.pictures import read_picture
from pain3d.face.square import cut, square_from_points, turn_from_points
from pain3d.setting import CAMERA_PITCH, CAMERA_YAW, NECK_PITCH, NECK_YAW

if TYPE_CHECKING:
    from pain3d.face.detect import Face

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
Square = tuple[float, float, float]

LEAST_SIDE: Final = 32.0  # px of the face square: below it a wrinkle is no pixel
SHARP_SHARE: Final = 0.75  # of the pixels that the model looks at; fewer are said to be blurred
SAID_OUTSIDE, MOST_OUTSIDE = 0.1, 0.3  # share of the face's square that the picture may lack unsaid, and at all
# Degrees that five points tell of a head that is turned no further than those that a model learned from: at most 48 and
# 9 of 216 such frames. `turn_from_points` says what they miss of pitch.
MOST_YAW, MOST_PITCH = 48.0, 11.0
# Degrees that they tell where an eye is not seen: of four people turned by 70° they say 69 to 75, and 0 to 15 % of the
# farther eye's pixels are left; by 60°, 60 to 72 and 11 to 31 %; by 75° or more, 5 % at most.
EYE_HIDDEN: Final = 72.0
TRAINED_YAW, TRAINED_PITCH = CAMERA_YAW + NECK_YAW, CAMERA_PITCH + NECK_PITCH  # degrees, of data sets of pain3d
MOST_ROLL: Final = (
    25.0  # degrees that a head may be tilted in the picture before it is turned; it learned from up to 10
)


@dataclass(frozen=True)
class Portrait:
    """A face that was cut out of a picture.

    Attributes:
        path: The file.
        crop: [C, C, 3] RGB.
        square: x, y of the middle and side, px in the upright picture.
        notes: What the user should know of it, a sentence each.
    """

    path: Path
    crop: Pixels
    square: Square
    notes: tuple[str, ...]


def read_portrait(path: Path, box: Box | None, pixels: int) -> Portrait:
    """Cut the face out of a file.

    Args:
        path: Of the picture.
        box: x0, y0, x1, y1 around the face in the upright picture, from above the brows to the chin; None: it is found.
        pixels: Of a side of the crop, C.

    Raises:
        RefusedError: It can't be read, has no face, or one that is too small, cut off or turned away; names the file.
    """
    picture = read_picture(path)
    square, notes, roll = (
        (square_of_box(path, picture, box), [], 0.0) if box is not None else find_square(path, picture)
    )
    side = square[2]
    outside = share_outside(square, picture)
    if outside >= MOST_OUTSIDE:
        raise RefusedError(f"{path}: {outside:.0%} of the face lie outside the picture, too little of it is seen")
    if outside >= SAID_OUTSIDE:
        notes.append(f"{outside:.0%} of the face lie outside the picture; the edge was repeated there")
    if side < LEAST_SIDE:
        raise RefusedError(f"{path}: the face is {side:.0f} pixels wide, at least {LEAST_SIDE:.0f} are needed")
    if side < SHARP_SHARE * pixels:
        notes.append(f"the face is {side:.0f} pixels wide and was enlarged to {pixels}: fine lines are not in it")
    upright = picture if roll == 0 else turned(picture, square, roll)
    return Portrait(path, cut(upright, *square, pixels), square, tuple(notes))


def square_of_box(path: Path, picture: Pixels, box: Box) -> Square:
    """The square around a box's middle, as wide as its longer side. Raises RefusedError outside the picture."""
    x0, y0, x1, y1 = box
    height, width = picture.shape[:2]
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        numbers = ",".join(f"{value:g}" for value in box)
        raise RefusedError(f"{path}: box {numbers} does not lie in the picture, {width} × {height}")
    return (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0)


def share_outside(square: Square, picture: Pixels) -> float:
    """Share of a square's area that lies outside a picture [H, W, 3], 0–1."""
    x, y, side = square
    height, width = picture.shape[:2]
    inside = [max(0.0, min(at + side / 2, most) - max(at - side / 2, 0)) for at, most in ((x, width), (y, height))]
    return float(1 - inside[0] * inside[1] / (side * side))


def turned(picture: Pixels, square: Square, roll: float) -> Pixels:
    """A picture [H, W, 3] turned about a square's middle, so that what is `roll` degrees clockwise stands upright."""
    import cv2

    about = (square[0] - 0.5, square[1] - 0.5)  # OpenCV counts from the middle of the first pixel
    move = cv2.getRotationMatrix2D(about, roll, 1.0)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, move, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def find_square(path: Path, picture: Pixels) -> tuple[Square, list[str], float]:
    """The face square of the largest face, what is to be said of it, and its tilt where it must be turned, else 0.

    Raises:
        RefusedError: There is none, or one of its eyes is not seen.
    """
    from pain3d.face.detect import find_faces

    faces = find_faces(picture)
    if not faces:
        raise RefusedError(f"{path}: no face found; give its place with --box x0,y0,x1,y1")
    largest = max(faces, key=lambda face: face.area)
    notes = [f"{len(faces)} faces found, the largest is scored; --box chooses another"] if len(faces) > 1 else []
    height, width = picture.shape[:2]
    if not ((largest.points[:2] >= 0) & (largest.points[:2] <= (width, height))).all():
        raise RefusedError(f"{path}: an eye lies outside the picture")
    yaw, pitch = turn_from_points(largest.points)
    if abs(yaw) >= EYE_HIDDEN:
        raise RefusedError(f"{path}: the head is turned by about {abs(yaw):.0f}°, one eye is not seen")
    if abs(yaw) > MOST_YAW:
        notes.append(f"the head is turned by about {abs(yaw):.0f}°; the model learned from up to {TRAINED_YAW:.0f}°")
    if abs(pitch) > MOST_PITCH:
        way = "above" if pitch > 0 else "below"  # five points tell too little of it to say how many degrees
        notes.append(f"the head is seen from far {way}; the model learned from up to {TRAINED_PITCH:.0f}°")
    roll = tilt(largest)
    if abs(roll) <= MOST_ROLL:
        return square_from_points(largest.points), notes, 0.0
    notes.append(f"the head is tilted by {abs(roll):.0f}°; it was turned upright")
    return square_from_points(largest.points), notes, roll


def tilt(face: Face) -> float:
    """Degrees by which the line of the eyes is turned in the picture, clockwise."""
    across = face.points[1] - face.points[0]
    return float(np.degrees(np.arctan2(across[1], across[0])))
