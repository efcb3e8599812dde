"""Holds what the small model promises: the same bytes every time, seen texels kept, everything in range."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from pain3d import Head, Identity, paint, sample_skin, surface_maps
from pain3d.colour import typology_angle
from pain3d.pipeline.texture.completion import regions_of
from pain3d.pipeline.texture.skin_model import SkinModel
from pain3d.pipeline.texture.skin_model.grid import SIDE, fold, linear_of, push_pull, reduced, tone_of, unfold
from pain3d.pipeline.texture.skin_model.weights import SHIPPED
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.photographed import ALBEDO, photographable

LARGEST = 16 * 2**20  # bytes of weights: what issue 14 allows
SEED = 77
WHO = Identity(age=40.0, sex=1.0, ancestry=(0.0, 1.0, 0.0))


class Person(NamedTuple):
    """A painted person, and where one view from the front saw it."""

    maps: SurfaceMaps
    base: Tensor
    weight: Tensor


@pytest.fixture(scope="module")
def person() -> Person:
    maps = surface_maps(Head.default(), 256)
    front = torch.from_numpy((maps.z > 40) & (maps.y > -85) & photographable(maps) & maps.covered)
    return Person(maps, paint(maps, sample_skin(5, 1, WHO.age, WHO.sex, WHO.ancestry)), front.float())


@pytest.fixture(scope="module")
def model() -> SkinModel:
    return SkinModel.default()


def test_the_weights_are_small_and_named(model: SkinModel) -> None:
    assert SHIPPED.stat().st_size <= LARGEST
    assert len(model.origin.model_hash) == 64
    assert SkinModel(SHIPPED).origin == model.origin


def test_a_new_skin_is_in_range_has_its_tone_and_is_the_same_twice(model: SkinModel, person: Person) -> None:
    first, other, again = (model.sample(person.base, person.maps, WHO, s, steps=2) for s in (SEED, SEED + 1, SEED))
    assert torch.equal(first, again), "whoever was asked for in between"
    assert not torch.equal(first, other)
    low, high = first.aminmax()
    assert ALBEDO[0] <= low.item() <= high.item() <= ALBEDO[1]
    beside = ~torch.from_numpy(photographable(person.maps))
    assert torch.equal(first[beside], person.base[..., :3][beside]), "eyes and teeth are the base's"
    made = torch.cat([first, person.base[..., 3:]], 2)
    assert abs(tone_of(made, person.maps) - tone_of(person.base, person.maps)) < 10.0  # degrees: less than a class


def test_what_was_seen_is_kept_and_the_rest_follows_it(model: SkinModel, person: Person) -> None:
    """Somebody darker than the base is seen from the front."""
    true = person.base[..., :3] * torch.tensor([0.5, 0.42, 0.4])
    done = model.sample(person.base, person.maps, WHO, SEED, true, person.weight, steps=2)
    kept = (done == true).all(2) & (person.weight > 0)
    assert kept.sum() > 0.9 * person.weight.sum()
    skin = torch.from_numpy(regions_of(person.base, person.maps)[0] > 0.9)
    behind = skin & torch.from_numpy(photographable(person.maps) & person.maps.covered) & (person.weight == 0)
    found, expected = (float(typology_angle(part[behind].mean(0).numpy())) for part in (done, true))
    base = float(typology_angle(person.base[..., :3][behind].mean(0).numpy()))
    assert abs(found - expected) < 0.25 * abs(base - expected)


def test_half_a_question_is_refused(model: SkinModel, person: Person) -> None:
    with pytest.raises(ValueError, match="partial and weight"):
        model.sample(person.base, person.maps, WHO, SEED, partial=person.base[..., :3])


def test_cells_and_texels_are_each_others_inverse() -> None:
    planes = torch.rand(2, 3, SIDE, SIDE)
    assert torch.equal(unfold(fold(planes)), planes)
    coarse = torch.rand(SIDE, SIDE, 3) * 0.9
    assert np.allclose(linear_of(reduced(coarse)), coarse, atol=1e-5)


def test_push_pull_keeps_what_is_known_and_stays_between() -> None:
    planes, known = torch.rand(1, 3, SIDE, SIDE), (torch.rand(1, 1, SIDE, SIDE) < 0.02).float()
    filled = push_pull(torch.where(known > 0, planes, torch.nan), known)
    assert torch.allclose(torch.where(known > 0, filled, planes), planes, atol=1e-6)
    assert planes.min() <= filled.min()
    assert filled.max() <= planes.max()
    assert not push_pull(planes, 0 * known).any(), "of nothing comes nothing"


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        SkinModel(tmp_path / "none.safetensors")
