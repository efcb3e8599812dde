"""Knows what pictures are taken of and how, as tensors: all numbers of many scenes, ready to be moved at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.colour import temperature_gains
from pain3d.device import map_tensors, moved_at_once
from pain3d.environment.own import place_of
from pain3d.environment.panorama import Environment
from pain3d.facs.action_units import stack
from pain3d.kernels._described import described
from pain3d.light import INFRARED, Light
from pain3d.random import keyed_number
from pain3d.rendering.infrared import lamp_light
from pain3d.scene import Scene
from pain3d.setting import LightSetting


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
        sensor: [N, 5] float64, `Sensor.settings`.
        noise_key: [N] int64.
        quality: [N] int64, of the JPEG.
    """

    __repr__ = described

    au: Tensor
    neck: Tensor
    gaze: Tensor
    camera: Camera
    light: Light
    gains: Tensor
    sensor: Tensor
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


def shots_of(
    scenes: Sequence[Scene], places: Mapping[str, Environment] | None = None, *, effects: bool = False
) -> Shots:
    """The tensors of scenes of one size, on the CPU; `places` are own ones that light some, by name.

    Args:
        scenes: N of them.
        places: Own ones, by name.
        effects: Whether who asks draws what else a camera does (`Scene.effects`); tensors don't tell it.

    Raises:
        ValueError: Sizes differ, a place isn't among `places`, or a camera does what nobody draws.
    """
    for scene in scenes:
        if scene.effects and not effects:
            raise ValueError(
                f"scenes must be plain pictures, got {', '.join(scene.effects)}: only render_scenes does it"
            )
    if any(scene.size != scenes[0].size for scene in scenes):
        raise ValueError("scenes must share one size")
    poses, sensors = [scene.pose for scene in scenes], [scene.sensor for scene in scenes]
    neck = np.array([(pose.neck_pitch, pose.neck_yaw, pose.neck_roll) for pose in poses], np.float32)
    gaze = np.array([(pose.gaze_pitch, pose.gaze_yaw, 0.0) for pose in poses], np.float32)
    noises = [scene.expression_id if scene.noise_id is None else scene.noise_id for scene in scenes]
    ids = [(s.seed, "sensor/noise", s.identity_id, n, s.view_id) for s, n in zip(scenes, noises, strict=True)]
    return Shots(
        au=torch.from_numpy(stack(scene.au for scene in scenes)).float(),
        neck=torch.deg2rad(torch.from_numpy(neck)),
        gaze=torch.deg2rad(torch.from_numpy(gaze)),
        camera=cameras(scenes),
        light=lights(scenes, places),
        gains=background_gains(scenes),
        sensor=torch.tensor([s.settings for s in sensors], dtype=torch.float64),
        noise_key=torch.tensor([keyed_number(*each) for each in ids], dtype=torch.int64),
        quality=torch.tensor([s.quality for s in sensors]),
    )


def cameras(scenes: Sequence[Scene]) -> Camera:
    """The camera of each scene; one without distortion, where none has any."""
    settings = [scene.camera for scene in scenes]
    placed = Camera.orbit(
        yaw_degrees=[s.yaw for s in settings],
        pitch_degrees=[s.pitch for s in settings],
        roll_degrees=[s.roll for s in settings],
        distance=[s.distance for s in settings],
        fov_degrees=[s.fov for s in settings],
        target=torch.tensor([s.target for s in settings], dtype=torch.float64),
        size=scenes[0].size,
    )
    if not any(s.distortion for s in settings):
        return placed
    return replace(placed, distortion=torch.tensor([s.distortion for s in settings], dtype=torch.float32))


def lights(scenes: Sequence[Scene], places: Mapping[str, Environment] | None = None) -> Light:
    """The light of each scene, exposed and white-balanced as its sensor has it; `places` as for `shots_of`."""
    settings = [scene.light for scene in scenes]
    names = ("name", "azimuth", "elevation", "intensity", "key_share", "temperature", "size")
    kinds = [2 if setting.name == INFRARED else int(setting.is_place) for setting in settings]
    presets = [setting for setting, kind in zip(settings, kinds, strict=True) if kind == 0]
    parts = [Light.presets(*([getattr(setting, name) for setting in presets] for name in names))] if presets else []
    parts += [_lit(setting, place_of(setting.name, places)) for setting in settings if setting.is_place]
    dark = [scene for scene, kind in zip(scenes, kinds, strict=True) if kind == 2]
    parts += [lamp_light([scene.light for scene in dark], cameras(dark))] if dark else []
    order = np.argsort(np.argsort(kinds, kind="stable"), kind="stable")
    named = ("sh", "key_direction", "key_colour", "exposure")
    joined = Light(*(torch.cat([getattr(light, name) for light in parts]) for name in named))
    sizes = [torch.zeros(len(light)) if light.key_size is None else light.key_size for light in parts]
    if any(setting.size for setting in settings):
        joined = replace(joined, key_size=torch.cat(sizes))
    light = map_tensors(joined, itemgetter(torch.from_numpy(order)))
    exposure = light.exposure * torch.tensor([2**scene.sensor.exposure for scene in scenes], dtype=torch.float32)
    return replace(light, exposure=exposure).with_gains(white_balance(scenes))


@lru_cache(maxsize=64)  # with fixed cameras all pictures of a person have one
def _lit(setting: LightSetting, place: Environment) -> Light:
    return Light.environment(
        place,
        yaw_degrees=setting.azimuth,
        intensity=setting.intensity,
        key_share=setting.key_share,
        temperature=setting.temperature,
        size=setting.size,
    )


def white_balance(scenes: Sequence[Scene]) -> Tensor:
    """Factors [B, 3] on linear light that turn white into the colour it has in each scene's picture."""
    gains = temperature_gains([scene.sensor.white_balance for scene in scenes])
    return torch.from_numpy(gains.astype(np.float32))


def background_gains(scenes: Sequence[Scene]) -> Tensor:
    """Factors [B, 3] on the linear light of each scene's background: its exposure and its white balance."""
    exposure = torch.tensor([[2**scene.sensor.exposure] for scene in scenes], dtype=torch.float32)
    return white_balance(scenes) * exposure
