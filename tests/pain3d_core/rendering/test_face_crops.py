"""A crop around a face shows what the whole picture shows there."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pain3d.background import paint_background
from pain3d.camera import Camera
from pain3d.face.square import face_square
from pain3d.head import Head
from pain3d.head.joints import axis_angle_to_matrix
from pain3d.random import keyed_generator
from pain3d.rendering import people as people_module
from pain3d.rendering.face_crops import (
    BLOCK,
    CORNERS,
    MARGIN,
    WIDEST_SQUARE,
    CropCamera,
    FaceCrops,
    crops_around,
    face_squares,
    render_face_crops,
    widest_crop,
)
from pain3d.rendering.frames import Frames, render_scenes
from pain3d.rendering.people import FINEST_FROM, People, paint_persons
from pain3d.rendering.shots import cameras, shots_of
from pain3d.scene import GROWN, HAIR, Scene, demographic_grid, sample_scenes

PERSON = 1
INNER = slice(MARGIN, -MARGIN)  # the background is clamped at the crop's border


def quiet_scenes(size: int, person: int = PERSON, **settings: Any) -> list[Scene]:
    """Three pictures of a person, without noise."""
    settings = {"expressions": 2, "views": 1, "cameras": "free"} | settings
    cell = demographic_grid(person + 1, 5)[person]
    scenes = sample_scenes(seed=5, identity_id=person, cell=cell, size=size, environments=0, **settings)
    return [replace(scene, sensor=replace(scene.sensor, iso=0.0)) for scene in scenes]


def behind(scenes: list[Scene]) -> torch.Tensor:
    made = []
    for scene in scenes:
        key = keyed_generator(scene.seed, "background", scene.identity_id, scene.view_id, scene.background_id)
        made.append(torch.from_numpy(paint_background(scene.background, key, scene.background_blur)))
    return torch.stack(made)


def place(scenes: list[Scene], slots: int = 1) -> People:
    """The people of scenes in the last slot."""
    people = People(Head.default(), slots, frame=scenes[0].size)
    first = scenes[0]
    (person,) = paint_persons(Head.default(), [first], frame=first.size)
    people.place(slots - 1, person)
    return people


def square_of(frames: Frames, row: int) -> npt.NDArray[np.float64]:
    """The square of an upright head in the whole picture."""
    camera = frames.camera_rows()[row]
    told = (camera["camera_K"], camera["camera_R"], camera["camera_t"])
    return np.array(face_square(frames.landmarks_2d[row], frames.landmarks_3d[row], *told, 0.0))


def by_row(crops: list[FaceCrops]) -> dict[int, tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], Any]]:
    """Image, heat map and square of each scene."""
    found = {}
    for part in crops:
        assert part.heatmap is not None
        for place_, row in enumerate(part.rows.tolist()):
            found[row] = (part.image[place_].numpy(), part.heatmap[place_].numpy(), part.square[place_].numpy())
    return found


def crops_of(scenes: list[Scene], people: People, slots: list[int]) -> list[FaceCrops]:
    """Faces and heat maps."""
    known, index = torch.tensor(slots).unique(return_inverse=True)
    return render_face_crops(shots_of(scenes), people, known, index, behind(scenes), heatmaps=True)


@pytest.mark.parametrize("hair", HAIR)
@pytest.mark.parametrize("size", [96, 256, 100, 320])
@pytest.mark.parametrize("finest", [True, False])
def test_a_crop_shows_what_the_picture_shows(
    size: int, finest: bool, hair: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 100 pixels the last JPEG block is cut short, and a block's corner lies within a texel of the background.

    Shadows of a picture of 320 pixels are finer than those that its crop would have by itself.
    """
    monkeypatch.setattr(people_module, "FINEST_FROM", 0 if finest else 10_000)
    scenes = quiet_scenes(size, hair=hair)
    frames = render_scenes(scenes)
    crops = by_row(crops_of(scenes, place(scenes, 2), [1] * 3))
    assert sorted(crops) == [0, 1, 2]
    for row, (image, levels, square) in crops.items():
        rows, columns = pixels_of(frames, row, image, square)
        difference = np.abs(frames.image[row][rows, columns].astype(int) - image)[INNER, INNER]
        # Rays are equal but for a rounding: worst seen 2e-4 levels. Without the finest mip level 0.12.
        assert difference.mean() < (1e-3 if finest else 0.2)
        assert (difference > 0).mean() < (1e-3 if finest else 0.1)  # worst seen 2e-4, and 0.044
        heat = np.minimum(frames.heatmap[row][rows, columns] * 10, 255)
        assert (np.abs(heat - levels) > 0.51).mean() < 1e-3  # a pixel at a silhouette may see another face


