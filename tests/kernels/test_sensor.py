"""What only sensor noise promises: its strength at every byte, its distribution, and keys that stand alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pain3d.kernels import add_sensor_noise, encode_srgb, tone_map
from pain3d.kernels.sensor import noise_table
from pain3d.kernels.sensor.reference import MIDDLE, SIGMA, hashed_sums

SHOT, READ = 4e-4, 8e-4  # ISO 400


def flat(byte: int, side: int = 128) -> torch.Tensor:
    return torch.full((1, side, side, 3), byte, dtype=torch.uint8)


def noisy(image: torch.Tensor, shot: float = SHOT, read: float = READ, key: int = 7) -> torch.Tensor:
    one = torch.ones(len(image), dtype=torch.float64)
    return add_sensor_noise(image, shot * one, read * one, torch.full((len(image),), key))


def test_strength_is_that_of_noise_added_to_the_light():
    """An independent way: noise on the light itself, then the renderer's own tone curve and bytes."""
    light = torch.linspace(0.02, 1.1, 30, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(len(light), 40000, generator=generator, dtype=torch.float64)
    spread = (SHOT * light + READ**2).sqrt()[:, None] * normal
    expected = encode_srgb(tone_map(light[:, None] + spread)).double().std(1)
    byte = encode_srgb(tone_map(light))
    images = byte[:, None, None, None].expand(-1, 100, 100, 3).contiguous()
    found = add_sensor_noise(
        images, torch.full((30,), SHOT), torch.full((30,), READ), torch.arange(30)
    ).double().std((1, 2, 3))  # fmt: skip
    # Rounding to bytes adds 0.29 to both; first order, and a byte's light is known to half a byte: seen 3.5 %.
    # Nearer to white the noise is less than the rounding of the byte that it is added to, and is lost in it.
    torch.testing.assert_close(found, expected, rtol=0.06, atol=0.03)


@pytest.mark.parametrize("byte", [30, 100, 180])
def test_mean_stays_and_spread_is_the_tables(byte: int):
    found = noisy(flat(byte, 256)).double()
    sigma = float(noise_table(torch.tensor([SHOT]), torch.tensor([READ]))[0, byte]) * SIGMA / 2**16
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


def test_same_key_same_noise_whatever_the_batch():
    image = torch.randint(256, (5, 17, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    keys = torch.tensor([3, 3, 4, -5, 2**62 + 1])
    shot, read = torch.full((5,), SHOT), torch.full((5,), READ)
    together = add_sensor_noise(image, shot, read, keys)
    for index in range(5):
        one = slice(index, index + 1)
        assert torch.equal(add_sensor_noise(image[one], shot[one], read[one], keys[one]), together[one])
    same = noisy(flat(90).repeat(2, 1, 1, 1))
    assert torch.equal(same[0], same[1])
    assert not torch.equal(noisy(flat(90), key=8)[0], same[0])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert torch.equal(add_sensor_noise(image, shot, read, keys), together)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_any_size_and_every_level_give_the_same_bytes(backend: str):
    generator = torch.Generator().manual_seed(2)
    for height, width in ((1, 1), (3, 701), (64, 33), (0, 4)):  # shorter and longer than a block of 2048 samples
        image = torch.randint(256, (2, height, width, 3), dtype=torch.uint8, generator=generator)
        arguments = image, torch.tensor([SHOT, 1e9]), torch.tensor([READ, 1e9]), torch.tensor([1, 2])
        assert torch.equal(
            add_sensor_noise(*arguments, backend=backend), add_sensor_noise(*arguments, backend="reference")
        )
    table = noise_table(torch.tensor([0.0, -1.0, 1e30, float("nan")]), torch.tensor([0.0, 0.0, 0.0, 0.0]))
    assert not table[0].any() and not table[1].any() and not table[3].any()
    assert int(table.max()) * MIDDLE < 2**31 and table[2].max() == table.max()


def test_no_noise_changes_nothing_and_white_is_quiet():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3).contiguous()
    assert torch.equal(noisy(ramp, 0.0, 0.0), ramp)
    assert torch.equal(noisy(flat(255)), flat(255))
    strength = noise_table(torch.tensor([SHOT]), torch.tensor([READ]))[0].numpy()
    assert (np.diff(strength[12:]) <= 0).all()  # brighter is quieter in bytes, above the linear foot of sRGB
