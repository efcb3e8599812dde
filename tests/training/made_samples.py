"""Samples made of nothing: pictures that tell their row, so that a test sees where a crop is from."""

from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.training.data.batch import Batch, RawBatch
from pain3d.training.data.samples import Samples, pspi_of


@dataclass
class MadePixels:
    """Pictures of noise keyed by row; the heat map is the red channel. Counts what is asked of it."""

    height: int = 40
    width: int = 40
    pictures: int = 0
    lock: Lock = field(default_factory=Lock)

    def picture(self, row: int) -> npt.NDArray[np.uint8]:
        with self.lock:
            self.pictures += 1
        picture = np.random.default_rng(row).integers(0, 256, (self.height, self.width, 3), np.uint8)
        picture[0, 0] = (*divmod(row, 256), 0)
        return picture

    def heatmap(self, row: int) -> npt.NDArray[np.uint8] | None:
        return self.picture(row)[:, :, 0].copy()


def made_samples(pictures: list[int], neutrals: int = 1, pixels: MadePixels | None = None) -> Samples:
    """Samples of a person for each of `pictures`, who has so many; the first `neutrals` of a person are neutral."""
    subject = np.repeat(np.arange(len(pictures)), pictures)
    number = np.concatenate([np.arange(count) for count in pictures])
    neutral = number < neutrals
    generator = np.random.default_rng(0)
    sides = generator.integers(1, 6, (len(subject), 6, 2)).astype(np.float32)
    sides[:, 5] = sides[:, 5, :1] > 2
    sides[neutral] = 0
    au = sides.max(2)
    pspi = pspi_of(au)
    return Samples(
        name="made",
        key="made",
        ids=tuple(f"picture{row}" for row in range(len(subject))),
        subjects=tuple(f"person{person}" for person in range(len(pictures))),
        subject=subject,
        split=None,
        au=au,
        sides=sides,
        pspi=pspi,
        pain=(pspi >= 1).astype(np.float32),
        neutral=neutral,
        square=np.full((len(subject), 3), np.nan, np.float32),
        slices={"sex": tuple("female" if person % 2 else "male" for person in subject)},
        pixels=pixels or MadePixels(),
    )


def same_batch(one: Batch | RawBatch, other: Batch | RawBatch) -> bool:
    """Whether all tensors are equal, bit by bit; NaN equals NaN."""
    pairs = zip(_tensors(one), _tensors(other), strict=True)
    return all((a is None and b is None) or torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in pairs)


def _tensors(batch: Batch | RawBatch) -> list[Tensor | None]:
    return [batch.image, batch.heatmap, batch.neutral, batch.neutral_of, *batch.labels]
