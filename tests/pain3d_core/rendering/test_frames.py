"""Scenes to pictures: labels, geometry and pixels belong together, and depend on the scenes alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import pain3d
from pain3d.colour import srgb_to_linear, temperature_gains
from pain3d.facs import ActionUnits
from pain3d.rendering.frames import render_scenes
from pain3d.scene import DemographicCell, Pose, Scene, Sensor, sample_scenes

CELL = DemographicCell("35-54", "female", "asian")
SCENES = sample_scenes(seed=5, identity_id=1, cell=CELL, expressions=3, views=2, size=96)
FRAMES = render_scenes(SCENES)


def test_shapes_and_neutral_rows() -> None:
    assert FRAMES.image.shape == (8, 96, 96, 3) and FRAMES.heatmap.shape == (8, 96, 96)
    assert FRAMES.frontal_heatmap.shape == (4, 96, 96, 3)
    assert FRAMES.heatmap[:2].max() == 0 and FRAMES.frontal_heatmap[0].max() == 0
    for index, scene in enumerate(SCENES):
        if scene.au.nonzero():
            assert FRAMES.heatmap[index].max() > 0.1
    assert (FRAMES.heatmap[FRAMES.alpha == 0] == 0).all()
    assert FRAMES.coverage.min() > 0.15 and FRAMES.coverage.max() < 0.9


def test_the_face_is_in_the_picture_and_where_the_landmarks_say() -> None:
    inside = (FRAMES.landmarks_2d > 0) & (FRAMES.landmarks_2d < 96)
    assert inside.all()
    low, high = FRAMES.bbox[:, :2], FRAMES.bbox[:, 2:]
    assert ((high - low) > 20).all()
    nose = FRAMES.landmarks_2d[:, 30].round().astype(int)
    assert all(FRAMES.alpha[i, y, x] == 255 for i, (x, y) in enumerate(nose))
    # K, R and t project the 3D landmarks onto the 2D ones (OpenCV's axes: y down, z forward).
    for index, row in enumerate(FRAMES.camera_rows()):
        view = FRAMES.landmarks_3d[index] @ np.array(row["camera_R"]).T + np.array(row["camera_t"])
        pixels = (view * [1, -1, -1]) @ np.array(row["camera_K"]).T
        pixels = pixels[:, :2] / pixels[:, 2:]
        assert np.abs(pixels - FRAMES.landmarks_2d[index]).max() < 1e-3  # pixels; fp32


def test_bytes_depend_on_the_scene_alone() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = render_scenes(SCENES[5:6])
        again = render_scenes(SCENES)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(alone.image[0], FRAMES.image[5])
    assert np.array_equal(alone.heatmap[0], FRAMES.heatmap[5])
    assert np.array_equal(alone.landmarks_2d[0], FRAMES.landmarks_2d[5])
    assert np.array_equal(again.image, FRAMES.image)
    replayed = render_scenes([Scene.from_json(SCENES[5].to_json())])
    assert np.array_equal(replayed.image[0], FRAMES.image[5])


def test_a_counterfactual_changes_one_thing() -> None:
    scene = SCENES[4]
    calm = replace(scene, au=ActionUnits())
    other = render_scenes([calm])
    changed = np.abs(other.image[0].astype(int) - FRAMES.image[4]).max(-1) > 2
    outside = FRAMES.alpha[4] == 0
    assert changed.any() and not (changed & outside & (other.alpha[0] == 0)).any()
    turned = render_scenes([replace(scene, pose=Pose(neck_yaw=20.0))])
    assert turned.landmarks_3d[0, 30, 0] > FRAMES.landmarks_3d[4, 30, 0]


QUIET = Sensor()


def test_noise_belongs_to_the_picture_and_exposure_and_balance_to_its_light() -> None:
    scene = replace(SCENES[4], sensor=QUIET, size=128)
    quiet = render_scenes([scene]).image[0].astype(int)

    def change(**settings: float) -> np.ndarray:
        return render_scenes([replace(scene, sensor=Sensor(**settings))]).image[0].astype(int) - quiet

    noise = change(iso=800.0)
    assert 2 < noise.std() < 8 and abs(noise.mean()) < 0.5  # seen 4.3 and 0.05: bytes, over the whole picture
    elsewhere = replace(scene, sensor=Sensor(iso=800.0), view_id=scene.view_id + 1, background_id=0)
    other = render_scenes([elsewhere, replace(elsewhere, sensor=QUIET)]).image.astype(int)
    assert abs(np.corrcoef(noise.ravel(), (other[0] - other[1]).ravel())[0, 1]) < 0.05
    assert (change(exposure=0.5) >= 0).all() and change(exposure=0.5).mean() > 15  # face and background alike
    warm = change(white_balance=5000.0)
    assert (warm[..., 0] >= 0).all() and (warm[..., 2] <= 0).all() and warm[..., 2].mean() < -8
    assert (change(quality=70) == 0).all()  # the file's business


def test_exposure_and_balance_are_exact_in_linear_light() -> None:
    """A stop more is twice the light, on face and background alike, but for the tone map and the rounding of bytes."""
    scene = replace(SCENES[0], sensor=Sensor(exposure=-2.0), light=replace(SCENES[0].light, key_share=0.5))
    pair = [scene, replace(scene, sensor=Sensor(exposure=-1.0)), replace(scene, sensor=Sensor(-2.0, 4500.0))]
    dark, bright, warm = (srgb_to_linear(image / 255.0) for image in render_scenes(pair).image)
    plain = (bright.max(-1) < 0.7) & (dark.min(-1) > 0.02)  # below the tone map's knee; bytes fine enough
    assert plain.mean() > 0.25
    assert np.abs(bright[plain] / dark[plain] - 2).max() < 0.12  # half a byte of about 40 in the darker one: seen 0.08
    ratio = np.median(warm[plain] / dark[plain], axis=0)
    assert ratio == pytest.approx(temperature_gains(4500.0), rel=0.02)


def test_without_wrinkles_the_geometry_stays() -> None:
    scene = replace(SCENES[2], au=ActionUnits(AU4=5, AU6=5, AU9=5), sensor=QUIET, size=256)
    smooth = render_scenes([replace(scene, wrinkles=False)])
    wrinkled = render_scenes([scene])
    for name in ("alpha", "heatmap", "landmarks_2d", "neutral_vertices"):
        assert np.array_equal(getattr(smooth, name), getattr(wrinkled, name)), name
    assert np.abs(smooth.image.astype(int) - wrinkled.image).max() > 20
    with pytest.raises(ValueError, match=r"^scenes must share one wrinkles"):
        render_scenes([scene, replace(scene, wrinkles=False)])


def test_free_cameras_render_in_one_batch_as_alone() -> None:
    scenes = sample_scenes(seed=5, identity_id=2, cell=CELL, expressions=2, views=2, size=64, cameras="free")
    together = render_scenes(scenes)
    for index in (0, 3):
        assert np.array_equal(render_scenes([scenes[index]]).image[0], together.image[index])
    corners = together.image[:, :4, :4].reshape(6, -1)
    assert len(np.unique(corners, axis=0)) == 6  # every picture has its own background


def test_faces_of_every_tone_are_neither_burnt_nor_crushed() -> None:
    """A meter that does not know the person: dark skin keeps its detail, light skin its highlights."""
    for number, ancestry in enumerate(("african", "caucasian")):
        cell = DemographicCell("18-34", "female", ancestry)
        scenes = sample_scenes(seed=11, identity_id=number, cell=cell, expressions=5, views=1, size=96, cameras="free")
        frames = render_scenes(scenes)
        for image, box in zip(frames.image, frames.bbox.round().astype(int), strict=True):
            x0, y0, x1, y1 = box
            middle = image[(3 * y0 + y1) // 4 : (y0 + 3 * y1) // 4, (3 * x0 + x1) // 4 : (x0 + 3 * x1) // 4]
            assert (middle.max(-1) < 12).mean() < 0.05  # pupils and nostrils; seen 0
            assert (middle.min(-1) > 250).mean() < 0.02  # seen 0


def test_skin_tone_follows_the_axis() -> None:
    def tone(ancestry: str, number: int) -> float:
        cell = DemographicCell("18-34", "male", ancestry)
        scenes = sample_scenes(seed=8, identity_id=number, cell=cell, expressions=0, views=1, size=32)
        return render_scenes(scenes).skin_ita

    dark, light = ([tone(a, k) for k in range(6)] for a in ("african", "caucasian"))
    assert np.median(light) - np.median(dark) > 40


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"^scenes must not be empty"):
        render_scenes([])
    with pytest.raises(ValueError, match=r"^scenes must share one size"):
        render_scenes([SCENES[0], replace(SCENES[1], size=64)])
    mesh = pain3d.Head.default()()
    with pytest.raises(ValueError, match=r"^there must be 1 or 3 lights for 3 cameras, got 2"):
        two = pain3d.Light(*(torch.cat([t, t]) for t in vars(pain3d.Light.preset("studio", size=5.0)).values()))
        pain3d.render(mesh, pain3d.Camera.orbit(yaw_degrees=(-1, 0, 1), size=8), light=two)
