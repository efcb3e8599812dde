"""What of a place stands behind the head: the rays of a camera that miss it, looked up far away, out of focus."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pain3d.background import BRIGHTEST, SIZE, disc
from pain3d.colour import LUMINANCE
from pain3d.environment.panorama import Doubles, Environment, Floats

if TYPE_CHECKING:
    from pain3d.setting import CameraSetting

MARGIN = 16  # pixels around: more than the widest disc of `pain3d.setting.BACKGROUND_BLUR`
# A camera for which only the face counted would leave most of a bright room white. Telephones hold back what stands
# behind a face: of what lies above this mean luminance, the root is kept.
KEPT_MEAN = 0.35
GLARE = 4.0  # so many times `BRIGHTEST` a source may be before it is blurred: then its disc is white, not grey


def paint_backdrop(
    place: Environment, yaw_degrees: float, camera: CameraSetting, blur: float, gains: Doubles
) -> Floats:
    """What a camera sees behind the head in a place [128, 128, 3], linear RGB, 0 to `BRIGHTEST` where 1 is white.

    The place is infinitely far, so where the camera stands says nothing, and where it looks all. Above and below the
    strip, where no camera that is drawn looks, its coarse mirror is seen.

    Args:
        place: Where.
        yaw_degrees: How far it is turned about the vertical, see `pain3d.light.Light.environment`.
        camera: Whose angles and lens count.
        blur: Radius of the disc of confusion, as a share of the picture's height, 0–0.12.
        gains: [3] from the place's units to light as the renderer has it.

    Raises:
        ValueError: The blur is out of range.
    """
    import cv2  # here: names and lights of a scene are drawn without OpenCV

    if not 0 <= blur <= MARGIN / SIZE - 0.005:
        raise ValueError(f"blur must be in 0..{MARGIN / SIZE - 0.005}, got {blur}")
    rays = _rays(camera)
    azimuth = np.arctan2(rays[..., 0], rays[..., 2]) - math.radians(yaw_degrees)
    elevation = np.arcsin(np.clip(rays[..., 1], -1, 1))
    rows, columns = place.strip.shape[:2]
    reach = math.pi * rows / columns  # texels are square: half of the strip's height, radians
    seen = _looked_up(place.strip, azimuth, elevation / (2 * reach))
    beyond = np.abs(elevation) > reach
    if beyond.any():
        seen[beyond] = _looked_up(place.mirrors[0], azimuth, elevation / math.pi)[beyond]
    light = np.minimum(seen * gains.astype(np.float32), np.float32(GLARE * BRIGHTEST))
    mean = float((np.minimum(light, 1) @ LUMINANCE.astype(np.float32)).mean())
    light *= np.float32(min((KEPT_MEAN / max(mean, KEPT_MEAN)) ** 0.5, 1.0))
    soft = cv2.filter2D(light, -1, disc(blur * SIZE), borderType=cv2.BORDER_REPLICATE)
    return np.clip(soft[MARGIN:-MARGIN, MARGIN:-MARGIN], 0, BRIGHTEST)


def _looked_up(band: Floats, azimuth: Doubles, height: Doubles) -> Floats:
    """A band [h, w, 3] around the vertical at azimuths, radians, and heights, -0.5 at its foot and 0.5 at its top."""
    import cv2

    rows, columns = band.shape[:2]
    across = np.mod(-azimuth / (2 * np.pi), 1) * columns + 1.5  # beside two columns that are there twice
    down = (0.5 - height) * rows - 0.5
    wrapped = np.concatenate([band[:, -2:], band, band[:, :2]], 1)
    places = across.astype(np.float32), down.astype(np.float32)
    return np.asarray(cv2.remap(wrapped, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _rays(camera: CameraSetting) -> Doubles:
    """Unit vectors [S, S, 3] from the camera through the middles of the backdrop's pixels and of `MARGIN` around."""
    yaw, pitch, roll = (math.radians(angle) for angle in (camera.yaw, camera.pitch, camera.roll))
    back = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    up = np.cross(back, right)
    right, up = math.cos(roll) * right - math.sin(roll) * up, math.sin(roll) * right + math.cos(roll) * up
    half = math.tan(math.radians(camera.pinhole_fov) / 2)  # what a lens bends is bent with the head
    steps = half * (2 * (np.arange(-MARGIN, SIZE + MARGIN) + 0.5) / SIZE - 1)
    rays = steps[None, :, None] * right - steps[:, None, None] * up - back
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))
