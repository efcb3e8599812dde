"""Lights and colour: conventions against independent computations."""

import numpy as np
import pytest
import torch

from pain3d.background import BACKGROUNDS, BRIGHTEST, paint_background
from pain3d.colour import (
    LUMINANCE,
    linear_to_lab,
    linear_to_srgb,
    srgb_to_linear,
    temperature_gains,
    typology_angle,
)
from pain3d.kernels.shading import sh_basis
from pain3d.light import LIGHTS, METERED, Light, direction, irradiance_on_face, key_azimuth
from pain3d.random import keyed_generator, keyed_number
from pain3d.setting import sample_light


def test_spherical_harmonics_are_orthonormal() -> None:
    # Product quadrature on the sphere: Gauss–Legendre in z, uniform in azimuth, exact for degree 4.
    nodes, weights = np.polynomial.legendre.leggauss(8)
    total = np.zeros((9, 9))
    for z, w in zip(nodes, weights, strict=True):
        for azimuth in np.arange(16) * np.pi / 8:
            r = np.sqrt(1 - z * z)
            basis = sh_basis(torch.tensor([r * np.cos(azimuth), r * np.sin(azimuth), z])).numpy()
            total += np.outer(basis, basis) * w * np.pi / 8
    assert np.abs(total - np.eye(9)).max() < 1e-5  # six digits of the factors


