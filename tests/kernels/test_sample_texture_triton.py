"""What only look-ups on a GPU promise: any size, every level of every chain, and no texel beyond the texture."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import Mipmaps, build_mipmaps, sample_texture
from pain3d.kernels.texturing.example import example_inputs
from pain3d.kernels.texturing.kernel import launch_sample_texture, level_offset
from pain3d.kernels.texturing.reference import level_table
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")
NAN, INFINITY = float("nan"), float("inf")


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def assert_equals_reference(texture: Tensor | Mipmaps, uv: Tensor, level: Tensor | None, side: int) -> None:
    found = sample_texture(texture, uv, level, backend="triton")
    expected = sample_texture(texture, uv, level, backend="reference")
    # worst seen 0, interpreter; on a GPU u · width - 0.5 may be fused: half a unit in the last place of the side,
    # for texels that differ by at most 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 + side * 2.0**-22)


@settings(max_examples=25)
@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    rows=st.integers(0, 9),
    columns=st.integers(1, 33),
    channels=st.sampled_from([0, 1, 2, 3, 5, 8, 17]),
    shared=st.booleans(),
    seed=st.integers(0, 99),
)
def test_level_0_of_any_size_equals_the_reference(
    batch: int, height: int, width: int, rows: int, columns: int, channels: int, shared: bool, seed: int
):
    texture = uniform(1 if shared else batch, height, width, channels, seed=seed)
    uv = 1.4 * uniform(batch, rows, columns, 2, seed=seed + 1) - 0.2
    assert_equals_reference(texture, uv, None, max(height, width))


@settings(max_examples=25)
@given(
    batch=st.integers(1, 3),
    height=st.integers(0, 6),
    width=st.integers(0, 6),
    columns=st.integers(1, 33),
    channels=st.sampled_from([1, 3, 5, 17]),
    shared=st.booleans(),
    prepared=st.booleans(),
    seed=st.integers(0, 99),
)
def test_levels_of_any_chain_equal_the_reference(
    batch: int, height: int, width: int, columns: int, channels: int, shared: bool, prepared: bool, seed: int
):
    texture = uniform(1 if shared else batch, 2**height, 2**width, channels, seed=seed)
    uv = 1.4 * uniform(batch, 3, columns, 2, seed=seed + 1) - 0.2
    level = 10 * uniform(batch, 3, columns, seed=seed + 2) - 2
    assert_equals_reference(build_mipmaps(texture) if prepared else texture, uv, level, 2 ** max(height, width))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 16), (32, 1), (4, 64), (64, 8), (16, 16)])
def test_every_texel_of_every_level_is_found_at_its_centre(height: int, width: int):
    """The offsets and sides that the kernel computes, against the table of the chain: exact."""
    mipmaps = build_mipmaps(uniform(1, height, width, 2))
    for index, (offset, tall, wide) in enumerate(mipmaps.levels()):
        row, column = torch.meshgrid(torch.arange(tall), torch.arange(wide), indexing="ij")
        uv = torch.stack([(column + 0.5) / wide, 1 - (row + 0.5) / tall], -1)[None].to(DEVICE)
        found = sample_texture(mipmaps, uv, torch.full_like(uv[..., 0], index), backend="triton")
        assert torch.equal(found.reshape(1, -1, 2), mipmaps.texels[:, offset : offset + tall * wide])


@triton.jit
def offsets(found_ptr, height, width, count, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    tl.store(found_ptr + index, level_offset(index, height, width), mask=index < count)


@pytest.mark.parametrize(("height", "width"), [(32768, 32768), (65536, 16384), (1024, 2048), (1, 2**30), (2**29, 2)])
def test_offsets_of_chains_beyond_memory(height: int, width: int):
    table = level_table(height, width)
    found = torch.empty(len(table), dtype=torch.int64, device=DEVICE)
    offsets[(1,)](found, height, width, len(table), BLOCK=32)
    assert found.tolist() == [offset for offset, _, _ in table]


def test_any_block_gives_the_same_bits():
    mipmaps = build_mipmaps(uniform(2, 16, 8, 19))
    uv, level = uniform(2, 3, 13, 2, seed=1), 5 * uniform(2, 3, 13, seed=2)
    expected = sample_texture(mipmaps, uv, level, backend="triton")
    for block in (256, 2048):
        values = torch.full_like(expected, NAN)
        launch_sample_texture(mipmaps.texels, uv, level, 16, 8, values, block=block)
        assert torch.equal(values, expected)


def test_strides_of_every_kind():
    texture, uv, level = uniform(3, 8, 8, 5), uniform(3, 4, 9, 2, seed=1), 4 * uniform(3, 4, 9, seed=2)
    expected = sample_texture(texture, uv, level, backend="triton")
    planes = texture.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    turned = uv.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    assert torch.equal(sample_texture(planes, turned, level[:, :, ::1], backend="triton"), expected)
    plain = sample_texture(texture, uv, backend="triton")
    assert torch.equal(sample_texture(planes, turned, backend="triton"), plain)
    shared = build_mipmaps(texture[1:2])
    expected = sample_texture(shared, uv, level, backend="triton")
    expanded = Mipmaps(shared.texels.expand(3, -1, -1), 8, 8)
    assert torch.equal(sample_texture(expanded, uv, level, backend="triton"), expected)
    every_second = Mipmaps(build_mipmaps(uniform(6, 8, 8, 5)).texels[::2], 8, 8)
    assert_equals_reference(every_second, uv, level, 8)


def test_nothing_is_read_beyond_the_chain():
    """Texels far away, and levels that are not there: in the midst of NaN every look-up is finite."""
    chain = build_mipmaps(uniform(1, 4, 8, 3)).texels
    memory = torch.full((3 * chain.numel(),), NAN, device=DEVICE)
    texels = memory[chain.numel() : 2 * chain.numel()].view(chain.shape)
    texels.copy_(chain)
    far = torch.tensor([-INFINITY, -1e30, -1e9, -1.0, 0.0, 0.5, 1.0, 2.0, 1e9, 1e30, INFINITY, NAN])
    u, v, level = (grid.to(DEVICE) for grid in torch.meshgrid(far, far, far, indexing="ij"))
    u, v, level = u.flatten()[None, None], v.flatten()[None, None], level.flatten()[None, None]
    uv = torch.stack([u, v], -1)
    found = sample_texture(Mipmaps(texels, 4, 8), uv, level, backend="triton")
    assert torch.isfinite(found).all()
    known = ~(u.isnan() | v.isnan() | level.isnan())
    assert_equals_reference(Mipmaps(texels, 4, 8), uv[known][None, None], level[known][None, None], 8)
    assert torch.isfinite(sample_texture(texels[:, :32].view(1, 4, 8, 3), uv, backend="triton")).all()


def test_a_chain_of_another_size_is_refused():
    mipmaps = build_mipmaps(uniform(1, 8, 8, 3))
    uv, level = uniform(1, 2, 2, 2), uniform(1, 2, 2)
    for backend in ("reference", "triton"):
        with pytest.raises(
            ValueError, match=r"texture must have N=341 texels, the mip chain of 16 x 16, got \[1, 85, 3\]"
        ):
            sample_texture(Mipmaps(mipmaps.texels, 16, 16), uv, level, backend=backend)
        with pytest.raises(ValueError, match="sides that are powers of two for mip levels, got Wt=12"):
            sample_texture(Mipmaps(mipmaps.texels, 8, 12), uv, level, backend=backend)


def test_more_texels_than_the_kernel_can_count_are_refused():
    texture = torch.zeros(1, 1, 1, 1, device=DEVICE).expand(1, 46341, 46341, 1)  # 46341² is the first above 2³¹
    with pytest.raises(ValueError, match=r"sample_texture has no backend 'triton' \(available: reference\)"):
        sample_texture(texture, uniform(1, 1, 1, 2), backend="triton")


@pytest.mark.skipif(DEVICE != "cuda", reason="needs a GPU: capture into a CUDA graph")
def test_a_call_can_be_captured():
    inputs = example_inputs(9, DEVICE)
    expected = sample_texture(**inputs, backend="triton")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = sample_texture(**inputs, backend="triton")
    found.fill_(NAN)
    graph.replay()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("with_level", [False, True])
def test_custom_op_is_registered_soundly(with_level: bool):
    mipmaps = build_mipmaps(uniform(2, 4, 4, 3))
    uv, level = uniform(2, 3, 5, 2), uniform(2, 3, 5)
    sample_texture(mipmaps, uv, level, backend="triton")
    arguments = (mipmaps.texels, uv, level if with_level else None, 4, 4)
    torch.library.opcheck(torch.ops.pain3d.sample_texture.default, arguments)


def test_double_precision_is_the_references():
    inputs = example_inputs(4, DEVICE, torch.float64)
    assert torch.equal(sample_texture(**inputs), sample_texture(**inputs, backend="reference"))
    with pytest.raises(ValueError, match=r"sample_texture has no backend 'triton' \(available: reference\)"):
        sample_texture(**inputs, backend="triton")
