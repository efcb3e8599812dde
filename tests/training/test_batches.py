"""Batches are a pure function of the step, whatever was kept in memory; groups and neutral pictures are as promised."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pain3d.console.refused import RefusedError
from pain3d.face.square import cut
from pain3d.training.data.batches import Batches, crop_side, ordered_batches
from pain3d.training.data.store import CropStore
from tests.training.made_samples import MadePixels, made_samples, same_batch

SIDE = 16


def test_a_batch_depends_on_the_step_alone() -> None:
    samples = made_samples([7, 5, 9, 4], neutrals=2)

    def batches() -> Batches:
        store = CropStore(samples, SIDE, heatmaps=True)
        return Batches(store, range(len(samples)), size=8, group=2, neutral=True, seed=3)

    forwards, backwards = batches(), batches()
    steps = list(range(2 * forwards.steps_per_epoch + 1))
    first = [forwards(step) for step in steps]
    again = [backwards(step) for step in reversed(steps)][::-1]
    assert all(same_batch(a, b) for a, b in zip(first, again, strict=True))
    assert not same_batch(first[0], first[1])
    assert not same_batch(first[0], first[forwards.steps_per_epoch])  # another epoch, another order


def test_another_seed_is_another_order() -> None:
    store = CropStore(made_samples([8, 8]), SIDE)
    one, other = (Batches(store, range(16), size=16, neutral=False, seed=seed) for seed in (0, 1))
    assert not torch.equal(one(0).labels.row, other(0).labels.row)


@pytest.mark.parametrize("cache_mb", [0, 1])
def test_crops_are_the_same_kept_or_not(cache_mb: int) -> None:
    pixels = MadePixels()
    samples = made_samples([30], pixels=pixels)
    side = 128  # 21 crops of 49,152 bytes are a megabyte
    store = CropStore(samples, side, cache_mb=cache_mb)
    rows = np.array([3, 29, 3, 0, *range(30)])
    first, second = store.images(rows), store.images(rows)
    np.testing.assert_array_equal(first, second)
    for row, crop in zip(rows.tolist(), first, strict=True):
        np.testing.assert_array_equal(crop, cut(MadePixels().picture(row), 20, 20, 40, side))
    kept = 21 * cache_mb
    assert pixels.pictures == 30 + (30 - kept)


def test_a_store_answers_several_threads() -> None:
    samples = made_samples([20])
    store = CropStore(samples, SIDE)
    calm = CropStore(samples, SIDE).images(range(20))
    asked = [np.random.default_rng(i).permutation(20) for i in range(16)]
    with ThreadPoolExecutor(4) as threads:
        for rows, crops in zip(asked, threads.map(store.images, asked), strict=True):
            np.testing.assert_array_equal(crops, calm[rows])


def test_a_square_is_cut_and_a_whole_picture_is_whole() -> None:
    samples = made_samples([2], pixels=MadePixels(height=20, width=40))
    square = samples.square.copy()
    square[1] = (30, 10, 16)
    crops = CropStore(replace(samples, square=square), 40).images([0, 1])
    picture = MadePixels(height=20, width=40).picture(0)
    np.testing.assert_array_equal(crops[0, 10:30], picture)  # the longer side decides
    np.testing.assert_array_equal(crops[0, 0], picture[0])  # beyond the picture its edge
    np.testing.assert_array_equal(crops[1], cut(MadePixels(height=20, width=40).picture(1), 30, 10, 16, 40))


def test_missing_heat_maps_are_named() -> None:
    class Bare(MadePixels):
        def heatmap(self, row: int) -> None:
            return None

    store = CropStore(made_samples([3], pixels=Bare()), SIDE, heatmaps=True)
    with pytest.raises(RefusedError, match="made: picture1 has no heat map"):
        store.heatmaps([1])


def test_labels_and_pictures_belong_together() -> None:
    samples = made_samples([8, 4], neutrals=2)
    samples = replace(samples, au=np.where(samples.au == 3, np.float32(np.nan), samples.au))
    batch = Batches(CropStore(samples, 40, heatmaps=True), range(12), size=12, neutral=True, seed=0, pain_weight=2.5)(0)
    labels = batch.labels
    rows = labels.row.numpy()
    assert sorted(rows) == list(range(12))
    for place, row in enumerate(rows.tolist()):
        np.testing.assert_array_equal(batch.image[place].numpy(), MadePixels().picture(row))
    np.testing.assert_array_equal(labels.au.numpy(), samples.au[rows])  # NaN stays NaN
    np.testing.assert_array_equal(labels.sides.numpy(), samples.sides[rows])
    np.testing.assert_array_equal(labels.weight.numpy(), np.where(samples.pspi[rows] >= 1, 2.5, 1).astype(np.float32))
    assert batch.heatmap is not None
    assert torch.equal(batch.heatmap, batch.image[..., 0])
    assert [batch.image.dtype, labels.au.dtype, labels.row.dtype] == [
        torch.uint8,
        torch.float32,
        torch.int64,
    ]


people = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(people, st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**20))
def test_groups_and_neutrals(
    pictures: list[int], group: int, a_batch: int, references: int, neutrals: int, seed: int
) -> None:
    samples = made_samples(pictures, neutrals)
    store = CropStore(samples, 4)
    batches = Batches(
        store,
        range(len(samples)),
        size=group * a_batch,
        group=group,
        num_references=references,
        neutral=True,
        seed=seed,
    )
    seen = []
    for step in range(batches.steps_per_epoch):
        batch = batches(step)
        rows = batch.labels.row.numpy().reshape(a_batch, group)
        seen += rows.tolist()
        assert (samples.subject[rows] == samples.subject[rows[:, :1]]).all()  # a group is one person
        assert batch.neutral is not None and batch.neutral_of is not None
        assert batch.neutral_of.shape == (group * a_batch, references)
        lent = batch.neutral[:, 0, 0].numpy()
        known = {tuple(store.images([row])[0, 0, 0]): row for row in np.flatnonzero(samples.neutral)}
        places = np.array([known[tuple(pixel)] for pixel in lent])
        assert len(set(places)) == len(places)  # distinct
        for row, of in zip(batch.labels.row.tolist(), batch.neutral_of.numpy(), strict=True):
            person = samples.subject[row]
            theirs = set(np.flatnonzero(samples.neutral & (samples.subject == person)))
            used = set(places[of])
            assert used <= theirs
            assert row not in used or theirs == {row}  # never itself where there is another
            assert len(used) == min(references, max(1, len(theirs - {row})))
    groups = sum(-(-count // group) for count in pictures)
    assert batches.steps_per_epoch == -(-groups // a_batch)
    assert {row for rows in seen for row in rows} == set(range(len(samples)))  # an epoch shows everything
    dealt = sorted(row for rows in seen[:groups] for row in rows)
    assert all(dealt.count(row) == 1 for row in range(len(samples)) if pictures[samples.subject[row]] % group == 0)
    assert seen[groups:] == [seen[place % groups] for place in range(groups, len(seen))]  # filled up from its first


def test_a_group_shares_its_neutral_pictures() -> None:
    samples = made_samples([12, 12, 12], neutrals=4)
    batches = Batches(CropStore(samples, SIDE), np.flatnonzero(~samples.neutral), size=8, neutral=True, seed=0)
    batch = batches(0)
    assert batch.neutral is not None and len(batch.neutral) <= 2  # of two groups
    assert batch.neutral_of is not None
    of = batch.neutral_of.reshape(2, 4)
    assert (of == of[:, :1]).all()


def test_neutrals_change_from_step_to_step() -> None:
    samples = made_samples([8], neutrals=4)
    batches = Batches(CropStore(samples, 40), np.flatnonzero(~samples.neutral), size=4, neutral=True, seed=0)
    lent = {int(batches(step).neutral[0, 0, 0, 1]) for step in range(30)}  # type: ignore[index]
    assert lent == {0, 1, 2, 3}


def test_one_person_and_a_batch_larger_than_the_data() -> None:
    samples = made_samples([3])
    batch = Batches(CropStore(samples, SIDE), range(3), size=16, neutral=True, seed=0)(7)
    assert len(batch.labels.row) == 16 and set(batch.labels.row.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 10}, "a batch of 10 can't be cut into groups of 4"),
        ({"rows": []}, "made: no picture to learn from"),
    ],
)
def test_what_makes_no_batches(change: dict[str, object], message: str) -> None:
    store = CropStore(made_samples([3]), SIDE)
    options = {"rows": range(3), "size": 8, "neutral": False, "seed": 0, **change}
    with pytest.raises(RefusedError, match=message):
        Batches(store, options.pop("rows"), **options)  # type: ignore[arg-type]


def test_people_without_a_neutral_picture_are_named() -> None:
    samples = made_samples([3, 3, 3])
    samples = replace(samples, neutral=samples.neutral & (samples.subject == 0))
    store = CropStore(samples, SIDE)
    line = r"made: no neutral picture of person1 \(nor of 1 others\)"
    with pytest.raises(RefusedError, match=line):
        Batches(store, range(9), size=4, neutral=True, seed=0)
    with pytest.raises(RefusedError, match=line):
        next(ordered_batches(store, range(9), 4))
    assert Batches(store, range(9), size=4, neutral=False, seed=0)(0).neutral is None
    assert Batches(store, range(3), size=4, neutral=True, seed=0)(0).neutral is not None  # who isn't asked for


def test_in_order_for_evaluation() -> None:
    samples = made_samples([5, 5], neutrals=2)
    store = CropStore(samples, 40)
    rows = [9, 0, 1, 5, 7]
    batches = list(ordered_batches(store, rows, 2))
    assert [batch.labels.row.tolist() for batch in batches] == [[9, 0], [1, 5], [7]]
    lent = []
    for batch in batches:
        assert batch.neutral is not None and batch.neutral_of is not None
        lent += batch.neutral[batch.neutral_of[:, 0], 0, 0, 1].tolist()
    assert lent == [5, 1, 0, 6, 5]  # the first neutral picture that isn't the picture itself
    assert next(ordered_batches(store, rows, 2, neutral=False)).neutral is None


@pytest.mark.parametrize(("size", "side"), [(112, 128), (224, 256), (96, 112), (64, 80), (16, 16), (100, 112)])
def test_crops_are_a_little_larger_than_what_the_net_sees(size: int, side: int) -> None:
    assert crop_side(size) == side