def test_azimuth_turns_towards_the_subjects_left() -> None:
    assert np.allclose(direction(0, 0), [0, 0, 1])
    assert np.allclose(direction(90, 0), [1, 0, 0])
    assert np.allclose(direction(0, 90), [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("name", LIGHTS)
def test_presets_light_every_side(name: str) -> None:
    light = Light.preset(name, azimuth_degrees=25, intensity=0.9)
    assert torch.allclose(light.key_direction.norm(dim=1), torch.ones(1))
    assert light.exposure.item() == pytest.approx(0.9)
    # Irradiance (Ramamoorthi & Hanrahan 2001, eq. 9) is positive in every direction: no black side.
    factors = np.array([np.pi] + [2 * np.pi / 3] * 3 + [np.pi / 4] * 5)
    around = [direction(a, e) for a in range(0, 360, 30) for e in range(-90, 91, 30)]
    irradiance = np.stack([(sh_basis(torch.from_numpy(d)).numpy() * factors) @ light.sh[0].numpy() for d in around])
    assert irradiance.min() > 0.15
    if name == "studio":  # metering leaves the preset as it stands in the table, to 0.1 %
        plain = Light.preset(name)
        assert plain.key_colour[0].numpy() == pytest.approx(np.array([1.0, 0.97, 0.93]) * 2.2, rel=2e-3)


@pytest.mark.parametrize("name", LIGHTS)
def test_presets_are_metered(name: str) -> None:
    """Whatever the preset and its jitter, the mean irradiance on a face is one number, and no side is lost."""
    for to_the_side in (-75, 0, 75):
        for elevation, key_share, temperature in ((-12, 0.5, 5700), (12, 1.1, 7600)):
            light = Light.preset(
                name,
                azimuth_degrees=to_the_side - key_azimuth(name),
                elevation_degrees=elevation,
                key_share=key_share,
                temperature=temperature,
            )
            sh, key_direction, key_colour = (
                tensor[0].numpy().astype(float) for tensor in (light.sh, light.key_direction, light.key_colour)
            )
            assert irradiance_on_face(sh, key_direction, key_colour) == pytest.approx(METERED, rel=1e-5)
            # The half that a camera at 45° on the shadow side sees is not black, that on the lit side not burnt.
            for yaw in (-45, 45):
                turned = turn_about_up(yaw)
                seen = irradiance_on_face(rotated(sh, turned), turned @ key_direction, key_colour)
                assert 0.55 * METERED < seen < 1.45 * METERED  # seen 0.63 to 1.38


def turn_about_up(degrees: float) -> np.ndarray:
    """Rotation that takes the direction at this azimuth to +Z."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])


def rotated(sh: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The environment turned, by a fit to its values in 200 directions."""
    points = np.random.default_rng(0).standard_normal((200, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    before, after = (sh_basis(torch.from_numpy(p)).numpy() for p in (points, points @ turn.T))
    return np.linalg.lstsq(after, before @ sh, rcond=None)[0]


def test_gains_are_a_filter_before_the_lens() -> None:
    light = Light.preset("ward")
    gains = torch.tensor([[1.2, 1.0, 0.7]])
    warmer = light.with_gains(gains)
    assert torch.equal(warmer.sh, light.sh * gains[:, None]) and torch.equal(
        warmer.key_colour, light.key_colour * gains
    )
    assert torch.equal(warmer.exposure, light.exposure)


def test_temperatures() -> None:
    assert temperature_gains(6504.0) == pytest.approx(np.ones(3))
    for kelvin in (2000, 3200, 5000, 9000, 20000):
        gains = temperature_gains(kelvin)
        assert gains @ LUMINANCE == pytest.approx(1)
        assert (gains[0] > gains[2]) == (kelvin < 6504)
    # Illuminant A, 2856 K, is x = 0.4476, y = 0.4074 (CIE 15); its colour in sRGB, over that of 6504 K on the locus
    # (x = 0.3135, y = 0.3237), of luminance 1: red 1.79, green 0.86, blue 0.23.
    assert temperature_gains(2856) == pytest.approx([1.79, 0.86, 0.23], abs=0.03)
    with pytest.raises(ValueError, match=r"^a colour temperature must be in 2000..20000 K, got 900"):
        temperature_gains(900)


def test_unknown_names_and_numbers() -> None:
    with pytest.raises(ValueError, match=r"^light must be one of studio, indoor, outdoor, .*golden, got 'disco'$"):
        Light.preset("disco")
    with pytest.raises(ValueError, match=r"^intensity must be finite, got nan$"):
        Light.preset(intensity=float("nan"))
    with pytest.raises(
        ValueError, match=r"^background must be one of plain, gradient, bokeh, ward, room, outdoor, got 'sea'$"
    ):
        paint_background("sea", keyed_generator(0, "test"))
    with pytest.raises(ValueError, match=r"^blur must be in 0..0.2, got nan$"):
        paint_background("room", keyed_generator(0, "test"), float("nan"))


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_backgrounds_are_keyed_and_in_range(name: str) -> None:
    one, same, other = (paint_background(name, keyed_generator(0, "background", k)) for k in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.shape == (128, 128, 3) and one.dtype == np.float32
    many = np.stack([paint_background(name, keyed_generator(1, "background", k)) for k in range(24)])
    assert many.min() >= 0 and many.max() <= BRIGHTEST and not np.isnan(many).any()
    assert 0.05 < many.mean() < 1.0  # neither night nor a white-out


@pytest.mark.parametrize("name", ["ward", "room", "outdoor"])
def test_blur_takes_detail_away(name: str) -> None:
    sharp, soft = (
        np.stack([paint_background(name, keyed_generator(2, "background", k), blur) for k in range(12)])
        for blur in (0.0, 0.05)
    )
    edges = [np.abs(np.diff(pictures, axis=2)).mean() for pictures in (sharp, soft)]
    assert edges[1] < 0.8 * edges[0]  # seen 0.36 to 0.74
    assert soft.mean() == pytest.approx(sharp.mean(), rel=0.12)  # light is spread, not lost; the clip takes some


def test_colour_against_known_values() -> None:
    ramp = np.linspace(0, 1, 50)
    assert np.allclose(linear_to_srgb(srgb_to_linear(ramp)), ramp)
    # CIELAB of sRGB (0.5, 0.5, 0.5): L* = 53.39, neutral; of pure red: 53.24, 80.09, 67.20 (Lindbloom's calculator).
    grey = linear_to_lab(srgb_to_linear(np.full(3, 0.5)))
    assert np.allclose(grey, [53.39, 0, 0], atol=0.05)
    assert np.allclose(linear_to_lab(np.array([1.0, 0, 0])), [53.24, 80.09, 67.20], atol=0.1)
    light, dark = srgb_to_linear(np.array([[0.95, 0.82, 0.75], [0.30, 0.20, 0.15]]))
    assert typology_angle(light) > 41 and typology_angle(dark) < -30


def test_keys_do_not_depend_on_order() -> None:
    first = keyed_generator(5, "stage", 1, 2).random(4)
    keyed_generator(5, "stage", 9).random(100)
    assert np.array_equal(first, keyed_generator(5, "stage", 1, 2).random(4))
    seen = {keyed_generator(s, n, i).random() for s in (0, 1) for n in ("a", "b") for i in range(3)}
    assert len(seen) == 12
    numbers = {keyed_number(s, n, i) for s in (0, 1) for n in ("a", "b") for i in range(50)}
    assert len(numbers) == 200 and all(-(2**63) <= n < 2**63 for n in numbers) and min(numbers) < 0 < max(numbers)
    assert keyed_number(5, "stage", 1, 2) == keyed_number(5, "stage", 1, 2)
    with pytest.raises(ValueError, match="seed must be in"):
        keyed_generator(-1, "stage")


def test_many_lights_are_those_that_are_made_alone() -> None:
    settings = [sample_light(3, number, 0) for number in range(40)]
    names = ("name", "azimuth", "elevation", "intensity", "key_share", "temperature")
    sizes = [2.0 * number for number in range(40)]
    together = Light.presets(*([getattr(setting, name) for setting in settings] for name in names), sizes)
    for row, setting in enumerate(settings[1:], 1):  # the first has no size, and alone says so by None
        alone = Light.preset(
            setting.name, azimuth_degrees=setting.azimuth, elevation_degrees=setting.elevation,
            intensity=setting.intensity, key_share=setting.key_share, temperature=setting.temperature, size=sizes[row],
        )  # fmt: skip
        for name in Light.__dataclass_fields__:
            assert torch.equal(getattr(together, name)[row], getattr(alone, name)[0])
