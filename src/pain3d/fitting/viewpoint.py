"""Knows the camera of a fit: seven numbers, those of a scene's, and the part of its picture that is compared."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.rendering.frames import PlacedCamera
from pain3d.setting import FRAME_CENTRE, FRAME_MM, CameraSetting

Doubles = npt.NDArray[np.float64]
Box = tuple[float, float, float]  # left, top and side, as shares of the picture's side

WHOLE: Final[Box] = (0.0, 0.0, 1.0)
YAWS, PITCHES = (-50, -25, 0, 25, 50), (-12, 12)  # degrees that are tried before the first step
ROUNDS: Final = 3  # of setting distance and shift: the second depends a little on the first


def cameras(rows: Doubles, box: Box, size: int) -> PlacedCamera:
    """Cameras of rows [B, 7] (see `CAMERA_MEAN`) that see a square part of the picture, `size` pixels a side."""
    yaw, pitch, roll, across, up, distance, focal = rows.T
    turn = np.radians(yaw)
    x, y, z = FRAME_CENTRE
    whole = Camera.orbit(
        yaw_degrees=torch.from_numpy(yaw.copy()),
        pitch_degrees=torch.from_numpy(np.clip(pitch, -89, 89)),
        roll_degrees=torch.from_numpy(roll.copy()),
        distance=torch.from_numpy(np.exp(distance)),
        fov_degrees=torch.from_numpy(np.degrees(2 * np.arctan(FRAME_MM / 2 / np.exp(focal)))),
        target=torch.from_numpy(np.stack([x + across * np.cos(turn), y + up, z - across * np.sin(turn)], 1)),
        size=size,
    )
    left, top, side = box
    part = torch.eye(4)
    part[0, 0] = part[1, 1] = 1 / side
    part[0, 2], part[1, 2] = -(2 * left + side - 1) / side, -(1 - 2 * top - side) / side  # of z, which is w
    return PlacedCamera(whole.world_to_view, whole.fov_degrees, whole.size, part @ whole.world_to_clip, whole.position)


def projected(rows: Doubles, points: Tensor) -> Doubles:
    """Where cameras [B, 7] see points [B or 1, Q, 3]: [B, Q, 2], shares of the picture's side."""
    return np.asarray(cameras(rows, WHOLE, 1).project(points).double().numpy())


def first_camera(start: Doubles, points: Tensor, seen: Doubles) -> Doubles:
    """A camera [7] that sees points [Q, 3] about where they were seen [Q, 2]: the best of a few turns."""
    found: list[tuple[float, Doubles]] = []
    for yaw in YAWS:
        for pitch in PITCHES:
            camera = start.copy()
            camera[:2] = yaw, pitch
            for _ in range(ROUNDS):
                at = projected(camera[None], points[None])[0]
                spread = ((seen - seen.mean(0)) ** 2).sum() / ((at - at.mean(0)) ** 2).sum()
                camera[5] -= 0.5 * math.log(spread)
                across, down = (seen - projected(camera[None], points[None])[0]).mean(0)
                high = FRAME_MM * math.exp(camera[5] - camera[6])  # metres that the picture is high at the target
                camera[3] -= across * high
                camera[4] += down * high
            found.append((float(((projected(camera[None], points[None])[0] - seen) ** 2).sum()), camera))
    return min(found, key=lambda one: one[0])[1]


def setting(row: Doubles) -> CameraSetting:
    """The scene's camera of a row [7]."""
    yaw, pitch, roll, across, up, distance, focal = row.tolist()
    turn = math.radians(yaw)
    x, y, z = FRAME_CENTRE
    target = (round(x + across * math.cos(turn), 5), round(y + up, 5), round(z - across * math.sin(turn), 5))
    return CameraSetting(
        round(yaw, 3), round(pitch, 3), round(roll, 3), round(math.exp(distance), 4), round(math.exp(focal), 2), target
    )
