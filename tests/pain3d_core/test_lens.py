"""A lens' model: both ways fit each other, cameras project with it as OpenCV does, and lenses are drawn by key."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pain3d.camera import Camera
from pain3d.lens import MOST_BENT, bending, coefficient_limit, pinhole_reach, straightening
from pain3d.scene import CELLS, CameraSetting, Scene, sample_scenes
from pain3d.setting import BARREL, FOCAL_LENGTH, FRAME_MM, PINCUSHION, sample_camera


@given(st.floats(-MOST_BENT, MOST_BENT), st.floats(1e-3, 1.0))
def test_straightening_undoes_bending(bent: float, squared: float) -> None:
    """Of any place in a picture whose corner is bent as much as may be."""
    k1 = bent / squared
    moved = straightening(k1 * squared)
    assert moved * bending(k1, squared * moved**2) == pytest.approx(1, abs=1e-14)
    assert (moved > 1) == (bent < -1e-15) or abs(bent) < 1e-15


@given(st.floats(-MOST_BENT, MOST_BENT), st.floats(0.05, 1.0))
def test_a_pinhole_sees_all_that_is_bent_into_the_picture_and_no_more(bent: float, half: float) -> None:
    k1 = bent * coefficient_limit(half) / MOST_BENT
    along = np.linspace(-half, half, 201)
    seen = along * straightening(k1 * torch.from_numpy(along**2 + half**2)).numpy()  # a side of the picture
    across = half * straightening(k1 * torch.from_numpy(along**2 + half**2)).numpy()
    reach = pinhole_reach(k1, half)
    assert max(np.abs(seen).max(), across.max()) == pytest.approx(reach, rel=1e-12)


def test_cameras_project_as_opencv_does_and_gradients_agree() -> None:
    camera = Camera.orbit(yaw_degrees=(-30, 20, 5), pitch_degrees=(5, -8, 2), fov_degrees=(38, 20, 30), size=(240, 320))
    k1 = torch.tensor([-0.2, 0.7, 0.0])
    bent = replace(camera, distortion=k1)
    points = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    pixels = bent.project(points)
    flip = np.diag([1.0, -1.0, -1.0])
    for number in range(3):
        turn, shift = camera.world_to_view[number, :3, :3].double().numpy(), camera.world_to_view[number, :3, 3].numpy()
        wanted, _ = cv2.projectPoints(
            points[0].double().numpy(), cv2.Rodrigues(flip @ turn)[0], flip @ shift,
            camera.intrinsics[number].double().numpy(), np.array([k1[number].item(), 0, 0, 0]),
        )  # fmt: skip
        np.testing.assert_allclose(pixels[number].numpy(), wanted[:, 0], atol=1e-3)  # seen 6e-5: fp32
    plain = camera.project(points)
    assert torch.equal(pixels[2], plain[2]) and (pixels[:2] - plain[:2]).abs().max() > 1

    def seen(points: torch.Tensor, k1: torch.Tensor) -> torch.Tensor:
        given = Camera(camera.world_to_view.double(), camera.fov_degrees.double(), camera.size, distortion=k1)
        return given.project(points)

    inputs = points[:, :3].double().requires_grad_(), k1.double().requires_grad_()
    assert torch.autograd.gradcheck(seen, inputs)


def test_numbers_of_lenses_fit() -> None:
    camera = Camera.orbit(yaw_degrees=(0, 1))
    with pytest.raises(ValueError, match=r"^distortion must have 2 values like world_to_view, got 1$"):
        replace(camera, distortion=torch.zeros(1))
    with pytest.raises(ValueError, match=r"^distortion must be in .*, got nan$"):
        replace(camera, distortion=torch.tensor([0.0, math.nan]))


@pytest.mark.parametrize("wrong", [0.43, -0.43, math.nan, math.inf, "a"])
def test_a_lens_that_would_fold_the_picture_is_refused(wrong: float) -> None:
    CameraSetting(focal_length_mm=35.0, distortion=0.42)
    words = r"^distortion must be in -0\.425347\.\.0\.425347 of a lens of 35 mm, got "
    with pytest.raises(ValueError, match=words) as refused:
        CameraSetting(focal_length_mm=35.0, distortion=wrong)
    assert "\n" not in str(refused.value)


def test_lenses_are_drawn_beside_all_else() -> None:
    """A share of 0 changes nothing, one of 1 every lens; the shorter it is, the more it bends."""
    plain = [sample_camera(0, i, 0, 1) for i in range(1000)]
    half = [sample_camera(0, i, 0, 1, distortion=0.5) for i in range(1000)]
    every = [sample_camera(0, i, 0, 1, distortion=1.0) for i in range(1000)]
    assert not any(camera.distortion for camera in plain)
    assert 450 < sum(camera.distortion != 0 for camera in half) < 550
    assert all(camera.distortion in (0, other.distortion) for camera, other in zip(half, every, strict=True))
    assert [replace(camera, distortion=0.0) for camera in every] == plain
    corner = [2 * c.distortion * (FRAME_MM / 2 / c.focal_length_mm) ** 2 for c in every]
    share = np.array([at * c.focal_length_mm / FOCAL_LENGTH[0] for at, c in zip(corner, every, strict=True)])
    assert -BARREL - 1e-4 < share.min() < -0.97 * BARREL and 0.95 * PINCUSHION < share.max() < PINCUSHION + 1e-4
    bed = [sample_camera(0, i, 0, 1, bedside=1.0, distortion=1.0) for i in range(20)]
    assert [camera.distortion for camera in bed] == [camera.distortion for camera in every[:20]]


def test_a_scene_says_its_lens_where_it_distorts() -> None:
    def drawn(share: float, cameras: str) -> tuple[Scene, ...]:
        return sample_scenes(
            seed=3, identity_id=1, cell=CELLS[1], expressions=2, views=2, cameras=cameras, distortion=share
        )

    for cameras, lenses in (("fixed", 2), ("free", 6)):
        scenes, plain = drawn(1.0, cameras), drawn(0.0, cameras)
        assert len({scene.camera.distortion for scene in scenes}) == lenses
        assert [replace(s, camera=replace(s.camera, distortion=0.0)) for s in scenes] == list(plain)
        for scene, without in zip(scenes, plain, strict=True):
            assert Scene.from_json(scene.to_json()) == scene and Scene.from_json(without.to_json()) == without
            assert json.loads(scene.to_json())["camera"]["distortion"] == scene.camera.distortion
            assert "distortion" not in without.to_json()
    with pytest.raises(ValueError, match=r"^distortion must be in 0\.\.1, got 2"):
        drawn(2.0, "fixed")
    text = scenes[0].to_json().replace('"distortion":', '"distortion":7,"was":')
    with pytest.raises(ValueError, match=r"^not a scene: "):
        Scene.from_json(text)
