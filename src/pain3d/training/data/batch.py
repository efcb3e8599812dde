"""Knows what a batch is: pictures of B faces, neutral pictures of the same people, and one record of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from pain3d.device import moved


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


class RawBatch(_Pictures):
    """Crops and labels as they come from the disk or the renderer; B pictures of C × C.

    Attributes:
        image: [B, C, C, 3] uint8 RGB.
        heatmap: [B, C, C] uint8 in levels of `records.HEATMAP_UNIT_MM`, the same crop; None where nobody asked.
        neutral: [M, C, C, 3] uint8, distinct neutral pictures; None where nobody asked.
        neutral_of: [B, K] int64, which of `neutral` belong to each picture.
        labels: Of the pictures.
    """


class Batch(_Pictures):
    """What a net sees: float32 on the device, pictures [_, 3, S, S] as (x − MEAN) / STD.

    Attributes:
        image: [B, 3, S, S].
        heatmap: [B, 3, S, S], three equal channels before MEAN and STD: 0 is unmoved, 1 is HEATMAP_TOP_MM or more.
        neutral: [M, 3, S, S].
        neutral_of: [B, K] int64, which of `neutral` belong to each picture.
        labels: Of the pictures.
    """
