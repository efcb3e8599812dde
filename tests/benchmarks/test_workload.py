"""Inputs are the same every time, differ within a ring, and hold the work that is said to be in them."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from benchmarks.counts import Work, count_work
from benchmarks.sampled import (
    BEYOND_CACHE,
    FEWEST_SETS,
    MOST_SETS,
    encode_workload,
    mesh_workload,
    picture_workload,
    ring_length,
    synth_workload,
)
from benchmarks.workload import Size, Workload

TEXTURE = 64


def tensors(workload: Workload, number: int) -> dict[str, Tensor]:
    each = workload.ring[number]
    return {field.name: getattr(each, field.name) for field in fields(each)}


@pytest.fixture(scope="module")
def pictures() -> Workload:
    return picture_workload("heatmaps", Size(4, 32, meshes=2, channels=3), texture_size=TEXTURE)


@pytest.fixture(scope="module")
def pairs() -> Workload:
    return mesh_workload("deform_pairs", Size(6, meshes=2))


def test_the_same_inputs_every_time(pictures: Workload, pairs: Workload):
    again = picture_workload("heatmaps", pictures.size, texture_size=TEXTURE), mesh_workload("deform_pairs", pairs.size)
    for first, second in zip((pictures, pairs), again, strict=True):
        assert len(first.ring) == len(second.ring)
        for number in (0, len(first.ring) - 1):
            for name, tensor in tensors(first, number).items():
                assert torch.equal(tensor, tensors(second, number)[name]), name


def test_another_seed_gives_other_inputs(pairs: Workload):
    other = mesh_workload("deform_pairs", pairs.size, seed=8)
    assert not torch.equal(other.ring[0].identity, pairs.ring[0].identity)


def test_sets_of_a_ring_differ(pictures: Workload, pairs: Workload):
    for name in ("vertices", "world_to_clip", "exposure", "heat"):
        assert not torch.equal(tensors(pictures, 0)[name], tensors(pictures, 1)[name]), name
    for name in ("coefficients", "joint_transforms"):
        assert not torch.equal(tensors(pairs, 0)[name], tensors(pairs, 1)[name]), name


def test_nothing_is_zero(pictures: Workload, pairs: Workload):
    assert bool((pairs.ring[0].coefficients != 0).all())
    assert bool((pictures.ring[0].heat > 0).any((0, 1)).any())
    assert bool((pictures.shared.textures[..., :5] > 0).all())


def test_textures_are_without_the_relief_that_no_peer_draws(pictures: Workload):
    textures = pictures.shared.textures
    assert textures[..., 7].any() and not textures[..., 5:7].any() and not textures[..., 8:].any()


def test_views_are_grouped_by_mesh(pictures: Workload):
    each = pictures.ring[0]
    assert each.mesh_index.tolist() == [0, 0, 1, 1]
    assert each.vertices.shape == (2, 5217, 3) and each.heat.shape == (2, 5217, 3)
    assert len(each.world_to_clip) == len(each.sh) == len(each.exposure) == 4
    few = pictures.few(2)
    assert few.size == Size(2, 32, meshes=1, channels=3) and len(few.ring[0].vertices) == 1
    assert torch.equal(few.ring[0].world_to_clip, each.world_to_clip[:2])
    assert pictures.few(4) is pictures


def test_pairs_are_a_cross_product(pairs: Workload):
    each = pairs.ring[0]
    assert each.identity_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert each.expression_index.tolist() == [0, 1, 2, 0, 1, 2]
    shapes = each.identity.shape[1]
    assert torch.equal(each.coefficients[4], torch.cat([each.identity[1], each.expression[1]]))
    assert each.coefficients.shape == (6, shapes + each.expression.shape[1])


def test_a_ring_is_larger_than_the_cache_but_bounded():
    assert ring_length(BEYOND_CACHE["cpu"] // 4, "cpu") == 4
    assert ring_length(1, "cpu") == MOST_SETS
    assert ring_length(10**10, "cuda") == FEWEST_SETS


def test_work_of_deformation_counted_by_hand():
    workload = mesh_workload("deform", Size(2))
    vertices, shapes = 5217, 201 + 69
    coordinates = 3 * vertices
    skinning = 2 * vertices * (3 * 24 - 12 + 18)  # two blends of 24, one of 12 that adds to nothing, one point
    read = coordinates * (1 + shapes) + 2 * shapes + 2 * 5 * 16 + 2 * 3 * vertices
    assert count_work(workload, 0.0) == Work(
        4 * (read + 2 * coordinates), 2 * 2 * shapes * coordinates + skinning
    )  # bytes: template and basis, coefficients, transforms, joints and weights, vertices


def test_work_of_pairs_counted_by_hand(pairs: Workload):
    coordinates = 3 * 5217
    shaping = 2 * coordinates * (2 * 201 + 3 * 69) + 6 * coordinates  # once per person, once per expression, added
    read = coordinates * 271 + 2 * 201 + 3 * 69 + 6 * 5 * 16 + 2 * coordinates
    expected = Work(4 * (read + 6 * coordinates), shaping + 6 * 5217 * 78)
    assert count_work(pairs, 0.0) == expected


def test_work_of_pictures_counted_by_hand(pictures: Workload):
    pixels, covered = 4 * 32 * 32, 2048  # a half of them
    faces = len(pictures.shared.faces)
    inputs = 4 * (2 * 5217 * (3 + 3) + 3 * faces)
    written = pixels * (3 + 3 * 4)
    operations = 4 * 5217 * 25 + 2 * faces * 23 + covered * (411 + 3 * 5)
    assert count_work(pictures, 0.5) == Work(inputs + covered * 32 + written, operations)


def test_work_of_gradients_is_twice_that_of_the_linear_picture(pictures: Workload):
    bare = replace(
        pictures, case="render", ring=tuple(replace(each, heat=each.heat[..., :0]) for each in pictures.ring)
    )
    drawn, followed = count_work(bare, 0.5), count_work(replace(bare, case="gradient"), 0.5)
    assert followed.operations == 2 * drawn.operations
    assert followed.bytes == drawn.bytes + 4 * 32 * 32 * (2 * 16 - 3) + 4 * bare.ring[0].vertices.numel()


def test_work_of_visibility_encode_and_synth():
    seen = picture_workload("visibility", Size(1, 16))
    assert seen.shared.mipmaps is None
    inputs = 4 * (5217 * 3 + 3 * len(seen.shared.faces))
    assert count_work(seen, 0.5) == Work(inputs + 16 * 16 * 8, 5217 * 25)
    drawn = encode_workload(Size(2, 16), texture_size=TEXTURE)
    assert drawn.ring[0].image.shape == (2, 16, 16, 3) and drawn.ring[0].image.dtype == torch.uint8
    assert count_work(drawn, 0.0) == Work(2 * 16 * 16 * 3, 0)
    assert count_work(synth_workload("synth", Size(33, 64)), 0.0) == Work(0, 0)
