"""Scenes: sampled by key, balanced, small, and a pure function of their arguments."""

import json
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pain3d.background import BACKGROUNDS
from pain3d.camera import Camera
from pain3d.environment.embedded import embedded_environment
from pain3d.head import Head
from pain3d.light import KEY_SIZES, LIGHTS
from pain3d.pipeline.rows import head_angles
from pain3d.rendering.shots import cameras, shots_of
from pain3d.scene import CELLS, Scene, demographic_grid, sample_expression, sample_scenes
from pain3d.setting import (
    CONTRAST,
    SATURATION,
    CameraSetting,
    Pose,
    Sensor,
    orbit_angles,
    sample_background,
    sample_camera,
    sample_key_size,
    sample_light,
    sample_pose,
    sample_sensor,
)


@settings(max_examples=40)
@given(st.integers(1, 200), st.integers(0, 2**40))
def test_grid_is_balanced_to_within_one_for_any_number(identities: int, seed: int) -> None:
    cells = demographic_grid(identities, seed)
    counts = Counter(cells)
    every = [counts.get(cell, 0) for cell in CELLS]
    assert len(cells) == identities and max(every) - min(every) <= 1
    for axis in ("sex", "ancestry", "age_group"):
        values = Counter(getattr(cell, axis) for cell in demographic_grid(len(CELLS), seed))
        assert len(set(values.values())) == 1
    for start in range(0, 24, 6):
        six = demographic_grid(24, seed)[start : start + 6]
        assert len({(cell.sex, cell.ancestry) for cell in six}) == 6
        assert max(Counter(cell.age_group for cell in six).values()) <= 2


def test_scenes_of_an_identity() -> None:
    cell = demographic_grid(3, 0)[2]
    scenes = sample_scenes(seed=0, identity_id=2, cell=cell, expressions=4, views=3, size=256, environments=0)
    assert [(s.expression_id, s.view_id) for s in scenes] == [(e, v) for e in range(5) for v in range(3)]
    assert all(scene.au.pspi() == 0 and not scene.au.nonzero() for scene in scenes[:3])
    assert len({scene.identity for scene in scenes}) == 1
    # One moment is filmed by several cameras: pose and light belong to the expression, the camera to the view.
    for expression in range(5):
        moment = scenes[3 * expression : 3 * expression + 3]
        assert len({s.light for s in moment}) == len({s.pose for s in moment}) == len({s.au for s in moment}) == 1
        assert [s.camera for s in moment] == [s.camera for s in scenes[:3]]
    yaws = [s.camera.yaw for s in scenes[:3]]
    assert yaws == sorted(yaws) and -36 <= yaws[0] < -11 and 11 < yaws[2] <= 36  # thirds of ±34.5°, seen from above
    assert len({s.sensor for s in scenes}) == len(scenes)


def test_free_cameras_belong_to_the_picture() -> None:
    fixed, free = (
        sample_scenes(seed=0, identity_id=2, cell=CELLS[0], expressions=3, views=2, cameras=mode, environments=0)
        for mode in ("fixed", "free")
    )
    for scenes, kept in ((fixed, 2), (free, 8)):
        assert len({s.camera for s in scenes}) == len({s.background_blur for s in scenes}) == kept
    assert len({s.light for s in fixed}) == 4 and len({s.light for s in free}) == 8
    assert {s.background_id for s in free} == {0, 1, 2, 3} and {s.background_id for s in fixed} == {0}
    for one, other in zip(fixed, free, strict=True):
        assert (one.au, one.pose, one.identity, one.sensor) == (other.au, other.pose, other.identity, other.sensor)
    for view, low, high in ((0, -36, 0), (1, 0, 36)):
        assert all(low < s.camera.yaw < high for s in free if s.view_id == view)


def seen_angles(settings: list[CameraSetting], poses: list[Pose]) -> np.ndarray:
    camera = Camera.orbit([s.yaw for s in settings], [s.pitch for s in settings], [s.roll for s in settings])
    rows = [head_angles(r, p) for r, p in zip(camera.world_to_view[:, :3, :3].tolist(), poses, strict=True)]
    return np.array([[row[f"{name}_degrees"] for name in ("yaw", "pitch", "roll")] for row in rows])


@given(st.floats(-60, 60), st.floats(-30, 30), st.floats(-20, 20))
def test_the_camera_sees_the_head_at_the_angles_asked_for(yaw: float, pitch: float, roll: float) -> None:
    camera = CameraSetting(*orbit_angles(yaw, pitch, roll))
    # a thousandth of a degree is what a setting is rounded to; worst seen 1.3e-3
    np.testing.assert_allclose(seen_angles([camera], [Pose()])[0], [yaw, pitch, roll], atol=3e-3)