def pixels_of(frames: Frames, row: int, image: npt.NDArray[np.uint8], square: Any) -> tuple[slice, slice]:
    """Rows and columns of the picture that a crop holds: a rolled head moves the square by less than half a block."""
    left, top = (np.round((square_of(frames, row)[:2] - square[:2]) / BLOCK).astype(int) * BLOCK).tolist()
    return slice(top, top + len(image)), slice(left, left + len(image))


def test_a_face_depends_on_its_scene_alone() -> None:
    """Alone, among others, in another slot: the same bytes."""
    scenes = [replace(scene, sensor=replace(scene.sensor, iso=400.0)) for scene in quiet_scenes(96)]
    together = by_row(crops_of(scenes, place(scenes), [0] * 3))
    other = quiet_scenes(96, person=0)
    people = place(scenes, 3)
    people.place(0, *paint_persons(Head.default(), other[:1], frame=96))
    mixed = [other[1], scenes[2]]
    alone = by_row(crops_of(mixed, people, [0, 2]))
    assert np.array_equal(alone[1][0], together[2][0]) and np.array_equal(alone[1][1], together[2][1])
    assert not np.array_equal(alone[0][0], alone[1][0])


def test_ribbons_reach_beyond_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another background is seen as long as there are none; and no heat map knows of them."""
    scenes = quiet_scenes(128, hair=GROWN)
    people, walls = place(scenes), behind(scenes)
    nobody, who = torch.zeros(1, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    shots = shots_of(scenes)
    haired = by_row(render_face_crops(shots, people, nobody, who, walls, heatmaps=True))
    monkeypatch.setattr(People, "layers", lambda *_: None)
    bare, elsewhere = (
        by_row(render_face_crops(shots, people, nobody, who, wall, heatmaps=True)) for wall in (walls, 1 - walls)
    )
    for row in range(3):
        beside = (bare[row][0] != elsewhere[row][0]).any(-1)
        assert (np.abs(haired[row][0].astype(int) - bare[row][0])[beside].max(-1) > 30).mean() > 0.01  # least seen 0.07
        assert np.array_equal(haired[row][1], bare[row][1])


def test_a_device_without_ribbons_takes_nobody_who_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = quiet_scenes(96, hair=GROWN)
    people = People(Head.default(), 1, frame=96)
    (person,) = paint_persons(Head.default(), scenes[:1], frame=96)
    monkeypatch.setattr(people, "head", SimpleNamespace(device=torch.device("cuda")))
    with pytest.raises(ValueError, match=r"person\.hair must be None on cuda: ribbons are drawn on the CPU alone"):
        people.place(0, person)


def test_neutral_moves_nothing() -> None:
    scenes = quiet_scenes(96)
    crops = by_row(crops_of(scenes, place(scenes), [0] * 3))
    assert crops[0][1].max() == 0 and crops[1][1].max() > 0


def test_wrinkles_can_be_left_out() -> None:
    scenes = quiet_scenes(96, wrinkles=False)
    frames = render_scenes(scenes)
    image, _, square = by_row(crops_of(scenes, place(scenes), [0] * 3))[1]
    whole = frames.image[1][pixels_of(frames, 1, image, square)].astype(int)
    assert np.abs(whole - image)[INNER, INNER].mean() < 0.2


def test_a_crop_camera_looks_through_a_part_of_the_picture() -> None:
    scenes = quiet_scenes(96)
    whole = cameras(scenes)
    corner = torch.tensor([[16, 0], [0, 32], [32, 16]])
    crop = CropCamera(whole.world_to_view, whole.fov_degrees, (48, 64), corner, whole.size)
    points = torch.randn(3, 20, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    expected = whole.project(points) - corner[:, None]
    assert (crop.project(points) - expected).abs().max() < 1e-4  # px, worst seen 3e-5: float32
    assert torch.equal(crop.intrinsics[:, :2, 2], whole.intrinsics[:, :2, 2] - corner)
    assert torch.equal(crop.position, whole.position)
    assert isinstance(crop.to("cpu"), CropCamera) and isinstance(whole, Camera)


@given(
    st.lists(st.tuples(st.floats(-50, 400), st.floats(-50, 400), st.floats(5, 300)), min_size=1, max_size=5),
    st.sampled_from([96, 100, 256, 320]),
)
def test_crops_hold_their_squares(squares: list[tuple[float, float, float]], frame: int) -> None:
    given_squares = np.array(squares)
    corners, sides = (part.numpy() for part in crops_around(torch.from_numpy(given_squares), frame))
    assert (corners >= 0).all() and (corners + sides[:, None] <= frame).all()
    assert (corners % BLOCK == 0).all() and ((sides % BLOCK == 0) | (sides == frame)).all()
    low, high = given_squares[:, :2] - given_squares[:, 2:] / 2, given_squares[:, :2] + given_squares[:, 2:] / 2
    inside = (low > 0).all(1) & (high < frame).all(1)
    assert (corners[inside] <= np.maximum(low[inside] - MARGIN, 0)).all()
    assert (corners[inside] + sides[inside, None] >= np.minimum(high[inside] + MARGIN, frame)).all()


def test_squares_on_any_device_are_those_of_the_columns() -> None:
    """In float64 as in NumPy; and none is wider than what a device that isn't waited for renders."""
    people = [quiet_scenes(96, person=person, expressions=30)[person] for person in range(4)]
    head, shots = Head.default(), shots_of(people)
    points = head(head.identity_vector([p.identity for p in people]), shots.au, neck_pose=shots.neck).vertices
    points = head.landmark_points(points)
    found = face_squares(points[:, CORNERS], shots)
    seen, intrinsics, view = shots.camera.project(points), shots.camera.intrinsics, shots.camera.world_to_view
    turn = view[:, :3, :3] @ axis_angle_to_matrix(shots.neck)
    rolls = torch.rad2deg(torch.atan2(turn[:, 1, 0], turn[:, 1, 1])).tolist()
    for row, roll in enumerate(rolls):
        expected = face_square(seen[row], points[row], intrinsics[row], view[row, :3, :3], view[row, :3, 3], roll)
        assert found[row].tolist() == pytest.approx(expected, abs=1e-3)  # px; float32 in the columns, seen 2e-5
    assert found[:, 2].max() < WIDEST_SQUARE * 96


