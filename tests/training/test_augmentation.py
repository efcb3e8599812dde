"""What is varied is varied alike where it must be, and nothing depends on anything but seed and step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pain3d.training.data.augmentation import (
    BLUR_TAPS,
    MEAN,
    STD,
    Augmentation,
    _blurred,
    _sampled,
    _turns,
    augment,
    centre_crop,
)
from pain3d.training.data.batch import Labels, RawBatch
from tests.training.made_samples import same_batch

SIDE, SIZE = 48, 40
STILL = Augmentation(*[0.0] * 10)
MOVED = Augmentation(flip=0.5, scale=0.1, shift=0.1, roll_degrees=10, brightness=0, colour=0, contrast=0, noise=0, blur=0, erase=0)  # fmt: skip  # noqa: E501


def raw_batch(count: int = 12, neutrals: int = 0, num_references: int = 1, seed: int = 0) -> RawBatch:
    """Smooth pictures; the heat map is the red channel."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count + neutrals, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic").clamp(0, 1)
    pictures = (smooth * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    sides = torch.randint(0, 6, (count, 6, 2), generator=generator).float()
    sides[0, 0, 0] = torch.nan
    return RawBatch(
        image=pictures[:count],
        heatmap=pictures[:count, :, :, 0].contiguous(),
        neutral=pictures[count:] if neutrals else None,
        neutral_of=torch.randint(0, neutrals, (count, num_references), generator=generator) if neutrals else None,
        labels=Labels(
            au=sides.amax(2),
            sides=sides,
            pspi=torch.full((count,), torch.nan),
            pain=torch.zeros(count),
            weight=torch.ones(count),
            row=torch.arange(count),
        ),
    )


def two_sided(raw: RawBatch) -> Labels:
    """Its labels, 1 on every left side and 2 on every right one."""
    return raw.labels._replace(sides=torch.tensor([[[1.0, 2.0]] * 6] * len(raw)))


def shown(pictures: Tensor) -> Tensor:
    """Undo MEAN and STD."""
    return pictures * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]


def test_seed_and_step_decide() -> None:
    raw = raw_batch(neutrals=3)
    one = augment(raw, SIZE, 7, 11, "cpu", Augmentation())
    torch.rand(5)  # somebody else draws
    assert same_batch(one, augment(raw, SIZE, 7, 11, "cpu", Augmentation()))
    assert not same_batch(one, augment(raw, SIZE, 7, 12, "cpu", Augmentation()))
    assert not same_batch(one, augment(raw, SIZE, 8, 11, "cpu", Augmentation()))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    augment(raw_batch(neutrals=3), SIZE, 0, 0, "cpu", Augmentation())
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_batch_is_left_alone() -> None:
    raw = raw_batch(neutrals=3)
    sides = raw.labels.sides.clone()
    copy = replace(raw, **{name: getattr(raw, name).clone() for name in ("image", "heatmap", "neutral")})
    augment(raw, SIZE, 0, 0, "cpu", Augmentation())
    centre_crop(raw, SIZE, "cpu")
    assert torch.equal(raw.image, copy.image) and torch.equal(raw.labels.sides.nan_to_num(), sides.nan_to_num())
    assert torch.equal(raw.heatmap, copy.heatmap) and torch.equal(raw.neutral, copy.neutral)  # type: ignore[arg-type]


def test_no_strength_is_the_middle_of_the_crop() -> None:
    raw = raw_batch(neutrals=2)
    still, middle = augment(raw, SIZE, 0, 0, "cpu", STILL), centre_crop(raw, SIZE, "cpu")
    # worst seen 4e-6: the grid's places are rounded, then divided by STD
    torch.testing.assert_close(still.image, middle.image, atol=2e-5, rtol=0)
    torch.testing.assert_close(still.heatmap, middle.heatmap, atol=2e-5, rtol=0)
    torch.testing.assert_close(still.neutral, middle.neutral, atol=2e-5, rtol=0)
    edge = (SIDE - SIZE) // 2
    levels = (shown(middle.image) * 255).round().byte().permute(0, 2, 3, 1)
    assert torch.equal(levels, raw.image[:, edge : edge + SIZE, edge : edge + SIZE])


