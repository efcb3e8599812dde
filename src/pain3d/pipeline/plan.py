"""Knows who is made, in which split and shard: a pure function of the configuration, with no file and no clock.

A shard holds consecutive identities of one split, all its expressions and views. What is in a shard depends on the
configuration and the shard's name only, never on batch size, processes or on what was made before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pain3d.pipeline.config import SynthConfig
from pain3d.records import SPLITS

if TYPE_CHECKING:
    from pain3d.environment.own import Places
    from pain3d.pipeline.texture.decorator import PlateWish
    from pain3d.pipeline.texture.refiner import RefineWish
    from pain3d.scene import DemographicCell, Scene

SHARES: Final = {"train": 70, "validation": 20, "test": 10}  # per cent, as in 3DPain (arXiv 2509.16727)


@dataclass(frozen=True)
class PlannedIdentity:
    """One identity: number, cell, split, folder of its painted texture, who paints behind and over it, own places.

    `scenes` are its own where they are known; None are those that the configuration draws.
    """

    identity_id: int
    cell: DemographicCell
    split: str
    texture: Path | None = None
    behind: PlateWish | None = None
    refine: RefineWish | None = None
    places: Places | None = None
    scenes: tuple[Scene, ...] | None = None


@dataclass(frozen=True)
class PlannedShard:
    """A shard: ``index`` of ``count`` in its split, and its identities in the order of their numbers."""

    split: str
    index: int
    count: int
    identities: tuple[PlannedIdentity, ...]

    @property
    def name(self) -> str:
        """``train-00000-of-00042``."""
        return f"{self.split}-{self.index:05d}-of-{self.count:05d}"

    def path(self, subset: str) -> str:
        """Where a subset's file of this shard lies, relative to the data set."""
        return f"data/{subset}/{self.name}.parquet"


@dataclass(frozen=True)
class Plan:
    """What a run makes."""

    config: SynthConfig
    shards: tuple[PlannedShard, ...]

    @property
    def images(self) -> int:
        """Number of images of the whole data set."""
        return self.config.identities * images_per_identity(self.config)

    def identities_of(self, split: str) -> list[int]:
        """Numbers of the identities in a split, rising."""
        return [i.identity_id for shard in self.shards if shard.split == split for i in shard.identities]


def images_per_identity(config: SynthConfig) -> int:
    """Images of one identity: neutral and pain expressions, from every view."""
    return (config.expressions + 1) * config.views


def make_plan(config: SynthConfig) -> Plan:
    """Lay out a checked configuration as shards, train first, then validation, then test.

    A split with no identity (fewer than 3 in all) has no shard.
    """
    from pain3d.scene import demographic_grid

    cells = demographic_grid(config.identities, config.seed)
    splits = assign_splits([(cell.age_group, cell.sex, cell.ancestry) for cell in cells], config.seed)
    people = [
        PlannedIdentity(number, cell, split) for number, (cell, split) in enumerate(zip(cells, splits, strict=True))
    ]
    shards: list[PlannedShard] = []
    step = config.identities_per_shard
    for split in SPLITS:
        members = [person for person in people if person.split == split]
        starts = range(0, len(members), step)
        shards += [
            PlannedShard(split, index, len(starts), tuple(members[start : start + step]))
            for index, start in enumerate(starts)
        ]
    return Plan(config, tuple(shards))


def split_counts(identities: int) -> dict[str, int]:
    """Identities per split: 70 / 20 / 10 % by largest remainder, and at least one in each from 3 identities on."""
    counts = {split: identities * share // 100 for split, share in SHARES.items()}
    rest = sorted(SPLITS, key=lambda split: -(identities * SHARES[split] % 100))
    for split in rest[: identities - sum(counts.values())]:
        counts[split] += 1
    if identities >= len(SPLITS):
        for split in SPLITS:
            if counts[split] == 0:
                counts[split] += 1
                counts[max(counts, key=lambda other: counts[other])] -= 1
    return counts


def assign_splits(cells: list[tuple[str, str, str]], seed: int) -> list[str]:
    """Give every identity a split, evenly over the demographic cells.

    The identities are put in order by cell and, within a cell, by a keyed hash; walking along that order, each takes
    the split that is furthest behind its share. So every stretch of it, thus every cell, is near 70 / 20 / 10.

    Args:
        cells: One demographic cell per identity, by number.
        seed: Seed of the run.

    Returns:
        One split per identity.
    """
    total = len(cells)
    counts = split_counts(total)
    taken = dict.fromkeys(SPLITS, 0)
    splits = [""] * total
    order = sorted(range(total), key=lambda number: (cells[number], _key(seed, number)))
    for position, number in enumerate(order, start=1):
        open_splits = [split for split in SPLITS if taken[split] < counts[split]]
        split = max(open_splits, key=lambda name: counts[name] * position - taken[name] * total)
        taken[split] += 1
        splits[number] = split
    return splits


def _key(seed: int, identity_id: int) -> bytes:
    """A random key that depends on nothing but the seed and the identity."""
    return hashlib.blake2b(f"split {seed} {identity_id}".encode(), digest_size=16).digest()
