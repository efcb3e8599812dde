"""Styles change tones and textures, never places; a face and its neutral picture share them as often as asked."""

from dataclasses import replace

import pytest
import torch

from pain3d.console.refused import RefusedError
from pain3d.kernels import jpeg_loss
from pain3d.training.config import STYLES, TrainConfig, style_families, validated
from pain3d.training.data import style
from pain3d.training.data.augmentation import Augmentation, augment, centre_crop
from pain3d.training.data.batch import Batch, RawBatch, share_of
from pain3d.training.data.style import CHANCES, NUMBERS, POOLED, QUALITY, Styles, draw_styles
from tests.training.made_samples import same_batch
from tests.training.test_augmentation import SIDE, SIZE, STILL, raw_batch, shown

OFTEN = 1 / min(CHANCES.values())  # each family in every picture that has a style


def styled(raw: RawBatch, styles: Styles, step: int = 0) -> Batch:
    """A batch to which nothing happens but its styles."""
    return augment(raw, SIZE, 3, step, "cpu", STILL, styles)


@pytest.mark.parametrize("family", STYLES)
def test_each_family_changes_some_pictures_and_none_leaves_its_range(family: str) -> None:
    raw = raw_batch(200)
    plain = shown(centre_crop(raw, SIZE, "cpu").image)
    seen = shown(styled(raw, Styles((family,), OFTEN)).image)
    changed = ((seen - plain).abs().mean((1, 2, 3)) > 1e-3).float().mean()
    assert 0.7 < changed < 0.9  # four in five; 3 standard deviations of 200 draws are 0.085
    assert seen.min() > -1e-5 and seen.max() < 1 + 1e-5  # worst seen 1e-7: MEAN and STD undone
    seldom = ((shown(styled(raw, Styles((family,))).image) - plain).abs().mean((1, 2, 3)) > 1e-3).float().mean()
    assert seldom < changed


def test_without_families_nothing_is_drawn() -> None:
    raw = raw_batch(neutrals=3)
    plain = augment(raw, SIZE, 7, 11, "cpu", Augmentation())
    for styles in (Styles(()), Styles(STYLES, 0.0)):
        assert same_batch(plain, augment(raw, SIZE, 7, 11, "cpu", Augmentation(), styles))


def test_seed_and_step_decide() -> None:
    raw = raw_batch(neutrals=3)
    one = styled(raw, Styles(), 11)
    torch.rand(5)  # somebody else draws
    assert same_batch(one, styled(raw, Styles(), 11))
    assert not same_batch(one, styled(raw, Styles(), 12))


@pytest.mark.parametrize("num_references", [1, 3])
def test_who_is_compared_has_the_same_style_as_often_as_asked(num_references: int) -> None:
    raw = raw_batch(200, neutrals=60, num_references=num_references)
    raw = replace(raw, neutral_of=torch.arange(200)[:, None] % 20 * 3 + torch.arange(num_references))
    for shared in (0.0, 0.7, 1.0):
        drawn = draw_styles(raw.whole, 1, 2, Styles(shared=shared))
        assert raw.neutral_of is not None and drawn.spectra is not None
        same = (drawn.numbers[:200, None] == drawn.numbers[200:][raw.neutral_of]).all(2)
        assert torch.equal(same, (drawn.spectra[:200, None] == drawn.spectra[200:][raw.neutral_of]).all(2))
        assert abs(same[:, 0].float().mean() - shared) < 0.1  # 3 standard deviations of 200 draws


def test_the_same_picture_in_a_shared_style_stays_the_same() -> None:
    raw = raw_batch(20, neutrals=20)
    raw = replace(raw, neutral=raw.image, neutral_of=torch.arange(20)[:, None])
    alike = styled(raw, Styles(STYLES, OFTEN, 1.0))
    assert alike.neutral is not None
    torch.testing.assert_close(alike.image, alike.neutral, atol=1e-5, rtol=0)  # worst seen 5e-7: another place in a sum
    apart = styled(raw, Styles(STYLES, OFTEN, 0.0))
    assert apart.neutral is not None
    assert ((apart.image - apart.neutral).abs().mean((1, 2, 3)) > 0.01).float().mean() > 0.8