def test_head_poses_fill_their_ranges_and_no_more() -> None:
    settings = [sample_camera(0, i, i % 3, 3) for i in range(3000)]
    angles = np.abs(seen_angles(settings, [sample_pose(0, i, 0) for i in range(3000)]))
    most = angles.max(0)  # seen 44.4, 19.2, 9.3
    assert (most < (45, 20, 10)).all() and (most > (42, 17, 8)).all()


def test_a_bedside_camera_is_drawn_beside_the_others() -> None:
    """A share of 0 changes nothing, one of 0.5 half of the cameras, in nothing but how the head lies in the picture."""
    plain = [sample_camera(0, i, 0, 1) for i in range(1000)]
    half = [sample_camera(0, i, 0, 1, bedside=0.5) for i in range(1000)]
    assert 450 < sum(one != other for one, other in zip(plain, half, strict=True)) < 550
    assert all(
        (a.distance, a.focal_length_mm) == (b.distance, b.focal_length_mm) for a, b in zip(plain, half, strict=True)
    )
    beds = [sample_camera(0, i, 0, 1, bedside=1.0) for i in range(1000)]
    angles = np.abs(seen_angles(beds, [Pose()] * len(beds)))
    assert (angles.max(0) < (35, 30.1, 90.1)).all() and (angles.max(0) > (33, 29, 88)).all()


def test_every_lamp_says_how_large_it_is_and_draws_nothing_else_anew() -> None:
    def drawn(**options: Any) -> list[Scene]:
        return [
            scene
            for number in range(12)
            for scene in sample_scenes(
                seed=2, identity_id=number, cell=CELLS[number], expressions=1, views=1, **options
            )
        ]

    cast, plain = drawn(), drawn(shadows=False)
    assert [replace(scene, light=replace(scene.light, size=0.0)) for scene in cast] == plain
    for scene in cast:
        if scene.light.is_place:
            assert scene.light.size == pytest.approx(embedded_environment(scene.light.name).key_degrees, abs=1e-3)
        else:
            assert abs(math.log2(scene.light.size / KEY_SIZES[scene.light.name])) < 0.51
        assert Scene.from_json(scene.to_json()) == scene
    assert len({scene.light.size for scene in cast}) > 12 and "size" not in json.loads(plain[0].to_json())["light"]
    for name in ("own:0123456789abcdef", "own:fedcba9876543210"):
        assert 2 <= sample_key_size(name, 0, 0) <= 32


def test_focal_length_framing_and_distance_belong_together() -> None:
    settings = [sample_camera(1, i, 0, 1) for i in range(2000)]
    focal = np.array([s.focal_length_mm for s in settings])
    assert focal.min() >= 35 and focal.max() <= 85
    assert np.median(focal) == pytest.approx(np.sqrt(35 * 85), rel=0.04)  # log-uniform; seen within 1 %
    height = (np.array([s.distance for s in settings]) - 0.08) * 24 / focal
    assert height.min() > 0.2599 and height.max() < 0.3401
    assert CameraSetting(focal_length_mm=12.0).fov == pytest.approx(90)
    assert abs(np.corrcoef(focal, height)[0, 1]) < 0.08  # seen 0.02: perspective says nothing of the size


def test_the_face_stays_in_the_picture() -> None:
    head = Head.default()
    for number, cell in enumerate(CELLS[::5]):
        scenes = sample_scenes(seed=4, identity_id=number, cell=cell, expressions=8, views=3, cameras="free", size=100)
        moments = [scene for scene in scenes if scene.view_id == 0]
        shots = shots_of(moments)
        mesh = head(scenes[0].identity, shots.au, neck_pose=shots.neck, leye_pose=shots.gaze, reye_pose=shots.gaze)
        each = torch.tensor([scene.expression_id for scene in scenes])
        pixels = cameras(scenes).project(head.landmark_points(mesh.vertices[each], slice(68)))
        assert pixels.min() > 2 and pixels.max() < 98  # per cent of the picture; seen 14 to 92


def test_what_surrounds_the_face_knows_nothing_of_the_person() -> None:
    one, other = (
        sample_scenes(seed=0, identity_id=5, cell=cell, expressions=3, views=2) for cell in (CELLS[0], CELLS[-1])
    )
    for a, b in zip(one, other, strict=True):
        assert (a.camera, a.light, a.pose, a.sensor, a.background) == (
            b.camera,
            b.light,
            b.pose,
            b.sensor,
            b.background,
        )
        assert a.skin != b.skin


