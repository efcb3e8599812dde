"""Texture look-ups against values that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pain3d.kernels import build_mipmaps, interpolate, sample_texture


def look_up(texture: Tensor, u: float, v: float, level: float | None = None) -> Tensor:
    uv = torch.tensor([u, v], dtype=texture.dtype).reshape(1, 1, 1, 2)
    at = None if level is None else torch.full((1, 1, 1), level, dtype=texture.dtype)
    return sample_texture(texture, uv, at)[0, 0, 0]


def test_texel_centres_and_the_flip():
    texture = torch.arange(8.0).reshape(1, 2, 4, 1)
    for row in range(2):
        for column in range(4):
            found = look_up(texture, (column + 0.5) / 4, 1 - (row + 0.5) / 2)
            assert found == texture[0, row, column]


@pytest.mark.parametrize("sides", [(32, 8), (1, 16), (16, 1), (1, 1), (256, 256)])
@pytest.mark.parametrize("channels", [3, 16])
def test_mipmaps_of_any_sides_and_channels_are_those_of_the_reference(sides: tuple[int, int], channels: int):
    texture = torch.rand(2, *sides, channels, generator=torch.Generator().manual_seed(0))
    fast, slow = (build_mipmaps(texture, backend=backend) for backend in ("cpu", "reference"))
    assert torch.equal(fast.texels, slow.texels)


def test_bilinear_between_centres_and_clamp_outside():
    texture = torch.tensor([[0.0, 1.0], [2.0, 5.0]]).reshape(1, 2, 2, 1)
    assert look_up(texture, 0.5, 0.5) == 2.0  # the mean of all four
    assert look_up(texture, 0.5, 2.0) == 0.5
    assert look_up(texture, -3.0, 1.5) == 0.0 and look_up(texture, 9.0, -9.0) == 5.0


def test_mip_chain_is_means_down_to_one_texel():
    texture = torch.rand(2, 8, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mipmaps = build_mipmaps(texture)
    assert mipmaps.levels() == [(0, 8, 2), (16, 4, 1), (20, 2, 1), (22, 1, 1)]
    assert torch.equal(mipmaps.texels[:, :16], texture.reshape(2, 16, 3))
    torch.testing.assert_close(mipmaps.texels[:, 16], texture[:, :2].mean((1, 2)), rtol=0, atol=1e-15)
    torch.testing.assert_close(mipmaps.texels[:, -1], texture.mean((1, 2)), rtol=0, atol=1e-15)


def test_levels_mix_linearly_and_are_clamped():
    texture = torch.rand(1, 4, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fine, coarse = look_up(texture, 0.3, 0.6, 0.0), look_up(texture, 0.3, 0.6, 1.0)
    torch.testing.assert_close(look_up(texture, 0.3, 0.6, 0.25), 0.75 * fine + 0.25 * coarse, rtol=0, atol=1e-15)
    assert torch.equal(look_up(texture, 0.3, 0.6, -2.0), look_up(texture, 0.3, 0.6))
    assert torch.equal(look_up(texture, 0.3, 0.6, 7.0), build_mipmaps(texture).texels[0, -1])


def test_prepared_chain_and_shared_texture_give_the_same():
    texture = torch.rand(1, 8, 8, 3, generator=torch.Generator().manual_seed(0))
    uv, level = torch.rand(3, 4, 5, 2), 4 * torch.rand(3, 4, 5)
    expected = sample_texture(texture.expand(3, -1, -1, -1), uv, level)
    assert torch.equal(sample_texture(texture, uv, level), expected)
    assert torch.equal(sample_texture(build_mipmaps(texture), uv, level), expected)


def test_levels_need_powers_of_two_but_plain_look_ups_do_not():
    texture = torch.ones(1, 3, 5, 1)
    assert look_up(texture, 0.2, 0.7) == 1
    with pytest.raises(ValueError, match="texture must have sides that are powers of two for mip levels, got Ht=3"):
        look_up(texture, 0.2, 0.7, 0.0)


def test_interpolate_known_values():
    attributes = torch.tensor([[[1.0], [2.0], [4.0]]])
    faces, ids = torch.tensor([[0, 1, 2]]), torch.tensor([[[0, -1]]], dtype=torch.int32)
    barycentrics = torch.tensor([[[[0.5, 0.25, 0.25], [0.0, 0.0, 0.0]]]])
    assert interpolate(attributes, faces, ids, barycentrics).tolist() == [[[[2.0], [0.0]]]]
    empty = interpolate(attributes, torch.empty(0, 3, dtype=torch.int32), torch.full_like(ids, -1), barycentrics)
    assert empty.tolist() == [[[[0.0], [0.0]]]]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_chain_can_be_built_in_given_memory_around_its_own_first_level(backend: str):
    texture = torch.rand(2, 8, 4, 3)
    expected = build_mipmaps(texture, backend="reference").texels
    memory = torch.full_like(expected, torch.nan)
    level = memory[:, : 8 * 4].view(2, 8, 4, 3)
    level.copy_(texture)
    made = build_mipmaps(level, out=memory, backend=backend)
    assert made.texels.data_ptr() == memory.data_ptr() and torch.equal(memory, expected)
    again = build_mipmaps(texture, out=torch.empty_like(expected), backend=backend)
    assert torch.equal(again.texels, expected)


def test_memory_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"out must be \[1, 5, 3\] of torch.float32, contiguous, got \[1, 4, 3\]"):
        build_mipmaps(torch.rand(1, 2, 2, 3), out=torch.empty(1, 4, 3))
