"""What a net sees of a picture's light, and what it doesn't."""

import numpy as np
import pytest
import torch

from pain3d.training.data.augmentation import MEAN, STD
from pain3d.training.data.style import LUMA
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import build_model
from pain3d.training.model.local_contrast import AROUND, CELLS, LEAST, as_local_contrast


def as_seen(picture: torch.Tensor) -> torch.Tensor:
    """[B, 3, S, S] on 0–1 as a net is given it."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (picture - mean) / std


def faces(side: int) -> torch.Tensor:
    """Smooth noise [2, 3, side, side] on 0.2–0.8."""
    small = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(3))
    return 0.2 + 0.6 * torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic").clamp(0, 1)


def by_loops(picture: torch.Tensor) -> np.ndarray:
    """The definition in float64, of one picture [3, S, S] whose side is a multiple of CELLS."""
    bright = np.tensordot(LUMA, picture.double().numpy(), 1)
    side = len(bright)
    cell = side // CELLS

    def around(plane: np.ndarray) -> np.ndarray:
        cells = plane.reshape(CELLS, cell, CELLS, cell).mean((1, 3))
        reach = AROUND // 2
        means = np.empty_like(cells)
        for row in range(CELLS):
            for column in range(CELLS):
                part = cells[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
                means[row, column] = part.mean()
        place = np.clip((np.arange(side) + 0.5) / cell - 0.5, 0, CELLS - 1)
        low = np.minimum(place.astype(int), CELLS - 2)
        share = place - low
        down = means[low] * (1 - share)[:, None] + means[low + 1] * share[:, None]
        return down[:, low] * (1 - share) + down[:, low + 1] * share

    detail = bright - around(bright)
    return detail / np.sqrt(around(detail**2) + LEAST**2)


@pytest.mark.parametrize("bounded", [False, True])
def test_local_contrast_is_its_definition(bounded: bool) -> None:
    picture = faces(80)
    seen = as_local_contrast(as_seen(picture), bounded)
    assert seen.shape == picture.shape and torch.equal(seen[:, 0], seen[:, 2])
    # Sums of float32: seen 5e-7.
    contrast = by_loops(picture[1])
    shown = contrast / (1 + np.abs(contrast)) if bounded else contrast
    np.testing.assert_allclose(seen[1, 0].numpy(), shown, atol=5e-6)


@pytest.mark.parametrize("side", [16, 35, 112, 224])
def test_exposure_colour_and_veils_are_not_seen(side: int) -> None:
    """A film's gain and base, a grey picture of the same brightness, a lamp that falls off; but detail is."""
    picture = faces(side)
    seen = as_local_contrast(as_seen(picture))
    bright = (picture * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True).expand_as(picture)
    assert float((as_local_contrast(as_seen(bright)) - seen).abs().max()) < 2e-5  # sums of float32: seen 2e-6
    veiled = as_local_contrast(as_seen(0.15 + 0.7 * picture))
    spread = float(seen.std())
    # Not quite the same, for LEAST is of what is seen: .07 to .09 of the spread.
    assert float((veiled - seen).std()) < 0.12 * spread
    lamp = 1 - 0.4 * torch.linspace(0, 1, side)
    assert float((as_local_contrast(as_seen(picture * lamp)) - seen).std()) < 0.2 * spread  # seen .09 to .10
    assert float((as_local_contrast(as_seen(picture.flip(3))) - seen).std()) > spread


def test_flat_walls_stay_flat() -> None:
    noise = 0.001 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert float(as_local_contrast(as_seen(0.5 + noise)).abs().max()) < 0.15  # seen .09


@pytest.mark.parametrize("architecture", ["vitpain", "siamese"])
def test_a_model_of_local_contrast_does_not_see_colour(architecture: str) -> None:
    shape = {} if architecture == "siamese" else {"width": 32, "depth": 1, "heads": 2, "conv_stem": True}
    model = build_model(
        ModelConfig(architecture, image_size=32, local_contrast=True, bounded=True, **shape), seed=1
    ).eval()  # type: ignore[arg-type]
    picture, neutral = faces(32)[:1], faces(32)[1:]
    grey = (picture * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True).expand_as(picture)
    said = [model(as_seen(face), as_seen(neutral)).au for face in (picture, grey, picture.flip(2))]
    assert float((said[0] - said[1]).abs().max()) < 2e-5  # seen 1e-6
    assert float((said[0] - said[2]).abs().max()) > 1e-2  # seen .06 and 1.4
