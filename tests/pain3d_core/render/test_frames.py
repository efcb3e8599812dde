"""Scenes to pictures: labels, geometry and pixels belong together, and depend on the scenes alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import pain3d
from pain3d.facs import ActionUnits
from pain3d.render.frames import render_scenes
from pain3d.scene import DemographicCell, Pose, Scene, sample_scenes

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
        two = pain3d.Light(*(torch.cat([t, t]) for t in vars(pain3d.Light.preset("studio")).values()))
        pain3d.render(mesh, pain3d.Camera.orbit(yaw_degrees=(-1, 0, 1), size=8), light=two)
