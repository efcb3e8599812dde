"""From a person and a painter to a texture: the whole way, by a painter who photographs another skin."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pain3d
from pain3d.head.identity import Identity
from pain3d.light import Light
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.texture.assemble import PaintedTexture, SpoiltPicturesError, make_texture
from pain3d.pipeline.texture.bank import TextureBank
from pain3d.pipeline.texture.conditions import Conditions
from pain3d.pipeline.texture.delighting import Delit, linear_light
from pain3d.pipeline.texture.filling import Made, fill
from pain3d.pipeline.texture.light_fit import FoundLight
from pain3d.pipeline.texture.painter import Blend, Origin, Prompt
from pain3d.pipeline.texture.projection import project
from pain3d.pipeline.texture.quality import MOST, report
from pain3d.pipeline.texture.views import see, standard_cameras
from pain3d.pipeline.workers import PAINTING, PAINTING_THREADS
from pain3d.scene import CELLS, Scene
from pain3d.skin import Skin

SIZE, PIXELS = 256, 192
PROMPT = Prompt("a person", "")
Spoil = Callable[[Tensor], Tensor]


class Photographer:
    """Renders a skin in the place of the person's own, under a lamp; then something may happen to the pictures."""

    origin = Origin("photographer", "0" * 64, "Apache-2.0", "none")

    def __init__(self, who: Identity, shape: Skin, skin: Skin, spoil: Spoil = lambda pictures: pictures) -> None:
        self.who, self.shape, self.skin, self.spoil = who, shape, skin, spoil

    def paint(self, conditions: Conditions, prompt: Prompt, seed: int, blend: Blend | None = None) -> Tensor:
        """Pictures of another skin."""
        head = pain3d.Head.default()
        mesh = head(self.who, surface=pain3d.surface(head, self.shape))
        texture = pain3d.paint(pain3d.surface_maps(head, SIZE), self.skin)[None]
        light = Light.preset("window")
        shot = pain3d.render(mesh, conditions.cameras, light=light, texture=texture, image_dtype="float32").image
        assert shot is not None
        return self.spoil(shot)


@pytest.fixture(scope="module")
def person() -> tuple[Identity, Skin, Skin]:
    """Who is asked for, and another skin in the same hair."""
    who = pain3d.Head.default().sample_identity(seed=5, identity_id=0)
    asked, other = (pain3d.sample_skin(seed, 0, who.age, who.sex, who.ancestry) for seed in (5, 77))
    shape = {name: getattr(asked, name) for name in ("hair_style", "hair_curl", "hair_density", "recession", "beard")}
    return who, asked, replace(other, **shape)


def made_by(person: tuple[Identity, Skin, Skin], spoil: Spoil = lambda pictures: pictures) -> PaintedTexture:
    who, asked, other = person
    painter = Photographer(who, asked, other, spoil)
    return make_texture(pain3d.Head.default(), (who, asked), painter, PROMPT, 0, views=3, view_size=PIXELS, size=SIZE)


@pytest.fixture(scope="module")
def made(person: tuple[Identity, Skin, Skin]) -> PaintedTexture:
    return made_by(person)


def test_a_texture_is_the_skin_that_was_photographed(made: PaintedTexture, person: tuple[Identity, Skin, Skin]) -> None:
    maps = pain3d.surface_maps(pain3d.Head.default(), SIZE)
    asked, true = (pain3d.paint(maps, skin)[..., :3] for skin in person[1:])
    face = torch.from_numpy((maps.part == maps.part_names.index("skin")) & maps.covered & (maps.z > 30))
    assert made.albedo.dtype == torch.float32 and made.albedo.shape == (SIZE, SIZE, 3)
    assert float(made.albedo.min()) >= 0.003 and float(made.albedo.max()) <= 0.95
    off, before = ((texture - true)[face].mean(0).abs().max() for texture in (made.albedo, asked))
    assert off < 0.25 * before, (off, before)
    assert made.report.faults() == ()
    assert abs(made.report.tone - made.report.tone_lit) > 1
    assert set(made.report.fields()) >= {"coverage", "seam", "baked_light", "tone", "tone_lit", "left_right"}
    eye = torch.from_numpy((maps.part == maps.part_names.index("left_eye")) & maps.covered)
    assert torch.equal(made.albedo[eye], asked[eye])