def test_heat_map_and_picture_move_alike() -> None:
    raw = raw_batch()
    batch = augment(raw, SIZE, 3, 5, "cpu", MOVED)
    assert batch.heatmap is not None
    red, heat = shown(batch.image)[:, 0], shown(batch.heatmap)
    torch.testing.assert_close(heat[:, 0], heat[:, 2], atol=1e-6, rtol=0)  # worst seen 2e-7: MEAN and STD undone
    # 255 levels are 25.5 mm, and 10 mm is white
    torch.testing.assert_close(heat[:, 0], (red * 2.55).clamp(0, 1), atol=1e-5, rtol=0)  # worst seen 2e-7
    moved = centre_crop(raw, SIZE, "cpu")
    assert ((shown(moved.image)[:, 0] - red).abs().mean((1, 2)) > 0.01).all()  # every picture did move


def test_a_flip_mirrors_the_picture_and_swaps_the_sides() -> None:
    raw = raw_batch()
    batch = augment(raw, SIZE, 0, 0, "cpu", replace(STILL, flip=1.0))
    torch.testing.assert_close(batch.image, centre_crop(raw, SIZE, "cpu").image.flip(3), atol=2e-5, rtol=0)  # as above
    assert torch.equal(batch.labels.sides.nan_to_num(-1), raw.labels.sides.flip(2).nan_to_num(-1))
    assert torch.equal(batch.labels.au.nan_to_num(-1), raw.labels.au.nan_to_num(-1))


@pytest.mark.parametrize("num_references", [1, 3])
def test_who_is_compared_is_mirrored_alike(num_references: int) -> None:
    """A picture lopsided to the left says of each whether it was mirrored."""
    both = set()
    for step in range(20):
        raw = raw_batch(16, neutrals=12, num_references=num_references, seed=step)
        lopsided = torch.zeros_like(raw.image)
        lopsided[:, :, : SIDE // 2] = 255
        assert raw.neutral is not None
        raw = replace(raw, image=lopsided, neutral=lopsided[:12], labels=two_sided(raw))
        batch = augment(raw, SIZE, 0, step, "cpu", replace(STILL, flip=0.5))
        assert batch.neutral is not None and batch.neutral_of is not None
        target = shown(batch.image)[:, 0, 0, 0] < 0.5
        neutral = shown(batch.neutral)[:, 0, 0, 0] < 0.5
        assert (neutral[batch.neutral_of] == target[:, None]).all()
        assert torch.equal(batch.labels.sides[:, 0, 0] == 2, target)
        both |= set(target.tolist())
    assert both == {True, False}


def test_flips_come_as_often_as_asked() -> None:
    raw = raw_batch(400)
    raw = replace(raw, labels=two_sided(raw), heatmap=None)
    share = (augment(raw, SIZE, 1, 0, "cpu", replace(STILL, flip=0.25)).labels.sides[:, 0, 0] == 2).float().mean()
    assert 0.18 < share < 0.32  # 3 standard deviations of 400 draws are 0.065


def test_turn_scale_and_shift_are_those_of_kornia() -> None:
    """The same move by another library's warp: kornia's, which takes pixels instead of −1–1."""
    kornia = pytest.importorskip("kornia")

    raw = raw_batch(6)
    pictures = raw.image.permute(0, 3, 1, 2)
    drawn = torch.rand(6, 4, generator=torch.Generator().manual_seed(2)) * 2 - 1
    turns = _turns(drawn, torch.tensor([False, True] * 3), SIZE / SIDE, MOVED)
    grid = torch.nn.functional.affine_grid(turns, [6, 3, SIZE, SIZE], align_corners=False)
    ours = _sampled(pictures, grid)
    # −1–1 to pixels, of which 0 is the centre of the first: p = (n + 1) side / 2 − 1/2
    there = turns.new_zeros(6, 3, 3)
    there[:, :2], there[:, 2, 2] = turns, 1
    crop = torch.tensor([[SIDE / 2, 0, (SIDE - 1) / 2], [0, SIDE / 2, (SIDE - 1) / 2], [0, 0, 1]])
    seen = torch.tensor([[SIZE / 2, 0, (SIZE - 1) / 2], [0, SIZE / 2, (SIZE - 1) / 2], [0, 0, 1]])
    forward = torch.linalg.inv(crop @ there @ torch.linalg.inv(seen))
    theirs = kornia.geometry.transform.warp_affine(
        pictures.float() / 255, forward[:, :2], (SIZE, SIZE), padding_mode="border", align_corners=True
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)  # worst seen 2e-6: two inverses in float32


def test_blur_is_that_of_kornia() -> None:
    kornia = pytest.importorskip("kornia")

    pictures = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.4, 0.6, 0.8, 1.0])
    theirs = kornia.filters.gaussian_blur2d(
        pictures, (BLUR_TAPS, BLUR_TAPS), torch.stack([sigma, sigma], 1), border_type="replicate"
    )
    torch.testing.assert_close(_blurred(pictures, sigma), theirs, atol=1e-5, rtol=0)  # worst seen 2e-7


