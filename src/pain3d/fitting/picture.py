"""Knows what is seen: a picture cut to a square, points that were found in it, and the part of it that is compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.colour import srgb_to_linear
from pain3d.face.square import EYE_CORNERS, FIVE_POINTS, cut
from pain3d.fitting.viewpoint import Box
from pain3d.head.model import Head

Doubles = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

# The 68 iBUG points as they are found: those of the jaw line slide along it and lie on a beard; its ends lie under hair
# wherever there is some, up to 17 mm off the skin, and are left out.
JAW_LINE, UNDER_HAIR = range(2, 15), (0, 1, 15, 16)
JAW_TRUST: Final = 1 / 3  # of the trust in another point
# A detector's five points against the head's: 4 % of the side of the face's square was measured for it (`face.square`).
FIVE_DEVIATION: Final = 0.004  # metres
FEWEST: Final = 4  # points that a pose needs
MARGIN: Final = 1.25  # side of the part that is compared, in spans of the points
EYES_IN_SPAN: Final = 3.2  # how much farther than the five points the face reaches


class Picture(NamedTuple):
    """One picture.

    Attributes:
        pixels: [S, S, 3] sRGB, the square that was cut from the file.
        place: Left, top and side of it there, pixels.
        points: [Q, 2] as shares of its side, NaN where unknown; the head's landmarks, then a detector's five.
        trust: [Q] 1 / standard deviation of a point, in the same unit; 0 where it is unknown.
        part: What is compared.
    """

    pixels: Pixels
    place: tuple[int, int, int]
    points: Doubles
    trust: Doubles
    part: Box

    def seen(self, size: int) -> Tensor:
        """The part that is compared, [size, size, 3] sRGB 0–1."""
        side = len(self.pixels)
        left, top, extent = (share * side for share in self.part)
        pixels = cut(self.pixels, left + extent / 2, top + extent / 2, extent, size)
        return torch.from_numpy(pixels.astype(np.float32) / 255)


def square_picture(
    name: str, pixels: Pixels, landmarks: Doubles | None, five: Doubles | None, deviation: float, head: Head
) -> Picture:
    """A picture ready to be compared.

    Args:
        name: Of the picture, for who reads an error.
        pixels: [H, W, 3] sRGB.
        landmarks: [Q, 2] pixels of the head's first Q landmarks, NaN where unknown; None has none.
        five: [5, 2] pixels of a detector's points; None has none.
        deviation: Of the landmarks, pixels.
        head: Whose landmarks they are.

    Raises:
        ValueError: Fewer points are known than a pose needs.
    """
    total = len(head.landmark_names) + len(FIVE_POINTS)
    points, trust = np.full((total, 2), np.nan), np.zeros(total)
    if landmarks is not None:
        points[: len(landmarks)] = landmarks
        trust[: len(landmarks)] = 1 / deviation
        trust[list(JAW_LINE)] *= JAW_TRUST
        trust[list(UNDER_HAIR)] = 0
    if five is not None:
        points[-len(FIVE_POINTS) :] = five
        eyes = np.array(FIVE_POINTS)[1, 0] - np.array(FIVE_POINTS)[0, 0]
        trust[-len(FIVE_POINTS) :] = eyes / np.linalg.norm(five[1] - five[0]) / FIVE_DEVIATION
    trust[np.isnan(points).any(1)] = 0
    found = points[trust > 0]
    if len(found) < FEWEST:
        raise ValueError(f"landmarks of {name} must be {FEWEST} points or more beside the ends of the jaw line")
    height, width = pixels.shape[:2]
    side = min(height, width)
    middle = (found.min(0) + found.max(0)) / 2
    left, top = (
        int(np.clip(round(at - side / 2), 0, extent - side)) for at, extent in zip(middle, (width, height), strict=True)
    )
    shares = (points - (left, top)) / side
    inside = shares[trust > 0]
    low, high = inside.min(0), inside.max(0)
    span = float((high - low).max()) * MARGIN * (EYES_IN_SPAN if landmarks is None else 1.0)
    centre = (low + high) / 2
    part = (float(centre[0] - span / 2), float(centre[1] - span / 2), span)
    squared = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    return Picture(squared, (left, top, side), np.nan_to_num(shares), trust * side, part)


def model_points(head: Head, vertices: Tensor) -> Tensor:
    """Points [B, Q, 3] of meshes [B, V, 3] in the order of `Picture.points`, metres."""
    names = {name: place for place, name in enumerate(head.landmark_names)}
    landmarks = head.landmark_points(vertices)
    eyes = landmarks[:, [names[f"ibug_{corner}"] for corner in EYE_CORNERS]].mean(1, keepdim=True)
    return torch.cat([landmarks, eyes + vertices.new_tensor(FIVE_POINTS)], 1)


def behind(pictures: Sequence[Tensor]) -> Tensor:
    """The pictures [S, S, 3] in linear light [B, S, S, 3], as backgrounds: what is no face then differs in nothing."""
    return torch.from_numpy(srgb_to_linear(torch.stack(list(pictures)).double().numpy())).float()
