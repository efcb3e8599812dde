"""Wrinkles: drawn by key where their patterns lie, brought by the right action unit and side, never by two at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from pain3d.facs.action_units import AU_NUMBERS
from pain3d.head.model import Head
from pain3d.skin import Skin, SurfaceMaps, surface, surface_maps
from pain3d.skin.crease_weights import REACH, creases, region_mask
from pain3d.skin.wrinkle_patterns import KINDS, REGIONS
from pain3d.skin.wrinkles import Wrinkles, draw_wrinkles

SIZE = 512


@pytest.fixture(scope="module")
def maps() -> SurfaceMaps:
    return surface_maps(Head.default(), SIZE)


def near(maps: SurfaceMaps, wrinkles: Wrinkles, plane: int, x: float, y: float, reach: int = 4) -> np.ndarray:
    column, row = np.rint(maps.texels_at(np.array([[x, y]], np.float32))[0]).astype(int)
    row, column = row - wrinkles.box[0].start, column - wrinkles.box[1].start
    return wrinkles.planes[plane][row - reach : row + reach + 1, column - reach : column + reach + 1]


def test_same_person_same_wrinkles_others_other_ones(maps: SurfaceMaps) -> None:
    first, again, other = (draw_wrinkles(maps, Skin(identity=number)) for number in (1, 1, 2))
    for one, same, different in zip(first, again, other, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, same.planes, strict=True))
        assert np.abs(one.height - different.height).max() > 0.3  # mm


def test_foreheads_are_lined_at_heights_of_their_own(maps: SurfaceMaps) -> None:
    """By the middle of the shade of the lines across the midline, of which there are three or fewer."""
    forehead = np.stack([np.zeros(60), np.linspace(52, 86, 60)], 1).astype(np.float32)
    middles = []
    for identity in range(12):
        wrinkles = draw_wrinkles(maps, Skin(identity=identity))[1]
        rows, columns = wrinkles.box
        column, row = (np.rint(maps.texels_at(forehead)).astype(int) - [columns.start, rows.start]).T
        shade = wrinkles.planes[2][row, column]
        middles.append(float((shade * forehead[:, 1]).sum() / shade.sum()))
    assert np.std(middles) > 1.2  # jitter and wander alone, of 0.8 mm each at most, would give 0.5


def test_left_and_right_differ(maps: SurfaceMaps) -> None:
    layer = draw_wrinkles(maps, Skin())[0]
    columns = maps.size - np.arange(maps.size)[layer.box[1]] - 1  # the chart is symmetric about its middle
    mirrored = layer.height[:, np.clip(columns - layer.box[1].start, 0, layer.height.shape[1] - 1)]
    assert np.abs(mirrored - layer.height).max() > 0.3


def test_grooves_are_darker_and_lower_than_beside_them(maps: SurfaceMaps) -> None:
    layers = draw_wrinkles(maps, Skin(identity=5))
    for name, x, y in (("glabella", 5, 42), ("infraorbital", 30, 5), ("bunny", 7, 7), ("squared", 21.5, -19)):
        region = REGIONS[name]
        for side in (-1, 1):
            brought = near(maps, layers[region.layer], 2, side * x, y).max() * max(region.brought.values())
            assert brought > 0.06, (name, side)  # least seen 0.071: the fold of AU10
    assert layers[0].planes[2].min() >= 0
    assert near(maps, layers[0], 2, 0, -5, 2).max() < 0.01


def test_every_region_is_brought_where_it_is_drawn() -> None:
    head = Head.default()
    brought = creases(head).brought
    points = head.template * 1000
    for name, region in REGIONS.items():
        number, weight = max(region.brought.items(), key=lambda item: item[1])
        mask = region_mask(region, points[:, 0].abs().double().numpy(), points[:, 1].double().numpy())
        skin = head.topology.vertex_parts.numpy() == head.topology.part_names.index("skin")
        core = (mask > 0.99) & skin & (points[:, 2].numpy() > 35)
        assert core.sum() >= 6, name
        both = brought[AU_NUMBERS.index(number), :, :, region.layer].sum(0).numpy()[core]
        assert both.min() > 0.95 * weight, name


def test_sides_are_apart_and_share_the_midline() -> None:
    head = Head.default()
    brought = creases(head).brought
    x = head.template[:, 0] * 1000
    left, right = brought[:, 0], brought[:, 1]
    assert float(left[:, x < -6].abs().max()) == 0
    assert float(right[:, x > 6].abs().max()) == 0
    centre = x.abs() < 0.5
    # 1e-4: vertices of the midline lie within a few micrometres of it.
    assert torch.allclose(left[:, centre], right[:, centre], atol=1e-4)
    assert float(left[:, centre].max()) > 0.4


def test_units_of_one_layer_do_not_bring_each_others_wrinkles() -> None:
    """Where a region that belongs to one unit of the PSPI is at full strength, no other unit's of its layer is."""
    points = np.array([(x, y) for x in range(0, 66, 2) for y in range(-90, 96, 2)], float)
    masks = {name: region_mask(region, *points.T) for name, region in REGIONS.items()}
    for (first, one), (second, other) in combinations(REGIONS.items(), 2):
        if one.layer != other.layer or set(one.brought) == set(other.brought) or one.strokes is other.strokes:
            continue
        pain_first, pain_second = (set(r.brought) & {4, 6, 7, 9, 10, 43} for r in (one, other))
        if not pain_first or not pain_second or pain_first & pain_second:
            continue
        both = np.minimum(masks[first], masks[second]).max()
        assert both < 0.5, (first, second, both)


def test_lines_and_depth_grow_with_age() -> None:
    head = Head.default()
    young, old = (surface(head, Skin(age=a, age_marks=m)) for a, m in ((20.0, 0.02), (90.0, 0.95)))
    assert float(old.depth) > 1.15 * float(young.depth)
    assert float(young.resting.max()) < 0.2
    assert float(old.resting.max()) > 0.45
    assert young.creases is old.creases  # one per head
    assert young.creases.shape == (len(AU_NUMBERS), 2, len(head.template), 2)
    assert young.growth.shape == (1, len(head.template))
    assert bool((young.resting >= 0).all())


def test_weights_stay_positive_when_lids_shut() -> None:
    head = Head.default()
    for age, marks in ((20.0, 0.0), (90.0, 1.0)):
        made = surface(head, replace(Skin(), age=age, age_marks=marks))
        shut = made.resting[0] + made.depth * made.creases[AU_NUMBERS.index(43)].sum(0)
        assert float(shut.min()) >= 0


def test_strokes_lie_within_the_reach_of_their_masks() -> None:
    assert max(kind.width for name, kind in KINDS.items() if name in ("fine", "furrow", "roll")) * 2 < REACH
    for name, region in REGIONS.items():
        for stroke in region.strokes:
            places = np.array(stroke.points, float)
            if region.across is None:
                assert region_mask(region, *places.T).min() > 0.99, name