def test_light_changes_by_what_was_asked() -> None:
    raw = raw_batch(64)
    raw = replace(raw, image=torch.full_like(raw.image, 102), heatmap=None)
    brighter = shown(augment(raw, SIZE, 0, 0, "cpu", replace(STILL, brightness=0.2)).image).mean((1, 2, 3)) / 0.4
    assert 0.8 <= brighter.min() < 0.85 and 1.15 < brighter.max() <= 1.2001
    tinted = shown(augment(raw, SIZE, 0, 0, "cpu", replace(STILL, colour=0.1)).image).mean((2, 3)) / 0.4
    assert (tinted.amax(1) - tinted.amin(1)).max() > 0.1
    flat = augment(raw, SIZE, 0, 0, "cpu", replace(STILL, contrast=0.5)).image
    # the mean stays; worst seen 9e-8
    torch.testing.assert_close(shown(flat), torch.full_like(flat, 0.4), atol=1e-5, rtol=0)
    grain = shown(augment(raw, SIZE, 0, 0, "cpu", replace(STILL, noise=0.04)).image).std((1, 2, 3))
    assert grain.min() < 0.01 and 0.03 < grain.max() < 0.042


def test_erased_rectangles_are_grey_and_small() -> None:
    raw = raw_batch(100)
    raw = replace(raw, image=torch.full_like(raw.image, 255), heatmap=None)
    gone = (augment(raw, SIZE, 0, 0, "cpu", replace(STILL, erase=1.0)).image == 0).all(1)
    share = gone.float().mean((1, 2))
    # a side is rounded to whole pixels
    assert share.min() > 0.015 and share.max() < 0.115
    for picture in gone:  # one rectangle: rows and columns that it covers make its area
        assert picture.any(0).sum() * picture.any(1).sum() == picture.sum()
    assert gone.any(0).float().mean() > 0.9  # anywhere


def test_a_batch_of_one() -> None:
    batch = augment(raw_batch(1, neutrals=1), SIZE, 0, 0, "cpu", Augmentation())
    assert batch.image.shape == (1, 3, SIZE, SIZE) and batch.neutral is not None and len(batch.neutral) == 1
    assert np.isfinite(batch.image.numpy()).all()


def test_a_net_that_sees_more_than_the_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="size must be at most the crops' 48, got 50"):
        centre_crop(raw_batch(1), 50, "cpu")
