"""Knows the square of a picture in which a face's action units show, and how it is cut out.

The square is told by the eye corners and the camera, which an action unit hardly moves: a box around all landmarks
would shrink as the brows come down, and a network would learn that.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

SIDE_METRES: Final = 0.15  # at the depth of the eyes: from above the brows to the chin, 1.2 mm a pixel at 128 pixels
BELOW_EYES: Final = 0.022  # metres from the middle of the eye corners to that of the square
EYE_CORNERS: Final = (36, 39, 42, 45)  # of the 68 iBUG landmarks
LEAST_SCALE: Final = 0.75  # below it the picture is averaged before it is sampled, or fine lines turn into noise
# What `face_square` is told, as columns of a data set, in its order.
SQUARE_COLUMNS: Final = ("landmarks_2d", "landmarks_3d", "camera_K", "camera_R", "camera_t", "roll_degrees")


def face_square(
    landmarks_2d: npt.ArrayLike,
    landmarks_3d: npt.ArrayLike,
    intrinsics: npt.ArrayLike,
    rotation: npt.ArrayLike,
    translation: npt.ArrayLike,
    roll_degrees: float,
) -> tuple[float, float, float]:
    """Middle x, y and side of the face square, in pixels.

    Args:
        landmarks_2d: [68 or more, 2] pixels, x right, y down.
        landmarks_3d: [68 or more, 3] the same points in the world, metres.
        intrinsics: [3, 3] of the camera, pixels.
        rotation: [3, 3] world to view; the camera looks along −Z.
        translation: [3] world to view, metres.
        roll_degrees: Of the head as the camera sees it; positive tips it to its own right, the picture's left.
    """
    corners = np.asarray(landmarks_3d, float)[list(EYE_CORNERS)].mean(0)
    depth = -float(np.asarray(rotation, float)[2] @ corners + np.asarray(translation, float)[2])
    pixels_per_metre = float(np.asarray(intrinsics, float)[1, 1]) / depth
    x, y = np.asarray(landmarks_2d, float)[list(EYE_CORNERS)].mean(0)
    return below_eyes(float(x), float(y), pixels_per_metre, float(np.radians(roll_degrees)))


def below_eyes(x: float, y: float, pixels_per_metre: float, roll: float) -> tuple[float, float, float]:
    """The square of a head whose eyes' middle is at x, y; `roll` in radians."""
    down = BELOW_EYES * pixels_per_metre
    return float(x + down * np.sin(roll)), float(y + down * np.cos(roll)), SIDE_METRES * pixels_per_metre


def cut(picture: npt.NDArray[np.uint8], x: float, y: float, side: float, pixels: int) -> npt.NDArray[np.uint8]:
    """The square of a picture [H, W, 3] or [H, W] as [pixels, pixels, ...]; beyond the picture its edge."""
    import cv2

    scale = pixels / side
    if scale < LEAST_SCALE:
        height, width = picture.shape[:2]
        least = [max(1, int(np.ceil(extent * scale))) for extent in (width, height)]
        x, side, y = x * least[0] / width, side * least[0] / width, y * least[1] / height
        picture = np.asarray(cv2.resize(picture, least, interpolation=cv2.INTER_AREA), np.uint8)
        scale = pixels / side
    left, top = x - side / 2, y - side / 2
    move = np.array([[scale, 0, 0.5 * scale - 0.5 - left * scale], [0, scale, 0.5 * scale - 0.5 - top * scale]])
    moved = cv2.warpAffine(picture, move, (pixels, pixels), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
