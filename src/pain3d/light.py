"""Light: an environment in spherical harmonics of degree 2 plus one directional key, and the presets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from numbers import Real

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.colour import LUMINANCE, NEUTRAL_KELVIN, temperature_gains
from pain3d.device import moved
from pain3d.environment.embedded import embedded_environment
from pain3d.environment.panorama import Environment, turned
from pain3d.kernels._described import described
from pain3d.kernels.shading import sh_basis
from pain3d.kernels.shading.reference import A0, A1, A2
from pain3d.ranges import check_rows, told

Floats = npt.NDArray[np.float64]

INFRARED = "infrared"  # the lamps of a camera at night, beside its lens: see `pain3d.rendering.infrared`
Y00 = 0.5 / np.sqrt(np.pi)  # the constant harmonic
# Hann window over degrees 0–2: without it a small lamp rings dark on the far side.
SH_WINDOW = np.array([1.0] + [0.75] * 3 + [0.25] * 5)

# Lamps of a preset: azimuth and elevation in degrees around the face, relative radiance rgb. The first is the key.
# Colours are those in a picture whose white balance is about right: lamps differ, white stays near white.
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
    # A large window to one side, a pale wall on the other: soft, falls off across the face.
    "window": ((0.24, 0.23, 0.22), 1.5, (
        (-55.0, 12.0, (1.20, 1.24, 1.30)), (-85.0, 20.0, (0.60, 0.63, 0.68)), (95.0, 0.0, (0.26, 0.24, 0.21)),
        (0.0, -70.0, (0.14, 0.12, 0.10)))),
    # A hospital room: fluorescent panels overhead, a little green, white walls and bed linen that throw light back.
    "ward": ((0.40, 0.41, 0.39), 0.9, (
        (15.0, 62.0, (0.95, 1.0, 0.92)), (-120.0, 65.0, (0.75, 0.79, 0.73)), (-40.0, 20.0, (0.40, 0.41, 0.40)),
        (0.0, -60.0, (0.42, 0.43, 0.43)))),
    # A white sky: no shadow to speak of.
    "overcast": ((0.46, 0.48, 0.51), 0.55, (
        (10.0, 60.0, (0.90, 0.94, 1.0)), (180.0, 60.0, (0.6, 0.63, 0.68)), (0.0, -80.0, (0.16, 0.16, 0.14)))),
    # A reading lamp and what is left of the day.
    "evening": ((0.20, 0.18, 0.17), 1.9, (
        (45.0, 22.0, (1.0, 0.84, 0.66)), (-75.0, 15.0, (0.34, 0.38, 0.46)), (20.0, -45.0, (0.30, 0.24, 0.18)),
        (170.0, 20.0, (0.24, 0.20, 0.16)))),
    # A low sun, and the blue sky opposite.
    "golden": ((0.27, 0.28, 0.31), 2.3, (
        (60.0, 16.0, (1.0, 0.86, 0.66)), (-60.0, 50.0, (0.46, 0.52, 0.64)), (30.0, -50.0, (0.30, 0.25, 0.18)))),
}  # fmt: skip
LIGHTS = tuple(PRESETS)
# Degrees under which the key of a preset is seen. A softbox of 80 cm at 2 m, a lamp shade, the sun through haze (0.53
# in clear air), a window of 1 m at 2 m, ceiling panels, a bright part of an overcast sky, a reading lamp, a low sun.
KEY_SIZES = {
    "studio": 22.0, "indoor": 14.0, "outdoor": 2.0, "window": 28.0, "ward": 34.0, "overcast": 60.0, "evening": 9.0,
    "golden": 1.0,
}  # fmt: skip
LARGEST_KEY = 90.0
THROWN_BACK = 0.3  # of the key's soft part: walls and linen send back about so much; nothing else of it fills shadows
LAMP_RADIANCE = 0.85  # of the soft lamps in the environment, on the scale of the ambient radiance
# Every preset, however it is turned, gives a face that looks along +Z the same mean irradiance, as if it were metered
# with an incident light meter: albedo a comes out at about 0.8 a at intensity 1, whoever it belongs to.
METERED = 2.57
# How much of a place's tint the camera's white balance takes from a face in it; the rest is what people leave in.
NEUTRALISED = 0.85


@dataclass(frozen=True)
class Light:
    """N lights.

    Attributes:
        sh: [N, 9, 3] coefficients of the environment's radiance (not irradiance), linear RGB.
        key_direction: [N, 3] unit vectors from the face to the key light.
        key_colour: [N, 3] irradiance of the key on a surface that faces it.
        exposure: [N] factor on the light before tone and sRGB.
        key_size: [N] degrees under which the key is seen: how soft its shadows are. 0 casts none; None is none at all.

    Raises:
        ValueError: A shape does not fit, or a number is not finite (looked at on the CPU).
    """

    __repr__ = described

    sh: Tensor
    key_direction: Tensor
    key_colour: Tensor
    exposure: Tensor
    key_size: Tensor | None = None

    def __post_init__(self) -> None:
        count = check_rows("sh", self.sh, (9, 3))
        for name, shape in (("key_direction", (3,)), ("key_colour", (3,)), ("exposure", ()), ("key_size", ())):
            part = getattr(self, name)
            if part is None and name == "key_size":
                continue
            rows = check_rows(name, part, shape)
            if rows != count:
                raise ValueError(f"{name} must have {count} rows like sh, got {rows}")

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
        temperature: float = NEUTRAL_KELVIN,
        size: float = 0.0,
    ) -> Light:
        """One light by name.

        Names: ``studio``, ``indoor``, ``outdoor``, ``window``, ``ward``, ``overcast``, ``evening``, ``golden``.

        The light is metered: turned, hardened or not, the mean irradiance on a face that looks along +Z is the same.

        Args:
            name: The preset, one of `LIGHTS`.
            azimuth_degrees: Turns all lamps around the vertical; positive towards the subject's left.
            elevation_degrees: Raises the key.
            intensity: Exposure.
            key_share: 0 (overcast) to 1.5 (hard) on the key's strength.
            temperature: Kelvin, 2000–20000: makes the key warmer (less) or cooler than the preset has it, at 6504.
            size: Degrees under which the key is seen, 0–90: the larger the softer are its shadows; `KEY_SIZES` has
                what fits each preset. 0 casts none, and the key then lights from the environment too.

        Raises:
            ValueError: The name is unknown or a number is not finite.
        """
        return cls.presets(
            [name], [azimuth_degrees], [elevation_degrees], [intensity], [key_share], [temperature], [size]
        )

    @classmethod
    def presets(
        cls,
        names: Sequence[str],
        azimuth_degrees: Sequence[float],
        elevation_degrees: Sequence[float],
        intensity: Sequence[float],
        key_share: Sequence[float],
        temperature: Sequence[float],
        size: Sequence[float] | None = None,
    ) -> Light:
        """N lights by name, each as `preset` makes it: one of each argument for each of them; by default no shadows.

        Raises:
            ValueError: A name is unknown or a number is not finite.
        """
        for name in names:
            if name not in LIGHTS:
                raise ValueError(f"light must be one of {', '.join(LIGHTS)}, got {told(name)}")
        for what, values in (("azimuth_degrees", azimuth_degrees), ("elevation_degrees", elevation_degrees),
                             ("intensity", intensity), ("key_share", key_share)):  # fmt: skip
            for value in values:
                if not isinstance(value, Real) or not math.isfinite(value):
                    raise ValueError(f"{what} must be finite, got {told(value)}")
        sizes = [0.0] * len(names) if size is None else list(size)
        for value in sizes:
            _check_size(value)
        ambient, key, azimuths, elevations, colours = (
            part[[LIGHTS.index(name) for name in names]] for part in _lamps()
        )
        elevations[:, 0] = np.clip(elevations[:, 0] + elevation_degrees, -80, 85)
        colours[:, 0] *= temperature_gains(temperature)
        towards = direction(azimuths + np.array(azimuth_degrees)[:, None], elevations)
        around = colours.copy()  # of a key that casts shadows the environment has what the room throws back
        around[:, 0] *= np.where(np.array(sizes) > 0, THROWN_BACK, 1.0)[:, None]
        sh = (_basis(towards) * SH_WINDOW).swapaxes(1, 2) @ around * LAMP_RADIANCE
        sh[:, 0] += ambient / Y00
        key_colour = colours[:, 0] * (key * key_share)[:, None]
        scale = METERED / irradiance_on_face(sh, towards[:, 0], key_colour)
        scaled = (sh * scale[:, None, None], towards[:, 0], key_colour * scale[:, None], np.array(intensity))
        made = cls(*(torch.from_numpy(part.astype(np.float32)) for part in scaled))
        return replace(made, key_size=torch.tensor(sizes, dtype=torch.float32)) if any(sizes) else made

    @classmethod
    def environment(
        cls,
        place: str | Environment = "lobby",
        *,
        yaw_degrees: float = 0.0,
        intensity: float = 1.0,
        key_share: float = 1.0,
        temperature: float = NEUTRAL_KELVIN,
        size: float = 0.0,
    ) -> Light:
        """The light of a place: what its panorama throws on a face, with its brightest source as the key.

        It is metered as the presets are, and a camera's white balance takes `NEUTRALISED` of its tint.

        Args:
            place: Name of one of `pain3d.environment.ENVIRONMENTS`, or an own one: of
                `pain3d.doors.panoramas.read_environment`.
            yaw_degrees: Turns it about the vertical, towards the subject's left; at 0 the panorama's middle is behind
                the head.
            intensity: Exposure.
            key_share: Factor on the key, 0 or more.
            temperature: Kelvin, 2000–20000: makes the key warmer (less) or cooler, at 6504 leaves it.
            size: Degrees under which the key is seen, 0–90; `Environment.key_degrees` is what the panorama shows. 0
                casts no shadows.

        Raises:
            ValueError: No such place, or a number is not finite or out of range.
        """
        if isinstance(place, str):
            place = embedded_environment(place)
        for what, value in (("yaw_degrees", yaw_degrees), ("intensity", intensity), ("key_share", key_share)):
            if not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(f"{what} must be finite, got {told(value)}")
        _check_size(size)
        sh, towards, colour, gains = lit_by(place, yaw_degrees, key_share, temperature)
        parts = (sh * gains, towards, colour * gains, np.array(intensity))
        made = cls(*(torch.from_numpy(part.astype(np.float32))[None] for part in parts))
        return replace(made, key_size=torch.tensor([size], dtype=torch.float32)) if size else made

    def with_gains(self, gains: Tensor) -> Light:
        """The same lights seen through a filter: `gains` [3] or [N, 3] on linear rgb. Gradients: to gains."""
        return replace(self, sh=self.sh * gains[..., None, :], key_colour=self.key_colour * gains)


def _check_size(size: float) -> None:
    if not isinstance(size, Real) or not 0 <= size <= LARGEST_KEY:
        raise ValueError(f"size must lie in 0 … {LARGEST_KEY:g} degrees, got {told(size)}")


def direction(azimuth_degrees: float | Floats, elevation_degrees: float | Floats) -> Floats:
    """Unit vectors [..., 3]; azimuth 0 is before the face (+Z), positive towards +X; elevation from the horizon."""
    azimuth, elevation = np.radians(azimuth_degrees), np.radians(elevation_degrees)
    level = np.cos(elevation)
    return np.stack([np.sin(azimuth) * level, np.sin(elevation) + 0 * azimuth, np.cos(azimuth) * level], -1)


def lit_by(
    place: Environment, yaw_degrees: float, key_share: float = 1.0, temperature: float = NEUTRAL_KELVIN
) -> tuple[Floats, Floats, Floats, Floats]:
    """A place as it stands around a face: sh [9, 3], key direction [3] and colour [3], and gains [3] that meter it.

    The gains bring a face that looks along +Z to `METERED`, and its tint near to grey; so they do what stands behind.
    """
    sh = turned(place.sh, yaw_degrees)
    yaw = math.radians(yaw_degrees)
    x, y, z = place.key_direction
    towards = np.array([x * math.cos(yaw) + z * math.sin(yaw), y, z * math.cos(yaw) - x * math.sin(yaw)])
    colour = place.key_colour * temperature_gains(temperature) * key_share
    facing, irradiance, weights = _face()
    ambient = np.maximum(np.einsum("dl,lc->dc", irradiance, sh), 0)
    seen = np.einsum("dc,d->c", ambient + np.maximum(facing @ towards, 0)[:, None] * colour, weights)
    tint = (seen / (seen @ LUMINANCE)) ** -NEUTRALISED
    return sh, towards, colour, tint * METERED / (seen @ (tint * LUMINANCE))


def key_azimuth(name: str) -> float:
    """Azimuth of a preset's key, degrees, before any turn."""
    return PRESETS[name][2][0][0]


