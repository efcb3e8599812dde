"""Many people painted together by torch: the same texels as one after the other, in whatever company."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pain3d.head.model import Head
from pain3d.kernels.texturing import build_mipmaps
from pain3d.skin import Skin, SurfaceMaps, painting, sample_skin, surface_maps
from pain3d.skin.appearance import HAIR_STYLES
from pain3d.skin.painting import paint_mipmaps, paint_people, paint_together
from pain3d.skin.sketch import draw_sketch

SIZE = 64
CPU = torch.device("cpu")
# Worst seen 6.4e-5 (specular, in hair; 24 people at 512²): strands are looked up at places of up to 1,024 texels
# in single precision, 6e-5 of a texel off, where their slope is 1 a texel. A level of 255 is 4e-3.
TOLERANCE = 2e-4


@pytest.fixture(scope="module")
def maps() -> SurfaceMaps:
    return surface_maps(Head.default(), SIZE)


def people() -> list[Skin]:
    """Every style of hair, straight and coiled, with and without a beard, of all ancestries and ages."""
    drawn = [
        sample_skin(5, k, 20.0 + 11 * k % 75, float(k % 2), ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.2, 0.3, 0.5))[k % 4])
        for k in range(4)
    ]
    styles = [
        replace(drawn[k % 4], hair_style=style, hair_curl=curl, identity=20 + k)
        for k, (style, curl) in enumerate((s, c) for s in HAIR_STYLES for c in (0.1, 0.9))
    ]
    bearded = [replace(drawn[1], beard=0.8, hair_curl=curl, greyness=0.5, recession=1.0) for curl in (0.1, 0.9)]
    return [*drawn, *styles, *bearded]


@pytest.fixture(scope="module")
def together(maps: SurfaceMaps) -> Tensor:
    return paint_together(maps, people(), CPU).texels


@pytest.fixture(scope="module")
def alone(maps: SurfaceMaps) -> Tensor:
    return paint_people(maps, people(), "cpu").texels


@pytest.mark.parametrize("part", ["skin", "neck", "left_eye", "upper_teeth", "tongue", "mouth", "lashes"])
def test_each_part_is_as_it_is_painted_alone(maps: SurfaceMaps, together: Tensor, alone: Tensor, part: str) -> None:
    inside = torch.from_numpy((maps.part == maps.part_names.index(part)).reshape(-1))
    off = (together - alone)[:, : SIZE * SIZE][:, inside].abs().amax(1)
    assert off.shape == (len(people()), 16)
    assert (off <= TOLERANCE).all(), (off > TOLERANCE).nonzero().tolist()


def test_company_changes_no_bit(maps: SurfaceMaps, together: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    skins = people()
    monkeypatch.setattr(painting, "TOGETHER", 5)
    assert torch.equal(paint_together(maps, skins[::-1], CPU).texels.flip(0), together)
    assert torch.equal(paint_together(maps, skins[5:6], CPU).texels[0], together[5])


def test_levels_are_those_of_the_room(together: Tensor) -> None:
    level = together[:2, : SIZE * SIZE].reshape(2, SIZE, SIZE, 16)
    assert torch.equal(build_mipmaps(level, backend="reference").texels, together[:2])


def test_on_a_cpu_everybody_is_painted_one_by_one(maps: SurfaceMaps) -> None:
    skins = people()[:2]
    made = paint_people(maps, skins, "cpu")
    for texels, skin in zip(made.texels, skins, strict=True):
        assert torch.equal(texels, paint_mipmaps(maps, skin).texels[0])
    assert paint_people(maps, [], "cpu").texels.shape == (0, made.texels.shape[1], 16)


def test_a_sketch_from_a_board_is_that_from_the_maps(maps: SurfaceMaps, together: Tensor) -> None:
    board = pickle.dumps(maps.board())
    assert len(board) < 3e6  # the maps themselves have some 50 planes
    skins = [people()[k] for k in (0, 1, -2)]
    sketches = [pickle.loads(pickle.dumps(draw_sketch(pickle.loads(board), skin))) for skin in skins]
    made = paint_together(maps, skins, CPU, sketches).texels
    assert torch.equal(made, together[[0, 1, -2]])


def test_no_plane_of_the_host_meets_one_of_the_device(maps: SurfaceMaps) -> None:
    """On the device `meta`, which computes nothing and refuses to mix, as a GPU does."""
    there = torch.device("meta")
    made = paint_together(maps, people(), there)
    assert made.texels.device == there and len(made.texels) == len(people())
    left = replace(maps.on(there), azimuth=torch.from_numpy(maps.azimuth))  # as if it had been forgotten
    copies = {there: left}
    with pytest.raises(RuntimeError, match="device"):
        paint_together(replace(maps, copies=copies), people()[:1], there)
