"""Pictures of lenses that distort: bent as projection says, all of them alike, the same alone or beside others."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from pain3d.environment.backdrop import paint_backdrop
from pain3d.environment.embedded import ENVIRONMENTS, embedded_environment
from pain3d.head.model import Head
from pain3d.lens import coefficient_limit, pinhole_reach
from pain3d.live.portrait import Portrait
from pain3d.pipeline.texture.refine import scene_conditions
from pain3d.rendering.bending import FINER, Lens, bend
from pain3d.rendering.face_crops import render_face_crops
from pain3d.rendering.frames import Clock, Frames, render_people, render_scenes, render_setup
from pain3d.rendering.people import People
from pain3d.rendering.portraits import render_portraits
from pain3d.rendering.scene_inputs import grown_surface, inputs_of
from pain3d.rendering.shots import shots_of
from pain3d.rendering.view import View, render
from pain3d.scene import CELLS, CameraSetting, Scene, Sensor, sample_scenes

Floats = npt.NDArray[np.float64]
SIZE = 96
HALF = 12 / 35  # of the plane z = 1, to a side, at 35 mm
NEAR = CameraSetting(yaw=10.0, roll=4.0, distance=0.42, focal_length_mm=35.0)
STRONG = 0.4  # a corner moves by 9 %: more than any lens that is drawn
SCENES = sample_scenes(seed=5, identity_id=1, cell=CELLS[4], expressions=1, views=1, size=SIZE, environments=0)
PAIN = replace(SCENES[1], sensor=Sensor(), camera=NEAR, hair="painted")


def through(k1: float, scene: Scene = PAIN) -> Scene:
    return replace(scene, camera=replace(scene.camera, distortion=k1))


@cache
def taken(k1: float) -> Frames:
    return render_scenes([through(k1)])


def bent(picture: Tensor, k1: float, size: int) -> View:
    """A picture [S, S] that a pinhole saw through a lens, as image, alpha, attributes, depth and parts."""
    levels = picture.round().to(torch.uint8)[None]
    seen = View(levels[..., None].expand(-1, -1, -1, 3), levels, None, picture[None], picture[None, ..., None], levels)
    return bend(seen, [Lens(k1, HALF, pinhole_reach(k1, HALF))], size)


@pytest.mark.parametrize("size", [1, 7, 32])
def test_without_distortion_a_pixel_is_the_mean_of_the_four_in_it(size: int) -> None:
    picture = torch.rand(FINER * size, FINER * size, generator=torch.Generator().manual_seed(0)) * 250 + 1
    view = bent(picture, 0.0, size)
    assert view.alpha is not None and view.attributes is not None and view.depth is not None
    four = picture.unflatten(1, (size, 2)).unflatten(0, (size, 2)).permute(0, 2, 1, 3).flatten(2)
    torch.testing.assert_close(view.attributes[0, ..., 0], four.mean(-1))
    assert (view.alpha[0].double() - four.mean(-1)).abs().max() <= 1
    assert (four == view.depth[0, ..., None]).any(-1).all()


@pytest.mark.parametrize("k1", [-0.42, -0.1, 0.1, 0.42])
def test_every_pixel_looks_where_the_lens_puts_it_up_to_the_border(k1: float) -> None:
    """Of a picture that tells its own place, so that a border which is repeated would be seen."""
    size, seen = 50, 100
    reach = pinhole_reach(k1, HALF)
    assert abs(k1) < coefficient_limit(HALF)
    place = ((torch.arange(seen, dtype=torch.float64) + 0.5) / seen * 2 - 1) * reach + 2  # 0 would be background
    told = bent(place.expand(seen, seen), k1, size).attributes
    assert told is not None
    x = told[0, ..., 0] - 2  # of the pinhole; y by symmetry
    squared = x**2 + x.T**2
    middles = ((torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1) * HALF
    off = x * (1 + k1 * squared) - middles
    assert off.abs().max() < 2 * reach / seen / 256  # a place is told in 256ths of a pixel; half of one, and the slope


@pytest.mark.parametrize(("k1", "outward"), [(-0.3, True), (0.3, False)])
def test_lines_bend_outward_in_a_barrel_and_inward_in_a_pincushion(k1: float, outward: bool) -> None:
    size, seen, at = 64, 128, 98
    line = 240 * torch.exp(-((torch.arange(seen, dtype=torch.float64) + 0.5 - at) ** 2) / 32)  # 4 pixels wide
    for turned in (False, True):
        grid = (line + 10).expand(seen, seen)
        lines = bent(grid.T if turned else grid, k1, size).attributes
        assert lines is not None
        light = (lines[0, ..., 0].T if turned else lines[0, ..., 0]) - 10
        across = (light * (torch.arange(size) + 0.5)).sum(1) / light.sum(1)
        ends, middle = across[[0, -1]].mean().item(), across[size // 2].item()
        assert ends < middle - 0.4 if outward else ends > middle + 0.4
        x = (2 * at / seen - 1) * pinhole_reach(k1, HALF)
        assert middle == pytest.approx((x * (1 + k1 * x * x) / HALF + 1) * size / 2, abs=0.05)


def test_flat_pictures_stay_as_they_are() -> None:
    """Levels of every byte, in linear light and back, and no seam between head and background."""
    for level in range(0, 256, 5):
        view = bent(torch.full((32, 32), float(level)), -0.3, 16)
        assert view.image is not None and view.alpha is not None and view.attributes is not None
        assert (view.image == level).all() and (view.alpha == level).all() and (view.attributes == level).all()
    for column in range(10, 20):  # background takes nothing from the head
        edge = torch.zeros(32, 32)
        edge[:, column:] = 7.0
        heat = bent(edge, -0.3, 16).attributes
        assert heat is not None and set(heat.unique().tolist()) == {0.0, 7.0}


@cache
def dotted() -> tuple[Tensor, Tensor, Tensor]:
    """Points [1, P, 3] of the skin that look into the camera, a texture with a dot on each, and one with none."""
    head, side = Head.default(), 1024
    shots = shots_of([PAIN])
    identity = head.identity_vector(PAIN.identity)
    grown = grown_surface(head, PAIN.skin, wrinkles=False)
    pose = {"neck_pose": shots.neck, "leye_pose": shots.gaze, "reye_pose": shots.gaze}
    mesh = head(identity, shots.au, **pose, surface=grown)
    seen = render(mesh, replace(shots.camera, size=(256, 256)), outputs=("face_ids",)).face_ids
    assert seen is not None
    corners = mesh.vertices[0, head.topology.faces.long()]
    facing = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = torch.nn.functional.normalize(shots.camera.position - corners.mean(1), dim=1)
    along = (torch.nn.functional.normalize(facing, dim=1) * towards).sum(1)
    skin = head.topology.face_parts == head.topology.part_names.index("skin")
    pixels = shots.camera.project(corners.mean(1)[None])[0] - SIZE / 2
    front = seen[seen >= 0].unique()
    front = front[((along > 0.9) & skin & (pixels.abs().amax(1) < 0.44 * SIZE))[front]]
    dots, chosen = torch.zeros(side, side), []
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    for face in front[torch.randperm(len(front), generator=torch.Generator().manual_seed(1))].tolist():
        if all((corners[face].mean(0) - corners[other].mean(0)).norm() > 0.02 for other in chosen):
            u, v = head.topology.uvs[head.topology.uv_faces[face].long()].mean(0).tolist()
            away = (columns - u * side + 0.5) ** 2 + (rows - (1 - v) * side + 0.5) ** 2
            dots = torch.maximum(dots, torch.exp(-away / (2 * 3.0**2)))
            chosen.append(face)
    textures = torch.stack([0.1 + 0.8 * dots, torch.full_like(dots, 0.1)])[..., None].expand(-1, -1, -1, 3)
    return corners[chosen].mean(1)[None], *textures.contiguous()


@cache
def found_dots(k1: float) -> tuple[Floats, Floats]:
    """Where dots on the skin are to be in a picture, and where they are found: [P, 2] pixels each."""
    scene = replace(through(k1), size=256, texture="dots", wrinkles=False)
    points, *textures = dotted()
    with_dots, without = (render_scenes([scene], textures={"dots": texture}) for texture in textures)
    shown = with_dots.image[0].astype(float).sum(-1) - without.image[0].astype(float).sum(-1)
    wanted, found = with_dots.camera.project(points)[0].double().numpy(), []
    for x, y in wanted.tolist():
        left, top = int(x) - 4, int(y) - 4
        light = shown[top : top + 9, left : left + 9].clip(0)
        down, across = np.mgrid[top : top + 9, left : left + 9] + 0.5
        found.append(((light * across).sum() / light.sum(), (light * down).sum() / light.sum()))
    return wanted, np.array(found)


@pytest.mark.parametrize("k1", [-STRONG, STRONG])
def test_dots_on_the_skin_are_where_cameras_project_them(k1: float) -> None:
    """Of those that are found without distortion: at a seam of the texture a dot may be seen twice."""
    (straight, seen), (wanted, found) = found_dots(0.0), found_dots(k1)
    whole = np.linalg.norm(seen - straight, axis=1) < 0.25
    off = np.linalg.norm(found - wanted, axis=1)[whole]
    assert len(off) > 12 and np.median(off) < 0.15 and off.max() < 0.5, off
    assert np.linalg.norm(wanted - straight, axis=1)[whole].max() > 3  # pixels that the lens moves them


def test_labels_are_bent_with_the_picture() -> None:
    """The heads of the three lenses differ, and in each all maps have it at the same place."""
    setup = render_setup(Head.default())
    for k1 in (-STRONG, STRONG):
        inputs = inputs_of([through(k1)], Head.default())
        seen = render_people([inputs], setup, Clock(), dense=("depth", "parts"))
        assert seen.depth is not None and seen.parts is not None
        there = seen.depth.isfinite()
        assert torch.equal(there, seen.parts != 255) and not (seen.heatmap[~there] > 0).any()
        covered = seen.alpha >= 128
        assert (covered != there).double().mean() < 0.01  # at the outline
        plain = torch.from_numpy(taken(0.0).alpha) >= 128
        assert (covered != plain).double().mean() > 0.01
    flat = np.concatenate([taken(k1).landmarks_2d - SIZE / 2 for k1 in (-STRONG, 0.0, STRONG)])
    radius = np.linalg.norm(flat, axis=-1)
    away = radius[1] > 1  # pixels from the middle, which stays
    assert (radius[0] < radius[1])[away].all() and (radius[1] < radius[2])[away].all() and away.sum() > 60


def test_a_picture_has_the_same_bytes_alone_and_beside_others() -> None:
    scenes = [
        replace(scene, view_id=view, expression_id=scene.expression_id)
        for view, scene in enumerate(
            [through(0.0), through(-0.2), replace(through(0.0), worn=("bed",)), replace(through(0.2), worn=("bed",))]
        )
    ]
    together = render_scenes(scenes)
    for number, scene in enumerate(scenes):
        alone = render_scenes([scene])
        for name in ("image", "alpha", "heatmap", "landmarks_2d", "bbox"):
            assert np.array_equal(getattr(alone, name)[0], getattr(together, name)[number]), (number, name)
    assert [row["camera_distortion"] for row in together.camera_rows()] == pytest.approx([0, -0.2, 0, 0.2])


def test_opencv_straightens_head_and_bed() -> None:
    """What is bent twice, there and back, is soft, so it is alike in the mean and not pixel by pixel."""
    lying = replace(PAIN, worn=("bed",), background="plain")
    plain, barrel = (render_scenes([through(k1, lying)]) for k1 in (0.0, -0.2))
    intrinsics = np.array(barrel.camera_rows()[0]["camera_K"])
    intrinsics[:2, 2] -= 0.5  # there pixels have their middles at whole numbers
    straight = cv2.undistort(barrel.image[0], intrinsics, np.array([-0.2, 0, 0, 0]))
    off = np.abs(straight.astype(float) - plain.image[0]).mean(-1)[4:-4, 4:-4]
    head = plain.alpha[0, 4:-4, 4:-4] > 10
    assert off[head].mean() < 2.5 and off[~head].mean() < 1.5  # levels; seen 1.8 and 1.0


def test_what_stands_behind_is_bent_too() -> None:
    stripe = torch.full((128, 128, 3), 0.02)
    stripe[:, 114:118] = 0.8
    columns = np.arange(79, SIZE)
    places = []
    for k1 in (0.0, -STRONG, STRONG):
        image = render_scenes([through(k1)], plates={PAIN.view_id: stripe}).image[0, ..., 0].astype(float)
        light = (image[[2, 40], 79:] - 60).clip(0)
        places.append((light * columns).sum(1) / light.sum(1))
    (straight, barrel, pincushion) = (low - top for top, low in places)
    assert abs(straight) < 0.3 and barrel > 1 and pincushion < -1


def test_of_a_place_is_painted_what_the_pinhole_sees() -> None:
    """So that the lens bends it as it bends the head, and a place is no larger for it."""
    place, gains = embedded_environment(ENVIRONMENTS[0]), np.ones(3)
    lens = replace(NEAR, distortion=-STRONG)
    pinhole = replace(NEAR, focal_length_mm=12 / pinhole_reach(-STRONG, HALF))
    seen, wanted, plain = (paint_backdrop(place, 20.0, camera, 0.02, gains) for camera in (lens, pinhole, NEAR))
    np.testing.assert_allclose(seen, wanted, atol=1e-4)
    assert np.abs(seen - plain).max() > 0.01


def test_who_draws_pinholes_alone_refuses_a_lens_that_distorts() -> None:
    head, scene = Head.default(), replace(through(0.1), size=64)
    words = "^cameras must have no distortion: only render_scenes draws what a lens bends$"
    shots = shots_of([scene])
    people = People(head, 1, frame=64, side=64)
    people.paint(0, scene)
    slots, behind = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 128, 128, 3)
    with pytest.raises(ValueError, match=words):
        render(head(torch.zeros(1, len(head.identity_names)), shots.au), shots.camera)
    with pytest.raises(ValueError, match=words):
        render_portraits(shots, people, slots, behind)
    with pytest.raises(ValueError, match=words):
        render_face_crops(shots, people, slots, slots, behind)
    with pytest.raises(ValueError, match=words):
        Portrait(64, 64).take(scene)
    with pytest.raises(ValueError, match=words):
        next(scene_conditions(head, inputs_of([scene], head)))
