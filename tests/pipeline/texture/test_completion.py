"""Holds what completing promises: seen texels stay, unseen ones take the tone of their own region, and no more."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from pain3d import Head, paint, sample_skin, surface_maps
from pain3d.colour import linear_to_lab
from pain3d.pipeline.texture.completion import complete, regions_of
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.photographed import photographable

SIZE = 256
TONE = torch.tensor([0.55, 0.8, 1.3])  # of a light, or of a painter's taste
HAIRY = torch.tensor([3.0, 2.0, 1.5])  # what dyes hair alone
MOSTLY = 0.99  # share of a region
GREATEST = 3.0  # ΔE*ab that neck, ears and scalp may be off the face's tone: what issue 14 demands


class Case(NamedTuple):
    """A painted person, and what one view from the front saw of it."""

    maps: SurfaceMaps
    base: Tensor
    weight: Tensor
    shown: Tensor


@pytest.fixture(scope="module")
def case() -> Case:
    maps = surface_maps(Head.default(), SIZE)
    shown = torch.from_numpy(photographable(maps) & maps.covered)
    front = torch.from_numpy((maps.z > 40) & (maps.y > -85))
    return Case(maps, paint(maps, sample_skin(5, 1, 40, 1.0, (0, 1, 0))), (front & shown).float(), shown)


def worst(one: Tensor, other: Tensor, where: Tensor) -> float:
    """ΔE*ab that one in a hundred of the texels `where` exceeds: at the edge of hair a texel is of both."""
    apart = linear_to_lab(one[where].numpy()) - linear_to_lab(other[where].numpy())
    return float(np.percentile(np.linalg.norm(apart, axis=-1), 99))


def test_what_is_whole_stays_to_the_last_bit(case: Case) -> None:
    texture = torch.rand(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(3)) * 0.9 + 0.01
    done = complete(texture, case.shown.float(), case.base, case.maps)
    assert torch.equal(done[case.shown], texture[case.shown])
    beside = ~torch.from_numpy(photographable(case.maps))
    assert torch.equal(done[beside], case.base[..., :3][beside]), "eyes and teeth are the base's"


def test_nothing_seen_leaves_the_base(case: Case) -> None:
    done = complete(torch.full((SIZE, SIZE, 3), torch.nan), torch.zeros(SIZE, SIZE), case.base, case.maps)
    assert torch.equal(done, case.base[..., :3])


def test_neck_ears_and_scalp_hold_the_tone_of_the_face(case: Case) -> None:
    """The base in another light, seen from the front alone: what was not seen must come out in that light too."""
    true = case.base[..., :3] * TONE
    unseen = case.shown & (case.weight == 0)
    done = complete(torch.where(case.weight[..., None] > 0, true, 7.0), case.weight, case.base, case.maps)
    skin, hair, cloth = torch.from_numpy(regions_of(case.base, case.maps)) > MOSTLY
    assert worst(done, true, unseen & skin) < GREATEST
    assert worst(done, true, unseen & hair) < GREATEST
    shirt = unseen & cloth
    assert torch.allclose(done[shirt], case.base[..., :3][shirt], atol=1e-3), "no view saw the shirt"
    inside = case.weight > 0
    assert worst(done, true, inside & skin) < GREATEST, "nor is there a border"


def test_hair_does_not_colour_the_skin(case: Case) -> None:
    skin, hair, _ = torch.from_numpy(regions_of(case.base, case.maps)) > MOSTLY
    true = torch.where(hair[..., None], case.base[..., :3] * HAIRY, case.base[..., :3])
    done = complete(true, case.weight, case.base, case.maps)
    assert worst(done, true, case.shown & skin) < GREATEST


def test_what_a_fringe_hides_does_not_darken_the_forehead(case: Case) -> None:
    """Hair was painted where the base has skin: it stays there, and the skin elsewhere takes no tone from it."""
    true = case.base[..., :3].clone()
    fringe = (case.weight > 0) & torch.from_numpy(case.maps.y > 45)
    true[fringe] = 0.02
    skin = torch.from_numpy(regions_of(case.base, case.maps)[0]) > MOSTLY
    done = complete(true, case.weight, case.base, case.maps)
    beyond = case.shown & (case.weight == 0) & skin & torch.from_numpy(case.maps.y < 30)
    assert worst(done, case.base[..., :3], beyond) < GREATEST


def test_one_side_takes_the_detail_of_the_other(case: Case) -> None:
    mole = torch.from_numpy(np.hypot(case.maps.x - 45, case.maps.y + 20) < 4) & (case.weight > 0)
    left = case.weight * torch.from_numpy(case.maps.x > -5)
    true = case.base[..., :3].clone()
    true[mole] *= 0.4
    done = complete(true, left, case.base, case.maps)
    columns, mirrored = case.maps.mirror
    other = np.nonzero(mole.numpy() & mirrored)
    image = done[other[0], columns[other]]
    assert len(image) > 10
    assert (image < 0.5 * case.base[other[0], columns[other], :3]).float().mean() > 0.9


def test_the_mirror_is_one(case: Case) -> None:
    columns, mirrored = case.maps.mirror
    charted = case.shown.numpy()
    assert mirrored[charted].mean() > 0.99
    rows, there = np.nonzero(mirrored)
    assert np.array_equal(columns[rows, columns[rows, there]], there)


def test_wrong_shapes_are_named(case: Case) -> None:
    with pytest.raises(ValueError, match=r"base must be \[256, 256, 16\], got \[256, 256, 3\]"):
        complete(case.base[..., :3], case.weight, case.base[..., :3], case.maps)
