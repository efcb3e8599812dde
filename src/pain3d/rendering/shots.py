"""Knows what pictures are taken of and how, as tensors: all numbers of many scenes, ready to be moved at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.device import moved_at_once
from pain3d.facs.action_units import stack
from pain3d.light import Light
from pain3d.random import keyed_number
from pain3d.rendering.frames import background_gains, cameras, lights
from pain3d.scene import Scene


@dataclass(frozen=True)
class Shots:
    """N scenes but for who is in them and what stands behind.

    Attributes:
        au: [N, A, 2] intensities.
        neck: [N, 3] axis-angle, radians.
        gaze: [N, 3] of both eyes, likewise.
        camera: N cameras.
        light: N lights, exposed and white-balanced.
        gains: [N, 3] exposure and white balance of the background.
        noise: [2, N] float64, the sensor's `shot` and `read`.
        noise_key: [N] int64.
        quality: [N] int64, of the JPEG.
    """

    au: Tensor
    neck: Tensor
    gaze: Tensor
    camera: Camera
    light: Light
    gains: Tensor
    noise: Tensor
    noise_key: Tensor
    quality: Tensor

    def __len__(self) -> int:
        return len(self.au)

    @property
    def frame(self) -> int:
        """Pixels a side of the whole pictures."""
        return self.camera.size[0]

    def to(self, device: torch.device | str) -> Shots:
        """The same shots on a device: one copy, for which nothing waits."""
        return moved_at_once(self, device)


def shots_of(scenes: Sequence[Scene]) -> Shots:
    """The tensors of scenes of one size, on the CPU.

    Raises:
        ValueError: Sizes differ.
    """
    if any(scene.size != scenes[0].size for scene in scenes):
        raise ValueError("scenes must share one size")
    poses, sensors = [scene.pose for scene in scenes], [scene.sensor for scene in scenes]
    neck = np.array([(pose.neck_pitch, pose.neck_yaw, pose.neck_roll) for pose in poses], np.float32)
    gaze = np.array([(pose.gaze_pitch, pose.gaze_yaw, 0.0) for pose in poses], np.float32)
    keys = [keyed_number(s.seed, "sensor/noise", s.identity_id, s.expression_id, s.view_id) for s in scenes]
    return Shots(
        au=torch.from_numpy(stack(scene.au for scene in scenes)).float(),
        neck=torch.deg2rad(torch.from_numpy(neck)),
        gaze=torch.deg2rad(torch.from_numpy(gaze)),
        camera=cameras(scenes),
        light=lights(scenes),
        gains=background_gains(scenes),
        noise=torch.tensor([[s.shot for s in sensors], [s.read for s in sensors]], dtype=torch.float64),
        noise_key=torch.tensor(keys, dtype=torch.int64),
        quality=torch.tensor([s.quality for s in sensors]),
    )
