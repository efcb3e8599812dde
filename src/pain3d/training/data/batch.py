"""Knows what a batch is: pictures of B faces, neutral pictures of the same people, and one record of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from pain3d.device import map_tensors, moved


class Labels(NamedTuple):
    """What is known of B pictures.

    Attributes:
        au: [B, 6] float32 as UNITS; NaN is unknown.
        sides: [B, 6, 2] float32, left and right as the picture shows them.
        pspi: [B] float32, 0–16; NaN is unknown.
        pain: [B] float32, 0 or 1.
        weight: [B] float32, what a picture counts in the loss.
        row: [B] int64 in the samples; −1 where the picture is of no data set.
    """

    au: Tensor
    sides: Tensor
    pspi: Tensor
    pain: Tensor
    weight: Tensor
    row: Tensor

    def to(self, device: torch.device | str) -> Labels:
        """The labels on a device; nothing waits for them."""
        return Labels(*(label.to(device, non_blocking=True) for label in self))


@dataclass(frozen=True)
class _Pictures:
    image: Tensor
    heatmap: Tensor | None
    neutral: Tensor | None
    neutral_of: Tensor | None
    labels: Labels

    def to(self, device: torch.device | str) -> Self:
        """The batch on a device."""
        return moved(self, device)

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Share:
    """What of a step's batch one of several processes has, and what it must know of the rest to vary it as one would.

    Attributes:
        pictures: [B] int64, places of its pictures in the whole batch.
        neutrals: [M] int64, places of its neutral pictures among those of the whole batch.
        count: Pictures of the whole batch.
        known: Neutral pictures of the whole batch.
        neutral_of: [count, K] as in `RawBatch`, of the whole batch; None where nobody asked.
    """

    pictures: Tensor
    neutrals: Tensor
    count: int
    known: int
    neutral_of: Tensor | None


def share_of(rank: int, ranks: int, count: int, neutral_of: Tensor | None) -> Share:
    """The share of a rank: as many pictures as any other's, side by side, and the neutral pictures of these.

    Args:
        rank: Which process.
        ranks: How many; they divide `count`.
        count: Pictures of the whole batch.
        neutral_of: [count, K], see `Share`; each neutral picture of the batch is there.
    """
    own = torch.arange(rank * count // ranks, (rank + 1) * count // ranks)
    if neutral_of is None:
        return Share(own, own[:0], count, 0, None)
    return Share(own, torch.unique(neutral_of[own]), count, int(neutral_of.max()) + 1, neutral_of)


def leaders(neutral_of: Tensor, known: int) -> Tensor:
    """For each of the neutral pictures, the first of those that it is compared beside, and those beside them; [known].

    Args:
        neutral_of: [B, K], see `Share`.
        known: How many neutral pictures there are.
    """
    neutral_of = neutral_of.cpu()
    leader = torch.arange(known)
    references = neutral_of.shape[1]
    while True:
        first = leader[neutral_of].amin(1)
        lower = leader.scatter_reduce(0, neutral_of.reshape(-1), first.repeat_interleave(references), "amin")
        if torch.equal(lower, leader):
            return leader
        leader = lower


@dataclass(frozen=True)
class RawBatch(_Pictures):
    """Crops and labels as they come from the disk or the renderer; B pictures of C × C.

    Attributes:
        image: [B, C, C, 3] uint8 RGB.
        heatmap: [B, C, C] uint8 in levels of `records.HEATMAP_UNIT_MM`, the same crop; None where nobody asked.
        neutral: [M, C, C, 3] uint8, distinct neutral pictures; None where nobody asked.
        neutral_of: [B, K] int64, which of `neutral` belong to each picture.
        labels: Of the pictures.
        share: Which part of a step's batch this is; None is all of it.
    """

    share: Share | None = None

    @property
    def whole(self) -> Share:
        """Its share, also where it is all of a batch."""
        known = 0 if self.neutral is None else len(self.neutral)
        return self.share or Share(torch.arange(len(self)), torch.arange(known), len(self), known, self.neutral_of)

    def pinned(self) -> RawBatch:
        """The batch in memory that a GPU reads by itself, while the host goes on."""
        return map_tensors(self, Tensor.pin_memory)


class Batch(_Pictures):
    """What a net sees: float32 on the device, pictures [_, 3, S, S] as (x − MEAN) / STD.

    Attributes:
        image: [B, 3, S, S].
        heatmap: [B, 3, S, S], three equal channels before MEAN and STD: 0 is unmoved, 1 is HEATMAP_TOP_MM or more.
        neutral: [M, 3, S, S].
        neutral_of: [B, K] int64, which of `neutral` belong to each picture.
        labels: Of the pictures.
    """
