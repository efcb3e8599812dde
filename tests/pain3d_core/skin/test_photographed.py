"""An albedo laid over a painted texture: where a photograph can show the head, nowhere else; on every path alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pain3d.colour import srgb_to_linear
from pain3d.head.model import Head
from pain3d.rendering.frames import TEXTURE_SIZE, render_scenes
from pain3d.rendering.people import paint_persons
from pain3d.scene import DemographicCell, Scene, sample_scenes
from pain3d.skin import Skin, SurfaceMaps, paint, sample_skin, surface_maps
from pain3d.skin.painting import paint_mipmaps, paint_people, paint_together
from pain3d.skin.photographed import ALBEDO, photographable

SIZE = 64
SKINS = [sample_skin(5, k, 30.0 + 30 * k, float(k), (1.0, 0.0, 0.0)) for k in range(2)]


@pytest.fixture(scope="module")
def maps() -> SurfaceMaps:
    return surface_maps(Head.default(), SIZE)


@pytest.fixture(scope="module")
def albedo() -> Tensor:
    """[64, 64, 3] uint8 sRGB with every level in it."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8))


def test_an_albedo_takes_the_place_of_skin_alone(maps: SurfaceMaps, albedo: Tensor) -> None:
    painted, laid = paint(maps, SKINS[0]), paint(maps, SKINS[0], albedo)
    assert torch.equal(laid[..., 3:], painted[..., 3:])
    inside = torch.from_numpy(photographable(maps))
    seen = torch.from_numpy(srgb_to_linear(albedo.numpy() / 255).astype(np.float32)).clamp(*ALBEDO)
    assert torch.equal(laid[inside][:, :3], seen[inside])
    for number, name in enumerate(maps.part_names):
        part = torch.from_numpy(maps.part == number)
        assert torch.equal(laid[part][:, :3], painted[part][:, :3]) == (name not in ("skin", "neck", "lashes")), name


def test_lashes_take_the_tone_of_the_lids(maps: SurfaceMaps) -> None:
    lashes = torch.from_numpy(maps.part == maps.part_names.index("lashes"))
    for level in (0.02, 0.6):
        there = paint(maps, SKINS[0], torch.full((SIZE, SIZE, 3), level))[lashes][:, :3]
        assert (there - level).abs().min() < 1e-3 * level  # their ends; worst seen 3e-4: of roots a trace is left
        assert there.max() <= level and there.min() < 0.01  # their roots are as dark as hair: seen 0.0096


def test_levels_and_linear_light_are_one(maps: SurfaceMaps, albedo: Tensor) -> None:
    linear = torch.from_numpy(srgb_to_linear(albedo.numpy() / 255).astype(np.float32))
    assert torch.equal(paint(maps, SKINS[1], albedo), paint(maps, SKINS[1], linear))


def test_on_a_device_as_on_the_cpu_and_not_on_others(maps: SurfaceMaps, albedo: Tensor) -> None:
    alone = paint_mipmaps(maps, SKINS[1], albedo).texels[0].clone()
    together = paint_together(maps, SKINS, torch.device("cpu"), None, [None, albedo]).texels
    inside = torch.from_numpy(photographable(maps).reshape(-1))
    assert torch.equal(together[1, : SIZE * SIZE][inside][:, :3], alone[: SIZE * SIZE][inside][:, :3])
    plain = paint_mipmaps(maps, SKINS[0]).texels[0]
    assert (together[0] - plain).abs().max() < 2e-4  # as of painting together, see test_crowd
    assert torch.equal(paint_people(maps, SKINS, "cpu", None, [None, albedo]).texels[1], alone)
    there = torch.device("meta")  # which computes nothing and refuses to mix devices, as a GPU does
    assert paint_together(maps, SKINS, there, None, [None, albedo]).texels.device == there


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.zeros(32, 32, 3), r"\[32, 32, 3\] float32"),
        (torch.zeros(SIZE, SIZE, 4), r"\[64, 64, 4\] float32"),
        (torch.zeros(SIZE, SIZE, 3, dtype=torch.float64), r"\[64, 64, 3\] float64"),
    ],
)
def test_another_shape_is_refused(maps: SurfaceMaps, wrong: Tensor, said: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^albedo must be \[64 64 3\] float32 or uint8, or \[64 64 4\] uint8, got {said}$"
    ):
        paint(maps, Skin(), wrong)


def test_a_scene_names_its_texture() -> None:
    cell = DemographicCell("18-34", "male", "african")
    (scene,) = sample_scenes(seed=1, identity_id=0, cell=cell, expressions=0, views=1, size=48)
    assert '"texture"' not in scene.to_json()
    named = replace(scene, texture="a" * 64)
    assert Scene.from_json(named.to_json()) == named
    green = torch.tensor([10, 200, 10], dtype=torch.uint8).expand(TEXTURE_SIZE, TEXTURE_SIZE, 3).contiguous()
    plain, seen = render_scenes([scene]), render_scenes([named], textures={named.texture: green})
    face = plain.alpha[0] == 255
    assert (seen.image[0][face][:, 1] > 1.5 * seen.image[0][face][:, 0].astype(int)).mean() > 0.8  # but eyes and gloss
    # The lens takes from two pixels around.
    behind = torch.nn.functional.max_pool2d(torch.tensor(plain.alpha).float(), 5, 1, 2)[0].numpy() == 0
    assert behind.mean() > 0.2 and np.array_equal(seen.image[0][behind], plain.image[0][behind])
    assert np.array_equal(seen.landmarks_2d, plain.landmarks_2d)
    with pytest.raises(ValueError, match="scenes must share one texture"):
        render_scenes([named, scene], textures={named.texture: green})
    for textures in (None, {"b": green}):
        with pytest.raises(ValueError, match=r"^textures must hold a{64}, which the scene names$"):
            render_scenes([named], textures=textures)
    with pytest.raises(ValueError, match="scenes must name no texture"):
        paint_persons(Head.default(), [named], frame=48)
