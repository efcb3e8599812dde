"""Light: an environment in spherical harmonics of degree 2 plus one directional key, and the presets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.device import moved
from pain3d.kernels.shade import sh_basis

Floats = npt.NDArray[np.float64]

Y00 = 0.5 / np.sqrt(np.pi)  # the constant harmonic
# Hann window over degrees 0–2: without it a small lamp rings dark on the far side.
SH_WINDOW = np.array([1.0] + [0.75] * 3 + [0.25] * 5)

# Lamps of a preset: azimuth and elevation in degrees around the face, relative radiance rgb. The first is the key.
Lamp = tuple[float, float, tuple[float, float, float]]
PRESETS: dict[str, tuple[tuple[float, float, float], float, tuple[Lamp, ...]]] = {
    # ambient radiance, key irradiance, lamps (key first)
    "studio": ((0.26, 0.26, 0.27), 2.2, (
        (35.0, 30.0, (1.0, 0.97, 0.93)), (-50.0, 10.0, (0.55, 0.57, 0.62)), (160.0, 35.0, (0.5, 0.5, 0.5)),
        (0.0, 80.0, (0.35, 0.35, 0.36)))),
    "indoor": ((0.30, 0.28, 0.25), 2.1, (
        (-60.0, 20.0, (0.80, 0.90, 1.0)), (40.0, 55.0, (1.0, 0.80, 0.58)), (10.0, -50.0, (0.22, 0.17, 0.13)))),
    "outdoor": ((0.33, 0.37, 0.44), 2.3, (
        (50.0, 45.0, (1.0, 0.95, 0.86)), (-30.0, 70.0, (0.50, 0.58, 0.72)), (0.0, -70.0, (0.24, 0.23, 0.18)))),
}  # fmt: skip
LIGHTS = tuple(PRESETS)
LAMP_RADIANCE = 0.85  # of the soft lamps in the environment, on the scale of the ambient radiance


@dataclass(frozen=True)
class Light:
    """N lights.

    Attributes:
        sh: [N, 9, 3] coefficients of the environment's radiance (not irradiance), linear RGB.
        key_direction: [N, 3] unit vectors from the face to the key light.
        key_colour: [N, 3] irradiance of the key on a surface that faces it.
        exposure: [N] factor on the light before tone and sRGB.
    """

    sh: Tensor
    key_direction: Tensor
    key_colour: Tensor
    exposure: Tensor

    def __len__(self) -> int:
        return int(self.sh.shape[0])

    def to(self, device: torch.device | str) -> Light:
        """The same lights on a device."""
        return moved(self, device)

    @classmethod
    def preset(
        cls,
        name: str = "studio",
        *,
        azimuth_degrees: float = 0.0,
        elevation_degrees: float = 0.0,
        intensity: float = 1.0,
        key_share: float = 1.0,
    ) -> Light:
        """One light by name: ``studio``, ``indoor`` or ``outdoor``.

        Args:
            name: The preset.
            azimuth_degrees: Turns all lamps around the vertical; positive towards the subject's left.
            elevation_degrees: Raises the key.
            intensity: Exposure.
            key_share: 0 (overcast) to 1.5 (hard) on the key's strength.

        Raises:
            ValueError: The name is unknown or a number is not finite.
        """
        if name not in PRESETS:
            raise ValueError(f"light must be one of {', '.join(LIGHTS)}, got {name!r}")
        for what, value in (("azimuth_degrees", azimuth_degrees), ("elevation_degrees", elevation_degrees),
                            ("intensity", intensity), ("key_share", key_share)):  # fmt: skip
            if not np.isfinite(value):
                raise ValueError(f"{what} must be finite, got {value}")
        ambient, key, lamps = PRESETS[name]
        sh = np.zeros((9, 3))
        sh[0] = np.array(ambient) / Y00
        for azimuth, elevation, colour in lamps:
            towards = torch.from_numpy(direction(azimuth + azimuth_degrees, elevation))
            basis = sh_basis(towards).numpy() * SH_WINDOW
            sh += basis[:, None] * np.array(colour) * LAMP_RADIANCE
        azimuth, elevation, colour = lamps[0]
        key_direction = direction(azimuth + azimuth_degrees, float(np.clip(elevation + elevation_degrees, -80, 85)))
        return cls(
            torch.tensor(sh[None], dtype=torch.float32),
            torch.tensor(key_direction[None], dtype=torch.float32),
            torch.tensor(np.array(colour)[None] * key * key_share, dtype=torch.float32),
            torch.tensor([intensity], dtype=torch.float32),
        )


def direction(azimuth_degrees: float, elevation_degrees: float) -> Floats:
    """Unit vector [3]; azimuth 0 is in front of the face (+Z), positive towards +X; elevation from the horizon."""
    azimuth, elevation = np.radians(azimuth_degrees), np.radians(elevation_degrees)
    return np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