def test_a_smaller_picture_is_a_larger_one_made_small() -> None:
    for number in range(20):
        taken, large, half, quarter = (sample_sensor(0, number, 0, 0, size=size) for size in (512, 2048, 256, 128))
        assert taken == large
        for small, times in ((half, 2), (quarter, 4)):
            assert small.mtf50 == min(times * taken.mtf50, 0.5)
            # The light of `times`² pixels; both are rounded to a tenth.
            assert small.iso == pytest.approx(taken.iso / times**2, abs=0.05 + 0.05 / times**2 + 1e-9)
            assert (small.exposure, small.quality, small.contrast) == (taken.exposure, taken.quality, taken.contrast)
    scenes = sample_scenes(seed=0, identity_id=0, cell=demographic_grid(1, 0)[0], expressions=1, views=1, size=256)
    assert scenes[1].sensor == sample_sensor(0, 0, 1, 0, size=256)
    with pytest.raises(ValueError, match=r"^size must be a whole number in 1\.\.16384, got 0$"):
        sample_sensor(0, 0, 0, 0, size=0)


def test_lights_backgrounds_and_sensors_fill_their_ranges() -> None:
    lights = [sample_light(0, i, 0) for i in range(600)]
    assert {light.name for light in lights} == set(LIGHTS)
    assert {sample_background(0, i, 0)[0] for i in range(300)} == set(BACKGROUNDS)
    sensors = [sample_sensor(0, i, 0, 0, quality=90) for i in range(600)]
    assert {s.quality for s in sensors} == set(range(70, 91))
    assert {sample_sensor(0, i, 0, 0, quality=40).quality for i in range(20)} == {40}
    # Each is even about neutral; standard error of a mean of 600 even draws is 2.4 % of the reach.
    for values, reach in (
        ([s.exposure for s in sensors], 0.22),
        ([1e6 / s.white_balance - 1e6 / 6504 for s in sensors], 22),
        ([1e6 / light.temperature - 1e6 / 6504 for light in lights], 22),
        ([np.log(s.iso / 200) for s in sensors], np.log(4)),
        ([s.mtf50 - 0.275 for s in sensors], 0.075),
        ([s.contrast - np.mean(CONTRAST) for s in sensors], np.ptp(CONTRAST) / 2),
        ([s.saturation - np.mean(SATURATION) for s in sensors], np.ptp(SATURATION) / 2),
    ):
        assert abs(np.mean(values)) < 0.12 * reach and 0.95 * reach < np.abs(values).max() <= 1.01 * reach
    assert Sensor().settings == (0, 0, 0, 1, 1)
    with pytest.raises(ValueError, match=r"^mtf50 must be 0 or 0.19 to 0.5 cycles a pixel, got 0.1$"):
        Sensor(mtf50=0.1)


def test_json_goes_round_in_two_kilobytes() -> None:
    for identity in range(8):
        cell = demographic_grid(8, 1)[identity]
        for scene in sample_scenes(
            seed=2**62, identity_id=identity, cell=cell, expressions=3, views=2, asymmetry=0.3, cameras="free"
        ):
            text = scene.to_json()  # seen at most 1657 bytes
            assert Scene.from_json(text) == scene
            assert len(text.encode()) <= 2048 and "\n" not in text
            other_skin = replace(scene, skin=replace(scene.skin, seed=1, identity=3))
            assert Scene.from_json(other_skin.to_json()) == other_skin
    for wrong in ('{"seed": 1}', "[]", text.replace('"local":"', '"local":"?')):
        with pytest.raises(ValueError, match=r"^not a scene"):
            Scene.from_json(wrong)


@pytest.mark.parametrize("law", ["uniform", "independent", "clinical"])
def test_expressions_leave_pspi_alone(law: str) -> None:
    plain = [sample_expression(3, 7, e, law, co_occurring=False) for e in range(40)]
    joined = [sample_expression(3, 7, e, law, co_occurring=True) for e in range(40)]
    askew = [sample_expression(3, 7, e, law, co_occurring=True, asymmetry=0.5) for e in range(40)]
    assert [a.pspi() for a in plain] == [a.pspi() for a in joined]
    assert np.allclose([a.pspi() for a in askew], [a.pspi() for a in joined])
    assert any(set(a.nonzero()) - set(b.nonzero()) for a, b in zip(joined, plain, strict=True))
    assert any("_L" in name for a in askew for name in a.nonzero()) or law == "clinical"


def test_bad_options() -> None:
    with pytest.raises(ValueError, match=r"^asymmetry must be in 0\.\.1, got 2"):
        sample_scenes(seed=0, identity_id=0, cell=CELLS[0], asymmetry=2)
    with pytest.raises(ValueError, match=r"^cameras must be one of fixed, free, got 'loose'"):
        sample_scenes(seed=0, identity_id=0, cell=CELLS[0], cameras="loose")
