"""Counterfactual scenes: steps along one axis, and nothing else that differs."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from pain3d.rendering.frames import render_scenes
from pain3d.scene import CELLS, Scene, sample_scenes
from pain3d.variation import AXES, UNITS, check_steps, vary_scenes

MOVES = {"yaw": {"camera"}, "light": {"light"}}  # fields of a scene; of the others it is the action units


def drawn(steps: int, size: int = 64, **options: object) -> tuple[Scene, ...]:
    """An identity in two views, as a data set would draw it; lamps light it."""
    return sample_scenes(
        seed=3, identity_id=1, cell=CELLS[4], expressions=steps, views=2, size=size, environments=0.0, asymmetry=0.5,
        **options,
    )  # type: ignore[arg-type]  # fmt: skip


def steps_of(axis: str) -> int:
    return 1 if axis == "AU43" else 4


def seen(scenes: tuple[Scene, ...], view: int) -> list[Scene]:
    return [scene for scene in scenes if scene.view_id == view]


@pytest.mark.parametrize("axis", AXES)
def test_in_a_view_the_axis_alone_differs(axis: str) -> None:
    before = drawn(steps_of(axis), shake=1.0, defocus=0.5, bedside=0.5, distortion=1.0)
    made = vary_scenes(before, axis)
    assert [(s.expression_id, s.view_id) for s in made] == [(s.expression_id, s.view_id) for s in before]
    for view in (0, 1):
        neutral, *steps = seen(made, view)
        assert replace(neutral, noise_id=None) == seen(before, view)[0]
        compared = steps if axis in MOVES else [neutral, *steps]
        for one in compared[1:]:
            differ = {
                field.name for field in fields(Scene) if getattr(one, field.name) != getattr(compared[0], field.name)
            }
            assert differ == {"expression_id"} | MOVES.get(axis, {"au"})
    assert all(Scene.from_json(scene.to_json()) == scene for scene in made)


@pytest.mark.parametrize("axis", UNITS)
def test_a_unit_rises_to_its_most_on_a_neutral_face(axis: str) -> None:
    steps = seen(vary_scenes(drawn(steps_of(axis)), axis), 0)
    wanted = [0, 1] if axis == "AU43" else [0, 1.25, 2.5, 3.75, 5]
    assert [scene.au.nonzero() for scene in steps] == [{axis: value} if value else {} for value in wanted]
    assert [scene.au.pspi() for scene in steps] == wanted


def test_a_camera_goes_round_and_keeps_the_face_at_its_place() -> None:
    before = drawn(3)
    for view in (0, 1):
        was = seen(before, view)[0].camera
        cameras = [scene.camera for scene in seen(vary_scenes(before, "yaw"), view)[1:]]
        assert [camera.yaw for camera in cameras] == [34.5, 0.0, -34.5]  # the head's turn is the other way
        for camera in cameras:
            aside = [_aside(each.target, each.yaw) for each in (was, camera)]
            assert np.allclose(aside[0], aside[1], atol=2e-4)  # metres: targets are rounded to tenths of millimetres
            assert replace(camera, yaw=was.yaw, target=was.target) == was


def _aside(target: tuple[float, float, float], yaw: float) -> tuple[float, float, float]:
    """A target along the axes of a camera of that yaw: across, up, away."""
    (x, y, z), turn = target, math.radians(yaw)
    z -= 0.02  # FRAME_CENTRE
    return x * math.cos(turn) - z * math.sin(turn), y, x * math.sin(turn) + z * math.cos(turn)


def test_pictures_differ_where_the_unit_moves_the_face_alone() -> None:
    """Without shadows, whose edges reach farther; a lens' blur reaches two pixels."""
    scenes = vary_scenes(drawn(1, shadows=False), "AU43")
    frames = render_scenes(scenes)
    for view in (0, 1):
        neutral, shut = view, 2 + view
        differ = (frames.image[neutral] != frames.image[shut]).any(-1)
        moved = frames.heatmap[shut] > 0
        near = cv2.dilate(moved.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert differ.any() and not (differ & ~near).any()


def test_noise_is_that_of_the_neutral_picture() -> None:
    scene = seen(drawn(1), 0)[1]
    own, as_own, other = render_scenes([replace(scene, noise_id=number) for number in (None, 1, 0)]).image
    assert (own == as_own).all() and (own != other).any()


@pytest.mark.parametrize(
    ("axis", "steps", "message"),
    [
        ("AU5", 3, "axis must be one of AU4, AU6, AU7, AU9, AU10, AU43, yaw, light, got 'AU5'"),
        ("AU43", 2, "expressions must be 1 along AU43, which is there or not, got 2"),
        ("yaw", 1, "expressions must be 2 or more along yaw, got 1"),
        ("AU4", 0, "expressions must be 1 or more along AU4, got 0"),
    ],
)
def test_what_can_not_be_is_refused(axis: str, steps: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_steps(axis, steps)
    with pytest.raises(ValueError, match=f"^{message}$"):
        vary_scenes(drawn(steps), axis)


def test_a_place_does_not_go_round() -> None:
    scenes = sample_scenes(seed=3, identity_id=1, cell=CELLS[4], expressions=2, views=1, environments=1.0)
    with pytest.raises(ValueError, match=r"^light must be of lamps that stand somewhere, got \w+$"):
        vary_scenes(scenes, "light")
