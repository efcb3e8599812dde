"""Cameras: conventions, projection, bad input."""

import pytest
import torch

from pain3d.camera import Camera


def test_frontal_camera_sees_up_above_and_left_right() -> None:
    camera = Camera.orbit(distance=1.0, target=(0.0, 0.0, 0.0), fov_degrees=30.0, size=(100, 200))
    points = torch.tensor([[[0.0, 0, 0], [0.0, 0.1, 0], [0.1, 0, 0]]])
    centre, above, left = camera.project(points)[0]
    assert torch.allclose(centre, torch.tensor([100.0, 50.0]))
    assert above[1] < 50 and above[0] == 100
    assert left[0] > 100  # the subject's left is right in the picture


def test_yaw_sees_the_left_cheek_and_pitch_looks_down() -> None:
    camera = Camera.orbit(yaw_degrees=90, distance=1.0, target=(0.0, 0.0, 0.0))
    assert torch.allclose(camera.position, torch.tensor([[1.0, 0.0, 0.0]]), atol=1e-6)
    above = Camera.orbit(pitch_degrees=45, distance=1.0, target=(0.0, 0.0, 0.0))
    assert above.position[0, 1] > 0.7


def test_intrinsics_and_clip_agree() -> None:
    camera = Camera.orbit(yaw_degrees=(-30, 20), pitch_degrees=(5, -8), roll_degrees=(3, -2), size=(240, 320))
    points = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    view = points @ camera.world_to_view[:, :3, :3].transpose(1, 2) + camera.world_to_view[:, None, :3, 3]
    opencv = view * torch.tensor([1.0, -1.0, -1.0])
    pixels = opencv @ camera.intrinsics.transpose(1, 2)
    pixels = pixels[..., :2] / pixels[..., 2:]
    assert (pixels - camera.project(points)).abs().max() < 2e-4  # pixels; fp32
    clip = points @ camera.world_to_clip[:, :3, :3].transpose(1, 2) + camera.world_to_clip[:, None, :3, 3]
    assert torch.allclose(clip[..., 2], -view[..., 2], atol=1e-6)  # w is the distance along the view axis


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, r"size must be in 1\.\.16384 pixels, got \(0, 0\)"),
        ({"size": (64, -1)}, r"size must be in 1\.\.16384 pixels, got \(64, -1\)"),
        ({"size": 256.5}, r"size must be whole pixels, one number for a square or \(height, width\), got 256\.5$"),
        ({"size": "large"}, r"size must be whole pixels, .*, got 'large'$"),
        ({"yaw_degrees": "left"}, r"yaw_degrees must be a number, or N of them, got 'left'$"),
        ({"target": (0.0, 0.1)}, r"target must be 3 numbers, or N times 3, got \(0\.0, 0\.1\)$"),
        ({"distance": 0.0}, r"distance must be in 0\.05\.\.1000, got \[0\.0\]"),
        ({"yaw_degrees": float("nan")}, r"yaw_degrees must be in .*, got \[nan\]"),
        ({"fov_degrees": 180.0}, r"fov_degrees must be in 1\.\.150, got \[180\.0\]"),
        ({"yaw_degrees": (1, 2), "pitch_degrees": (1, 2, 3)}, r"yaw_degrees must have 1 or 3 values, got 2"),
    ],
)
def test_bad_input_names_the_culprit(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        Camera.orbit(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