@pytest.mark.parametrize("frame", [96, 100, 256, 512])
def test_the_widest_crop_holds_any_square(frame: int) -> None:
    side = widest_crop(frame)
    assert side <= frame and (side % BLOCK == 0 or side == frame)
    middle = np.random.default_rng(0).uniform(0.32 * frame, 0.68 * frame, (200, 2))
    squares = np.concatenate([middle, np.full((200, 1), WIDEST_SQUARE * frame)], 1)
    assert int(crops_around(torch.from_numpy(squares), frame)[1].max()) <= side


def test_what_does_not_fit_is_named() -> None:
    scenes = quiet_scenes(96)
    people = People(Head.default(), 1, frame=96)
    shots, walls, nobody = shots_of(scenes), behind(scenes), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ValueError, match="nobody was placed"):
        render_face_crops(shots, people, nobody, nobody.repeat(3), walls)
    with pytest.raises(ValueError, match="person_index and painted must have 3 rows, got 2 and 3"):
        render_face_crops(shots, people, nobody, nobody.repeat(2), walls)
    with pytest.raises(ValueError, match="one size"):
        shots_of([scenes[0], replace(scenes[1], size=64)])
    (fine,) = paint_persons(Head.default(), scenes[:1], frame=FINEST_FROM)
    with pytest.raises(ValueError, match="another frame"):
        people.place(0, fine)