def irradiance_on_face(sh: Floats, key_direction: Floats, key_colour: Floats) -> Floats:
    """Mean luminance of the irradiance on the directions that a face seen along +Z shows, weighted as it shows them.

    Args:
        sh: [..., 9, 3] radiance.
        key_direction: [..., 3] unit vectors.
        key_colour: [..., 3] irradiance.

    Returns:
        [...]
    """
    facing, irradiance, weights = _face()
    ambient = np.maximum((sh @ LUMINANCE) @ irradiance.T, 0)
    key = np.maximum(key_direction @ facing.T, 0) * (key_colour @ LUMINANCE)[..., None]
    return np.asarray((ambient + key) @ weights)


def face_irradiance(key_direction: Floats) -> Floats:
    """What each harmonic and a key light at a unit vector [3] add to `irradiance_on_face`, [10], while none is cut."""
    facing, irradiance, weights = _face()
    return np.append(weights @ irradiance, weights @ np.maximum(facing @ key_direction, 0))


@cache
def _lamps() -> tuple[Floats, ...]:
    """Of all presets: ambient [P, 3] and key [P]; of lamps azimuth, elevation [P, L] and colour [P, L, 3].

    Where a preset has fewer lamps than another it has black ones.
    """
    most = max(len(lamps) for _, _, lamps in PRESETS.values())
    dark: Lamp = (0.0, 0.0, (0.0, 0.0, 0.0))
    lamps = [(*own, *(dark,) * (most - len(own))) for _, _, own in PRESETS.values()]
    ambient, key = (np.array([preset[i] for preset in PRESETS.values()]) for i in (0, 1))
    return ambient, key, *(np.array([[lamp[i] for lamp in own] for own in lamps]) for i in range(3))


@cache
def _face() -> tuple[Floats, Floats, Floats]:
    """Normals [D, 3] of the half of a sphere that faces +Z, irradiance [D, 9] of each harmonic, and shares [D]."""
    # Even steps in the square of the distance from the middle of the disc that is seen, and in the angle around it.
    radius, angle = np.meshgrid(np.sqrt((np.arange(6) + 0.5) / 6), 2 * np.pi * np.arange(12) / 12)
    x, y = (radius * np.cos(angle)).ravel(), (radius * np.sin(angle)).ravel()
    normals = np.stack([x, y, np.sqrt(1 - x * x - y * y)], 1)
    clamped_cosine = np.array([A0] + [A1] * 3 + [A2] * 5)
    return normals, _basis(normals) * clamped_cosine, np.full(len(normals), 1 / len(normals))


def _basis(towards: Floats) -> Floats:
    return np.asarray(sh_basis(torch.from_numpy(towards)).numpy())
