"""Knows what words a scene has for a fitted skin and a fitted light: the nearest that a scene can say.

A scene names its skin and its light by a handful of numbers, a fit finds any. What is lost is the texture's detail and
the light's shape beyond a preset, turned and coloured; `Fit.light` and `Fit.texture` have both as they were found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from pain3d.colour import LUMINANCE, temperature_gains
from pain3d.kernels.shading import sh_basis
from pain3d.kernels.shading.reference import A0, A1, A2
from pain3d.light import LIGHTS, Light, key_azimuth
from pain3d.setting import KEY_AZIMUTH, LightSetting, Sensor
from pain3d.skin import Skin

Doubles = npt.NDArray[np.float64]

GRID: Final = 21  # values of melanin and of blood that are tried; carotene has CAROTENES
CAROTENES: Final = (0.1, 0.25, 0.4)
TURNS: Final = np.arange(-KEY_AZIMUTH, KEY_AZIMUTH + 1, 15)  # degrees of the key's azimuth
RAISED: Final = (-12.0, 0.0, 12.0)  # degrees beside the preset's elevation
SHARES: Final = (0.5, 0.8, 1.1)  # of the key
WARMTHS: Final = np.arange(4500, 9001, 250)  # kelvin of the white balance


def nearest_skin(like: Skin, albedo: Doubles) -> Skin:
    """The skin `like` with the pigments that give an albedo [3], linear, on the cheeks."""
    from pain3d.skin.chromophores import skin_albedo  # here: `import pain3d` loads no OpenCV

    melanin, blood = (axis.astype(np.float32) for axis in np.meshgrid(*[np.linspace(0.02, 0.97, GRID)] * 2))
    wanted, found = np.log(albedo), []
    for carotene in CAROTENES:
        apart = ((np.log(skin_albedo(melanin, blood, carotene)) - wanted) ** 2).sum(2)
        best = np.unravel_index(int(apart.argmin()), apart.shape)
        found.append((float(apart[best]), float(melanin[best]), float(blood[best]), carotene))
    _, dark, red, yellow = min(found)
    return replace(like, melanin=round(dark, 4), haemoglobin=round(red, 4), carotene=yellow)


def nearest_light(light: Light) -> tuple[LightSetting, Sensor]:
    """The preset, turned, that lights a face most as one light does, and a sensor of its white balance."""
    settings = [
        LightSetting(name, float(turn - key_azimuth(name)), raised, 1.0, share)
        for name in LIGHTS for turn in TURNS for raised in RAISED for share in SHARES
    ]  # fmt: skip
    names = ("name", "azimuth", "elevation", "intensity", "key_share", "temperature")
    known = _on_face(Light.presets(*([getattr(one, name) for one in settings] for name in names)))  # [S, D, 3]
    wanted = _on_face(light)[0]
    grey = known @ LUMINANCE
    scale = (grey * (wanted @ LUMINANCE)).sum(1) / (grey**2).sum(1)
    best = int((((grey * scale[:, None]) - wanted @ LUMINANCE) ** 2).sum(1).argmin())
    tint = wanted.sum(0) / known[best].sum(0)
    gains = temperature_gains(WARMTHS.tolist())
    apart = ((np.log(gains / (gains @ LUMINANCE)[:, None]) - np.log(tint / (tint @ LUMINANCE))) ** 2).sum(1)
    white = float(WARMTHS[int(apart.argmin())])
    return replace(settings[best], intensity=round(float(scale[best]), 4)), Sensor(white_balance=white)


def _on_face(lights: Light) -> Doubles:
    """Irradiance [B, D, 3] on directions that a face seen along +Z shows."""
    radius, angle = np.meshgrid(np.sqrt((np.arange(5) + 0.5) / 5), 2 * np.pi * np.arange(12) / 12)
    x, y = (radius * np.cos(angle)).ravel(), (radius * np.sin(angle)).ravel()
    normals = np.stack([x, y, np.sqrt(1 - x * x - y * y)], 1)
    cosine = np.array([A0] + [A1] * 3 + [A2] * 5)
    basis = sh_basis(torch.from_numpy(normals)).numpy() * cosine
    ambient = np.einsum("dh,bhc->bdc", basis, lights.sh.double().numpy()).clip(min=0)
    facing = np.maximum(normals @ lights.key_direction.double().numpy().T, 0).T  # [B, D]
    exposed = lights.exposure.double().numpy()[:, None, None]
    return np.asarray((ambient + facing[..., None] * lights.key_colour.double().numpy()[:, None]) * exposed)
