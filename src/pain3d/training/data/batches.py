"""Knows which pictures make a batch: a pure function of the samples, the seed and the number of the step.

So a run that stopped goes on with the batch that it would have seen, and nothing but the step's number is saved.
A batch holds *groups*, a few pictures of one person: a neutral picture is then encoded once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from pain3d.console.refused import RefusedError
from pain3d.random import keyed_generator
from pain3d.training.data.batch import Labels, RawBatch, share_of
from pain3d.training.data.samples import Rows, Samples, require_neutrals
from pain3d.training.data.store import CropStore


def crop_side(size: int) -> int:
    """Pixels a side of the crops for a net that sees `size`: an eighth more, so that it can be moved; 112 → 128."""
    return max(round(size * 8 / 7 / 16) * 16, -(-size // 16) * 16)


def check_groups(size: int, group: int, num_references: int) -> None:
    """Raise RefusedError unless a batch can be cut into groups of pictures of one person."""
    if size < 1 or group < 1 or num_references < 1 or size % group:
        raise RefusedError(f"a batch of {size} can't be cut into groups of {group}")


def check_ranks(size: int, group: int, ranks: int) -> None:
    """Raise RefusedError unless processes can share the groups of a batch evenly."""
    if size // group % ranks:
        raise RefusedError(f"a batch of {size // group} groups can't be shared by {ranks} ranks")


class Batches:
    """Batches to learn from, by step.

    An epoch deals the pictures of each person into groups, each picture once, the last group of a person filled up from
    their first; then shuffles the groups and cuts them into batches, the last one filled up from the epoch's first.

    Args:
        store: The crops.
        rows: Of the samples, what to learn from.
        size: Pictures of a batch.
        group: Pictures of one person side by side.
        num_references: Neutral pictures for each, K. Somebody who has fewer lends some of them twice.
        neutral: Whether neutral pictures are wanted.
        seed: Of the order.
        pain_weight: What a picture with pain counts in the loss beside one without.
        rank: Which process this is of those that share a batch; it reads its groups alone.
        ranks: How many they are.

    Attributes:
        steps_per_epoch: Batches after which each picture was seen.

    Raises:
        RefusedError: No rows, a size that groups don't divide, or somebody has no neutral picture.
    """

    def __init__(
        self,
        store: CropStore,
        rows: npt.ArrayLike,
        *,
        size: int,
        group: int = 4,
        num_references: int = 1,
        neutral: bool,
        seed: int,
        pain_weight: float = 1.0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        chosen = np.asarray(rows, np.int64)
        if not len(chosen):
            raise RefusedError(f"{store.samples.name}: no picture to learn from")
        check_groups(size, group, num_references)
        check_ranks(size, group, ranks)
        self._rank, self._ranks = rank, ranks
        if neutral:
            require_neutrals(store.samples, chosen)
        self._store, self._seed, self._group, self._references = store, seed, group, num_references
        self._neutral, self._pain_weight = neutral, pain_weight
        subject = store.samples.subject[chosen]
        self._people = [(int(person), np.sort(chosen[subject == person])) for person in np.unique(subject)]
        self._neutrals = _neutrals_of(store.samples)
        self._groups_a_batch = size // group
        groups = sum(-(-len(pictures) // group) for _, pictures in self._people)
        self.steps_per_epoch = -(-groups // self._groups_a_batch)
        self._last: tuple[int, Rows] | None = None

    def __call__(self, step: int) -> RawBatch:
        """The batch of a step, counted from 0 over all epochs.

        Raises:
            RefusedError: A picture can't be read; names it.
        """
        groups = self.rows(step)
        picked = groups.reshape(-1)
        if not self._neutral:
            return self._share(picked, None)
        samples = self._store.samples
        neutrals = []
        for place, group in enumerate(groups):
            theirs = self._neutrals[int(samples.subject[group[0]])]
            generator = keyed_generator(self._seed, "neutral", step, place)
            order = theirs[generator.permutation(len(theirs))]
            order = order[np.argsort(np.isin(order, group), kind="stable")]  # who is no target first: all can share it
            neutrals += [_references(order, int(row), self._references) for row in group]
        return self._share(picked, np.stack(neutrals))

    def _share(self, rows: Rows, neutrals: Rows | None) -> RawBatch:
        """What of a batch is this process's: all, if it is alone."""
        if self._ranks == 1:
            return _assemble(self._store, rows, neutrals, self._pain_weight)
        whole = None
        if neutrals is not None:
            _, places = np.unique(neutrals, return_inverse=True)
            whole = torch.from_numpy(places.reshape(neutrals.shape).astype(np.int64))
        share = share_of(self._rank, self._ranks, len(rows), whole)
        own = share.pictures.numpy()
        part = _assemble(self._store, rows[own], None if neutrals is None else neutrals[own], self._pain_weight)
        return replace(part, share=share)

    def rows(self, step: int) -> Rows:
        """Rows of a step's pictures, [groups, group]."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        groups = self._epoch(epoch)
        places = np.arange(batch * self._groups_a_batch, (batch + 1) * self._groups_a_batch)
        return np.asarray(groups[places % len(groups)])

    def _epoch(self, epoch: int) -> Rows:
        """All groups of an epoch, [G, group] rows, in their order. The last one asked for is kept."""
        last = self._last
        if last is not None and last[0] == epoch:
            return last[1]
        parts: list[Rows] = []
        for person, pictures in self._people:
            order = keyed_generator(self._seed, "group", epoch, person).permutation(pictures)
            count = -(-len(order) // self._group) * self._group
            parts.append(np.resize(order, count).reshape(-1, self._group))  # resize repeats from the first
        groups = np.concatenate(parts)
        groups = groups[keyed_generator(self._seed, "epoch", epoch).permutation(len(groups))]
        self._last = (epoch, groups)
        return groups


def ordered_batches(
    store: CropStore, rows: npt.ArrayLike, size: int, num_references: int = 1, neutral: bool = True
) -> Iterator[RawBatch]:
    """Every picture once, in the order of `rows`, for evaluation; the last batch may be small.

    Its neutral pictures are its person's first `num_references` in the samples, other than
    itself where there are others.

    Raises:
        RefusedError: Somebody has no neutral picture, or a picture can't be read.
    """
    chosen = np.asarray(rows, np.int64)
    samples = store.samples
    if neutral:
        require_neutrals(samples, chosen)
    theirs = _neutrals_of(samples)
    for start in range(0, len(chosen), size):
        part = chosen[start : start + size]
        references = None
        if neutral:
            references = np.stack(
                [_references(theirs[int(samples.subject[row])], int(row), num_references) for row in part]
            )
        yield _assemble(store, part, references, 1.0)


def _neutrals_of(samples: Samples) -> dict[int, Rows]:
    """Rows of the neutral pictures of each person who has some, ascending."""
    rows = np.flatnonzero(samples.neutral)
    people = samples.subject[rows]
    return {int(person): rows[people == person] for person in np.unique(people)}


def _references(order: Rows, row: int, count: int) -> Rows:
    """The first `count` of a person's neutral pictures that aren't the picture itself, some twice if there are few."""
    others = order[order != row]
    return np.resize(others if len(others) else order, count)


def _assemble(store: CropStore, rows: Rows, neutrals: Rows | None, pain_weight: float) -> RawBatch:
    """Crops and labels of `rows` [B], with `neutrals` [B, K], rows too."""
    samples = store.samples
    neutral = neutral_of = None
    if neutrals is not None:
        distinct, places = np.unique(neutrals, return_inverse=True)
        neutral = torch.from_numpy(store.images(distinct))
        neutral_of = torch.from_numpy(places.reshape(neutrals.shape).astype(np.int64))
    pain = samples.pain[rows]
    return RawBatch(
        image=torch.from_numpy(store.images(rows)),
        heatmap=torch.from_numpy(store.heatmaps(rows)) if store.has_heatmaps else None,
        neutral=neutral,
        neutral_of=neutral_of,
        labels=Labels(
            au=torch.from_numpy(samples.au[rows]),
            sides=torch.from_numpy(samples.sides[rows]),
            pspi=torch.from_numpy(samples.pspi[rows]),
            pain=torch.from_numpy(pain),
            weight=torch.from_numpy(np.where(pain > 0, pain_weight, 1).astype(np.float32)),
            row=torch.from_numpy(rows.copy()),
        ),
    )