def test_a_rank_gives_its_pictures_the_styles_that_one_process_would() -> None:
    raw = raw_batch(16, neutrals=4)
    raw = replace(raw, neutral_of=torch.arange(16)[:, None] // 4)
    whole = draw_styles(raw.whole, 1, 2, Styles())
    for rank in range(2):
        share = share_of(rank, 2, 16, raw.neutral_of)
        places = torch.cat([share.pictures, 16 + share.neutrals])
        part = draw_styles(share, 1, 2, Styles())
        assert whole.spectra is not None and part.spectra is not None
        assert torch.equal(part.numbers, whole.numbers[places]) and torch.equal(part.spectra, whole.spectra[places])


def test_labels_and_heat_maps_are_left_alone() -> None:
    raw = raw_batch(neutrals=3)
    plain, seen = styled(raw, Styles(())), styled(raw, Styles(STYLES, OFTEN))
    assert plain.heatmap is not None and seen.heatmap is not None and torch.equal(plain.heatmap, seen.heatmap)
    assert torch.equal(plain.labels.sides.nan_to_num(), seen.labels.sides.nan_to_num())


def numbers_of(family: str, count: int = 50) -> torch.Tensor:
    """Drawn numbers of a family."""
    return torch.rand(count, NUMBERS[family], generator=torch.Generator().manual_seed(0))


def test_a_curve_rises_everywhere() -> None:
    ramp = torch.linspace(0, 1, 257).expand(50, 3, 1, 257)
    made = style._curved(ramp, numbers_of("curve"))
    assert (made.diff(dim=3) > 0).all()


def test_colours_of_grey_are_those_of_the_light() -> None:
    """White balance tints grey, all of it alike; saturation and channels that leak don't."""
    grey = torch.linspace(0.1, 1, 16).expand(50, 3, 1, 16)
    made = style._coloured(grey, numbers_of("colour"))
    ratio = made / grey
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), atol=1e-5, rtol=0)  # worst seen 4e-7
    assert ratio.min() > 0.75 and ratio.max() < 1.3  # e^±0.25


def test_amplitudes_change_and_phases_stay() -> None:
    pictures = torch.rand(4, 3, POOLED, POOLED, generator=torch.Generator().manual_seed(0))
    spectra = torch.randn(4, style.SPECTRUM, generator=torch.Generator().manual_seed(1))
    before, after = torch.fft.rfft2(pictures), torch.fft.rfft2(style._amplified(pictures, spectra))
    ratio = (after / before)[..., 1 : POOLED // 2]  # both edges of a half spectrum hold each number's conjugate too
    assert ratio.imag.abs().max() < 1e-3 and ratio.real.min() > 0  # worst seen 6e-5, where an amplitude is small
    assert ratio.real.min() < 0.7 and ratio.real.max() > 1.5
    torch.testing.assert_close(after[..., 0, 0], before[..., 0, 0], rtol=1e-5, atol=0)


def test_compression_is_nearly_that_of_a_file() -> None:
    """Between them lie bytes and how chroma grows: 1.4 levels in the mean at most, where the JPEG changed 2 to 6."""
    raw = raw_batch(6)
    noisy = (raw.image.float() + 20 * torch.randn(raw.image.shape, generator=torch.Generator().manual_seed(0))).clamp(
        0, 255
    )
    image = noisy.byte()
    numbers = torch.linspace(0, 1, 6)[:, None]
    quality = (QUALITY[0] + (QUALITY[1] - QUALITY[0]) * numbers[:, 0]).long()
    theirs = jpeg_loss(image, quality).float()
    ours = style._compressed(image.permute(0, 3, 1, 2).float() / 255, numbers).permute(0, 2, 3, 1) * 255
    change = (theirs - image).abs().mean((1, 2, 3))
    assert ours.shape == (6, SIDE, SIDE, 3)
    assert ((ours.clamp(0, 255) - theirs).abs().mean((1, 2, 3)) < 0.5 * change).all()


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("all", STYLES),
        ("none", ()),
        ("jpeg,curve", ("curve", "jpeg")),
        ("all-grey-jpeg", ("fourier", "light", "colour", "curve", "contrast", "blur")),
    ],
)
def test_families_are_named(text: str, families: tuple[str, ...]) -> None:
    assert style_families(text) == families


@pytest.mark.parametrize("text", ["", "all-grain", "curve,,grey", "none-grey"])
def test_a_family_that_nobody_knows_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="is none of fourier, light, colour, grey, curve, contrast, blur, jpeg"):
        validated(TrainConfig(styles=text))
