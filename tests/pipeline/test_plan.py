"""The plan is pure, balanced and disjoint."""

from collections import Counter

import pytest

from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.estimation import estimate
from pain3d.pipeline.plan import SHARES, assign_splits, images_per_identity, make_plan, split_counts
from pain3d.records import SPLITS


@pytest.mark.parametrize("identities", range(1, 41))
def test_splits_are_disjoint_and_complete(identities: int) -> None:
    plan = make_plan(SynthConfig(identities=identities, identities_per_shard=3))
    members = [number for split in SPLITS for number in plan.identities_of(split)]
    assert sorted(members) == list(range(identities))
    if identities >= 3:
        assert all(plan.identities_of(split) for split in SPLITS)
    for shard in plan.shards:
        assert 1 <= len(shard.identities) <= 3
        assert {person.split for person in shard.identities} == {shard.split}


@pytest.mark.parametrize("identities", [10, 100, 2500])
def test_shares_are_70_20_10(identities: int) -> None:
    assert split_counts(identities) == {split: identities * share // 100 for split, share in SHARES.items()}


def test_counts_add_up() -> None:
    for identities in range(1, 300):
        counts = split_counts(identities)
        assert sum(counts.values()) == identities
        assert all(abs(counts[split] - identities * SHARES[split] / 100) <= 1.4 for split in SPLITS)  # 3: 2.1 -> 1


def test_every_cell_is_near_the_shares() -> None:
    cells = [("a", "b", str(number % 24)) for number in range(2400)]  # 100 of each
    splits = assign_splits(cells, seed=0)
    for cell in set(cells):
        counted = Counter(split for mine, split in zip(cells, splits, strict=True) if mine == cell)
        # The walk over the cells is at most one identity off at either end of a cell.
        assert all(abs(counted[split] - SHARES[split]) <= 2 for split in SPLITS)


def test_plan_is_pure_and_ignores_speed() -> None:
    config = SynthConfig(identities=30, seed=5)
    faster = SynthConfig(identities=30, seed=5, batch_size=7, processes=4)
    assert make_plan(config).shards == make_plan(config).shards == make_plan(faster).shards


def test_seed_moves_identities_between_splits() -> None:
    plans = [make_plan(SynthConfig(identities=40, seed=seed)).identities_of("test") for seed in range(5)]
    assert len({tuple(plan) for plan in plans}) == 5


def test_shape_of_the_paper() -> None:
    plan = make_plan(SynthConfig(identities=2500))
    assert images_per_identity(plan.config) == 33
    assert plan.images == 82_500
    assert [len(plan.identities_of(split)) for split in SPLITS] == [1750, 500, 250]
    assert plan.shards[0].name == "train-00000-of-00055"
    assert plan.shards[0].path("frames") == "data/frames/train-00000-of-00055.parquet"


def test_depth_and_parts_take_room() -> None:
    plain, dense = (estimate(make_plan(SynthConfig(identities=2, dense=dense))) for dense in ("", "depth,parts"))
    assert dense["bytes"] - plain["bytes"] == 93_000 * plain["images"]
