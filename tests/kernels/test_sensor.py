"""What only a camera promises: its MTF, its tone, its noise at every byte, and keys that stand alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pain3d.kernels import develop, encode_srgb, tone_map
from pain3d.kernels.sensor.reference import (
    BYTE_CODES,
    CODES,
    MIDDLE,
    SIGMA,
    blurred,
    hashed_sums,
    optics_of,
    tone_table,
)

SHOT, READ = 4e-4, 8e-4  # ISO 400
NOTHING = (0.0, 0.0, 0.0, 1.0, 1.0)


def flat(byte: int, side: int = 128) -> torch.Tensor:
    return torch.full((1, side, side, 3), byte, dtype=torch.uint8)


def sensor(count: int, *settings: float) -> torch.Tensor:
    return torch.tensor([(*settings, *NOTHING[len(settings) :])] * count, dtype=torch.float64)


def noisy(image: torch.Tensor, shot: float = SHOT, read: float = READ, key: int = 7) -> torch.Tensor:
    return develop(image, sensor(len(image), shot, read), torch.full((len(image),), key))


def strengths(*settings: float) -> torch.Tensor:
    """Of the noise at each byte [256], in bytes."""
    return (tone_table(sensor(1, *settings))[0] >> 16)[torch.from_numpy(BYTE_CODES).long()].double() * SIGMA / 2**16


def test_strength_is_that_of_noise_added_to_the_light():
    """An independent way: noise on the light itself, then the renderer's own tone curve and bytes."""
    light = torch.linspace(0.02, 1.1, 30, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(len(light), 40000, generator=generator, dtype=torch.float64)
    spread = (SHOT * light + READ**2).sqrt()[:, None] * normal
    expected = encode_srgb(tone_map(light[:, None] + spread)).double().std(1)
    byte = encode_srgb(tone_map(light))
    images = byte[:, None, None, None].expand(-1, 100, 100, 3).contiguous()
    found = develop(images, sensor(30, SHOT, READ), torch.arange(30)).double().std((1, 2, 3))
    # Rounding to bytes adds 0.29 to both; first order, and a byte's light is known to half a byte: seen 3.5 %.
    # Nearer to white the noise is less than the rounding of the byte that it is added to, and is lost in it.
    torch.testing.assert_close(found, expected, rtol=0.06, atol=0.03)


@pytest.mark.parametrize("byte", [30, 100, 180])
def test_mean_stays_and_spread_is_the_tables(byte: int):
    found = noisy(flat(byte, 256)).double()
    sigma = float(strengths(SHOT, READ)[byte])
    samples = found.numel()
    assert abs(found.mean() - byte) < 4 * sigma / samples**0.5
    assert found.std() == pytest.approx((sigma**2 + 1 / 12) ** 0.5, rel=0.01)  # with rounding; seen 0.3 %
    channels = found.reshape(-1, 3).T
    assert torch.corrcoef(channels).fill_diagonal_(0).abs().max() < 0.02  # seen 0.006; 3 sigma are 0.012
    for shift in (1, 256):
        pair = torch.stack([channels[0, :-shift], channels[0, shift:]])
        assert torch.corrcoef(pair)[0, 1].abs() < 0.02


def test_hash_sums_are_nearly_normal():
    sums = (hashed_sums(torch.tensor([0, 1, -1, 2**40]), 1 << 18) - MIDDLE).double() / SIGMA
    assert sums.mean(1).abs().max() < 0.008 and (sums.std(1) - 1).abs().max() < 0.005  # 4 and 5 standard errors
    within = [(sums.abs() < edge).double().mean().item() for edge in (1, 2, 3)]
    # A normal number's are 0.683, 0.954, 0.997; Irwin and Hall's of four 0.673, 0.957, 0.9996.
    assert within == pytest.approx([0.673, 0.957, 0.9995], abs=0.005)
    assert torch.corrcoef(sums).fill_diagonal_(0).abs().max() < 0.01  # keys next to each other, or of one half alone


def test_same_key_same_picture_whatever_the_batch():
    image = torch.randint(256, (5, 17, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    keys = torch.tensor([3, 3, 4, -5, 2**62 + 1])
    settings = sensor(5, SHOT, READ, 0.3, 1.2, 1.1)
    settings[::2] = sensor(1, SHOT, READ, 0.2, 0.9, 0.9)
    together = develop(image, settings, keys)
    for index in range(5):
        one = slice(index, index + 1)
        assert torch.equal(develop(image[one], settings[one], keys[one]), together[one])
    same = noisy(flat(90).repeat(2, 1, 1, 1))
    assert torch.equal(same[0], same[1])
    assert not torch.equal(noisy(flat(90), key=8)[0], same[0])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert torch.equal(develop(image, settings, keys), together)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_any_size_and_every_level_give_the_same_bytes(backend: str):
    generator = torch.Generator().manual_seed(2)
    for height, width in ((1, 1), (2, 3), (3, 701), (64, 33), (0, 4)):  # rows shorter and longer than 2048 samples
        image = torch.randint(256, (2, height, width, 3), dtype=torch.uint8, generator=generator)
        settings = torch.tensor([[SHOT, READ, 0.21, 1.3, 1.4], [1e9, 1e9, 0.5, 0.5, 0.0]])
        arguments = image, settings, torch.tensor([1, 2])
        assert torch.equal(develop(*arguments, backend=backend), develop(*arguments, backend="reference"))
    odd = torch.tensor([[shot, 0.0, 0.0, 1.0, 1.0] for shot in (0.0, -1.0, 1e30, float("nan"))])
    strength = tone_table(odd) >> 16
    assert not strength[0].any() and not strength[1].any() and not strength[3].any()
    assert int(strength.max()) * MIDDLE < 2**31 and strength[2].max() == strength.max() < 2**15


def test_no_noise_changes_nothing_and_white_is_quiet():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3).contiguous()
    for backend in ("reference", "cpu"):
        assert torch.equal(develop(ramp, sensor(1), torch.tensor([1]), backend=backend), ramp)
    assert torch.equal(noisy(flat(255)), flat(255))
    assert (np.diff(strengths(SHOT, READ)[12:]) <= 1e-3).all()  # brighter is quieter in bytes, above sRGB's foot


@pytest.mark.parametrize("frequency", [0.19, 0.2, 0.275, 0.35, 0.5])
def test_half_of_the_contrast_is_left_at_the_frequency_asked_for(frequency: float):
    wave = torch.cos(2 * torch.pi * frequency * torch.arange(60).double()).expand(3, 60).T.float()
    light = wave[None, None].expand(1, 60, 60, 3)
    optics = optics_of(sensor(1, 0.0, 0.0, frequency))
    for axis, seen in ((1, light.transpose(1, 2)), (2, light)):
        left = blurred(seen, optics, axis).select(3 - axis, 9).flatten(0, 1)[9:-9]
        torch.testing.assert_close(left, wave[9:-9] / 2, rtol=0, atol=1e-6)  # worst seen 2e-7: float32
    # Monotone to the highest frequency and never negative: no pattern is turned round.
    here, near, far = optics[0, :3].double().tolist()
    at = 2 * np.pi * np.linspace(0, 0.5, 200)
    mtf = here + 2 * near * np.cos(at) + 2 * far * np.cos(2 * at)
    assert mtf[0] == pytest.approx(1, abs=1e-6) and (np.diff(mtf) <= 0).all() and mtf[-1] > -1e-6


def test_blur_is_of_light():
    """A line of light keeps its light, and not its bytes' sum."""
    image = flat(20, 15)
    image[0, :, 7] = 200
    seen = develop(image, sensor(1, 0.0, 0.0, 0.25), torch.tensor([1]))[0, 7, :, 1]
    codes = torch.from_numpy(BYTE_CODES)
    before, after = (codes[row.long()].sum().item() for row in (image[0, 7, :, 1], seen))
    assert after == pytest.approx(before, rel=0.01)  # five roundings to bytes: seen 0.2 %
    assert int(seen.sum()) > 1.2 * int(image[0, 7, :, 1].sum())


def test_contrast_turns_about_middle_grey_and_saturation_keeps_luminance():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3).contiguous()
    for contrast in (0.5, 1.3, 1.5):
        curve = develop(ramp, sensor(1, 0.0, 0.0, 0.0, contrast), torch.tensor([1]))[0, ..., 0].flatten().double()
        assert curve[0] == 0 and curve[255] == 255 and (curve.diff() >= 0).all()
        assert (curve[140] - curve[115]) / 25 == pytest.approx(contrast, abs=0.06)  # a byte's rounding is 0.04
    image = torch.randint(40, 160, (1, 9, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    grey, more = (develop(image, sensor(1, 0.0, 0.0, 0.0, 1.0, s), torch.tensor([1])) for s in (0.0, 1.2))
    assert (grey.amax(3) == grey.amin(3)).all()
    weights = torch.tensor([0.2126, 0.7152, 0.0722])
    codes = torch.from_numpy(BYTE_CODES)
    kept = (more > 0).all(3)  # no channel was cut off at 0
    before, after = ((codes[picture.long()] * weights).sum(3) for picture in (image, more))
    assert kept.float().mean() > 0.8 and (after - before)[kept].abs().max() < 0.005 * CODES  # a byte at 160: 15 codes
    assert (more.amax(3).int() - more.amin(3) >= image.amax(3).int() - image.amin(3)).all()
