"""Lights and colour: conventions against independent computations."""

import numpy as np
import pytest
import torch

from pain3d.background import BACKGROUNDS, paint_background
from pain3d.colour import linear_to_lab, linear_to_srgb, srgb_to_linear, typology_angle
from pain3d.kernels.shade import sh_basis
from pain3d.light import LIGHTS, Light, direction
from pain3d.random import keyed_generator


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


def test_unknown_names_and_numbers() -> None:
    with pytest.raises(ValueError, match=r"^light must be one of studio, indoor, outdoor, got 'disco'$"):
        Light.preset("disco")
    with pytest.raises(ValueError, match=r"^intensity must be finite, got nan$"):
        Light.preset(intensity=float("nan"))
    with pytest.raises(ValueError, match=r"^background must be one of plain, gradient, bokeh, got 'sea'$"):
        paint_background("sea", keyed_generator(0, "test"))


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_backgrounds_are_keyed_and_in_range(name: str) -> None:
    one, same, other = (paint_background(name, keyed_generator(0, "background", k)) for k in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.dtype == np.float32 and one.min() >= 0 and one.max() <= 1


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
    with pytest.raises(ValueError, match="seed must be in"):
        keyed_generator(-1, "stage")
