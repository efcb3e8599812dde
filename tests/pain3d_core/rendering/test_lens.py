"""An open lens draws discs as large as a thin lens says, a hand strokes, and neither makes nor loses light."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pain3d.optics import Optics, backdrop_blur, confusion
from pain3d.rendering.blurring import defocused, disc_blurred, filled_depth, largest_disc, shaken
from pain3d.setting import CameraSetting

SIZE = 96
FOV = CameraSetting(focal_length_mm=85.0).fov
FOCUS = torch.tensor(1.0)


def dot(level: float = 1.0) -> Tensor:
    """One bright pixel [S, S, 4] in the middle, all of it covered."""
    light = torch.zeros(SIZE, SIZE, 4)
    light[..., 3] = 1
    light[SIZE // 2, SIZE // 2, :3] = level
    return light


def moments(light: Tensor) -> tuple[float, float, float, float]:
    """Sum, variances across and upwards, and covariance, of a picture [S, S] around its middle pixel."""
    shares = light.double().numpy()
    up, across = -(np.mgrid[:SIZE, :SIZE][0] - SIZE // 2), np.mgrid[:SIZE, :SIZE][1] - SIZE // 2
    total = shares.sum()
    return total, *((shares * each).sum() / total for each in (across**2, up**2, across * up))


def test_a_disc_of_confusion_is_as_large_as_a_thin_lens_draws_it() -> None:
    # A point at D is sharp at v = f D / (D - f) behind the lens, the film lies at that of d: c = A |v_D - v_d| / v_D.
    f, number, d, far = 0.085, 1.8, 1.0, 1.1
    v, film = (f * x / (x - f) for x in (far, d))
    assert confusion(85.0, number, d, far) == pytest.approx(f / number * abs(v - film) / v / 0.024, rel=1e-9)
    assert confusion(85.0, 1.8, 1.0, 1.0) == 0
    assert backdrop_blur(CameraSetting(distance=1.0, focal_length_mm=85.0), 1.8) > 0.04
    assert backdrop_blur(CameraSetting(distance=0.5, focal_length_mm=35.0), 8.0) < 0.01


@pytest.mark.parametrize("radius", [2.0, 5.5])
def test_a_dot_out_of_focus_is_a_disc_of_that_radius(radius: float) -> None:
    depth = torch.full((SIZE, SIZE), 3.0)
    optics = Optics(f_number=confusion(85.0, 1.0, 1.0, 3.0) / 2 * SIZE / radius)
    seen = defocused(dot(), depth, FOCUS, optics, FOV, 20.0)
    total, across, up, _ = moments(seen[..., 0])
    assert total == pytest.approx(1, abs=1e-5)
    # Of a disc r² / 4 along each axis; its edge is a pixel soft, which adds a little.
    for variance in (across, up):
        assert variance == pytest.approx(radius**2 / 4, abs=0.15 + 0.03 * radius**2)
    assert float(seen[SIZE // 2, SIZE // 2 + math.ceil(radius + 1), 0]) == 0
    total, across, _, _ = moments(disc_blurred(dot(), radius)[..., 0])
    assert total == pytest.approx(1, abs=1e-5) and across == pytest.approx(radius**2 / 4, abs=0.15 + 0.03 * radius**2)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 135.0])
def test_a_dot_that_is_shaken_is_a_stroke_of_that_length_and_angle(degrees: float) -> None:
    optics = Optics(shake=0.1, shake_angle=degrees)
    total, across, up, both = moments(shaken(dot(), optics)[..., 0])
    assert total == pytest.approx(1, abs=1e-5)
    variance = (0.1 * SIZE) ** 2 / 12
    assert across + up == pytest.approx(variance, rel=0.08)  # pixels are no points: seen 4 % more
    turned = 0.5 * math.degrees(math.atan2(2 * both, across - up)) % 180
    assert min(abs(turned - degrees), 180 - abs(turned - degrees)) < 2


def test_flat_light_stays_as_it_is_up_to_the_border() -> None:
    flat = torch.full((SIZE, SIZE, 4), 0.37)
    flat[..., 3] = 1
    depth = 0.9 + 0.5 * torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    for seen in (
        defocused(flat, depth, FOCUS, Optics(f_number=1.4), FOV, 8.0),
        shaken(flat, Optics(shake=0.05, shake_angle=20.0)),
        disc_blurred(flat, 4.0),
    ):
        torch.testing.assert_close(seen, flat, atol=1e-5, rtol=0)


def test_nothing_soft_runs_over_what_is_sharp_and_no_background_into_the_outline() -> None:
    """Left a black plane in focus, right a white one far behind it; below nothing, and what is there is black too."""
    depth = torch.full((SIZE, SIZE), 1.0)
    depth[:, SIZE // 2 :] = 1.4
    light = torch.ones(SIZE, SIZE, 4)
    light[:, : SIZE // 2, :3] = 0
    seen = defocused(light, depth, FOCUS, Optics(f_number=1.4), FOV, 12.0)
    assert float(seen[:, : SIZE // 2, :3].max()) == 0
    assert float(seen[:, SIZE // 2 + 14 :, 0].min()) == 1
    light = torch.ones(SIZE, SIZE, 4)
    light[SIZE // 2 :] = 0
    seen = defocused(light, torch.full((SIZE, SIZE), 1.2), FOCUS, Optics(f_number=1.4), FOV, 12.0)
    torch.testing.assert_close(seen[..., 0], seen[..., 3])  # colour over coverage is white everywhere
    assert float(seen[SIZE // 2 - 1, 40, 3] + seen[SIZE // 2, 40, 3]) == pytest.approx(1, abs=1e-5)


def test_depth_goes_on_beside_the_head() -> None:
    depth = torch.full((50, 37), torch.inf)
    depth[20:30, 10:20] = 0.8
    filled = filled_depth(depth)
    assert bool(filled.isfinite().all()) and torch.equal(filled[20:30, 10:20], depth[20:30, 10:20])
    torch.testing.assert_close(filled, torch.full_like(filled, 0.8))


def test_a_lens_that_is_closed_draws_no_disc_larger_than_a_pixel() -> None:
    assert largest_disc(Optics(f_number=64.0), FOV, 1.1, 512) == 0 == largest_disc(Optics(), FOV, 1.1, 512)
    assert largest_disc(Optics(f_number=1.8), FOV, 1.1, 512) > 5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"f_number": 0.2}, "f_number must be 0 or 0.5 and more, got 0.2"),
        ({"f_number": math.nan}, "f_number must be in"),
        ({"shake": 0.2}, "shake must be in 0..0.1 of the picture's height, got 0.2"),
        ({"shake_angle": 200.0}, "shake_angle must be in 0..180 degrees, got 200"),
    ],
)
def test_what_no_camera_does_is_refused_by_name(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        Optics(**wrong)