def test_a_bank_has_the_same_bytes_however_many_threads_are_free(
    person: tuple[Identity, Skin, Skin], tmp_path: Path
) -> None:
    """Of the whole way: 18 of 196,608 bytes were others on three threads than on one, at 256² from five views."""
    albedos, before = [], torch.get_num_threads()

    class Studio:
        origin = Photographer.origin
        settings: Mapping[str, Any] = MappingProxyType({})

        def prompt(self, scene: Scene) -> Prompt:
            return PROMPT

        def make(self, scene: Scene, prompt: Prompt, seed: int) -> Made:
            albedos.append(made_by(person).albedo)
            return Made(albedos[-1], {})

    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            fill(TextureBank(tmp_path / str(threads)), [PlannedIdentity(0, CELLS[0], "")], 3, Studio(), quiet=True)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*albedos)
    assert [*TextureBank(tmp_path / "1")] == [*TextureBank(tmp_path / "3")]


def test_of_two_who_paint_the_last_gives_the_threads_back() -> None:
    before, one, other = torch.get_num_threads(), ExitStack(), ExitStack()
    try:
        torch.set_num_threads(3)
        one.enter_context(PAINTING)
        other.enter_context(PAINTING)
        one.close()
        assert torch.get_num_threads() == PAINTING_THREADS
        other.close()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_what_is_wrong_is_said(made: PaintedTexture, person: tuple[Identity, Skin, Skin]) -> None:
    """The same pictures without de-lighting, and a texture that was spoilt."""
    head, (who, asked, _) = pain3d.Head.default(), person
    maps = pain3d.surface_maps(head, SIZE)
    base, seen = pain3d.paint(maps, asked), see(head, who, pain3d.surface(head, asked), standard_cameras(3, PIXELS))
    lit, weights = project(linear_light(made.pictures), seen, SIZE)
    found = FoundLight(made.light, torch.ones(3), torch.zeros(8), 1.0, 0.0)
    mean = (lit * weights[..., None]).sum(0) / weights.sum(0).clamp(min=1e-6)[..., None]
    still_lit = report(mean, Delit(lit, weights, found), lit, base, seen, maps)
    assert still_lit.baked_light > 2 * made.report.baked_light
    assert any("light left" in fault for fault in still_lit.faults())
    spoilt = torch.where(torch.rand(SIZE, SIZE, 1, generator=torch.Generator().manual_seed(0)) < 0.1, torch.nan, mean)
    assert any("not all of it is finite" in fault for fault in
               report(spoilt, Delit(lit, weights, found), lit, base, seen, maps).faults())  # fmt: skip
    bounds = {name: np.nan for name in MOST}
    assert len(replace(made.report, **bounds, coverage=np.nan, tone=np.nan).faults()) == len(MOST) + 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: p.index_fill(0, torch.tensor([1]), torch.nan), "not finite"),
        (lambda p: p.index_fill(0, torch.tensor([2]), 0.0), "black"),
    ],
)
def test_spoilt_pictures_are_named(person: tuple[Identity, Skin, Skin], spoil: Spoil, said: str) -> None:
    with pytest.raises(SpoiltPicturesError, match=f"^{said}$"):
        made_by(person, spoil)


def test_pictures_of_another_size_are_refused(person: tuple[Identity, Skin, Skin]) -> None:
    with pytest.raises(ValueError, match=r"pictures must be \[3, 192, 192, 3\], got \[3, 96, 192, 3\]"):
        made_by(person, lambda pictures: pictures[:, ::2])
