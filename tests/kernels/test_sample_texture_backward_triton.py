"""The gradients of look-ups on a GPU (or in its interpreter) and of the mip chain: sums in which no order shows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import Mipmaps, build_mipmaps, sample_texture
from pain3d.kernels._fixed_point import steps_for
from pain3d.kernels.texturing.example import example_inputs
from pain3d.kernels.texturing.reference import build_mipmaps_reference
from pain3d.kernels.texturing.triton_op import sample_texture_backward
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")
EPSILON = 2.0**-24


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def on_a_grid(low: float, high: float, steps: int, *shape: int, seed: int = 0) -> Tensor:
    """Numbers of few bits: where they lie between texels or levels is the same in float32 and in float64."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(int(low * steps), int(high * steps), shape, generator=generator) / steps).to(DEVICE)


def gradients(
    texels: Tensor, uv: Tensor, level: Tensor | None, size: tuple[int, int], gradient: Tensor, backend: str
) -> list[Tensor]:
    """To texels, uv and, where there is one, level."""
    leaves = [tensor.clone().requires_grad_() for tensor in (texels, uv, level) if tensor is not None]
    at = leaves[2] if level is not None else None
    sample_texture(Mipmaps(leaves[0], *size), leaves[1], at, backend=backend).backward(gradient)
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


@pytest.mark.slow
@settings(max_examples=15)
@given(
    batch=st.integers(1, 3),
    height=st.integers(0, 4),
    width=st.integers(0, 4),
    columns=st.integers(0, 33),
    channels=st.sampled_from([0, 1, 3, 5, 17]),
    shared=st.booleans(),
    leveled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_chain_has_the_gradients_of_the_formula(
    batch: int, height: int, width: int, columns: int, channels: int, shared: bool, leveled: bool, seed: int
):
    size = (2**height, 2**width)
    texels = build_mipmaps(random(1 if shared else batch, *size, channels, seed=seed)).texels
    uv = on_a_grid(-0.2, 1.2, 1024, batch, 3, columns, 2, seed=seed + 1)
    level = on_a_grid(-1, 6, 64, batch, 3, columns, seed=seed + 2) if leveled else None
    gradient = random(batch, 3, columns, channels, seed=seed + 3)
    found = gradients(texels, uv, level, size, gradient, "triton")
    exact = [None if tensor is None else tensor.double() for tensor in (texels, uv, level)]
    expected = gradients(*exact, size, gradient.double(), "reference")  # type: ignore[arg-type]
    spread = gradients(*exact, size, gradient.double().abs(), "reference")[0]  # type: ignore[arg-type]
    assert [one.shape for one in found] == [other.shape for other in expected]
    # A share is exact here, but for a product of two of 10 and one of 6 bits; a term is rounded thrice, a sum once.
    assert ((found[0] - expected[0]).abs() <= 4 * EPSILON * spread + 1e-12).all()
    # Differences of texels up to 8 apart, their mixes and the sum over channels: worst seen 5 roundings
    reach = gradient.double().abs().sum(-1) * 8
    along = (found[1] - expected[1]).abs().amax(-1)
    assert (along <= 16 * EPSILON * reach * max(size) + 1e-12).all()
    if leveled:
        assert ((found[2] - expected[2]).abs() <= 16 * EPSILON * reach + 1e-12).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 2)])
def test_level_0_of_any_size(size: tuple[int, int]):
    texture, uv = random(2, *size, 3), on_a_grid(-0.2, 1.2, 1024, 2, 4, 9, 2)
    found = []
    for backend, dtype in (("triton", torch.float32), ("reference", torch.float64)):
        leaves = [tensor.to(dtype, copy=True).requires_grad_() for tensor in (texture, uv)]
        (sample_texture(leaves[0], leaves[1], backend=backend) ** 2).sum().backward()
        found.append([leaf.grad for leaf in leaves])
    for fast, slow in zip(*found, strict=True):
        # worst seen 2.4e-7 of the greatest: roundings of float32
        torch.testing.assert_close(fast.double(), slow, rtol=0, atol=2e-6 * float(slow.abs().max() + 1e-30))


def test_no_order_of_points_shows():
    """However points meet in a texel, the sum has the same bits: that is what two runs on a GPU differ in."""
    texels, size = build_mipmaps(random(1, 4, 8, 3)).texels, (4, 8)
    uv, level, gradient = random(1, 1, 400, 2) * 0.3 + 0.5, 2 * random(1, 1, 400), random(1, 1, 400, 3, seed=1)
    expected = gradients(texels, uv, level, size, gradient, "triton")
    for seed in range(3):
        order = torch.randperm(400, generator=torch.Generator().manual_seed(seed)).to(DEVICE)
        found = gradients(texels, uv[:, :, order], level[:, :, order], size, gradient[:, :, order], "triton")
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1][:, :, order]) and torch.equal(found[2], expected[2][:, :, order])


@pytest.mark.parametrize("power", [-90, -40, 0, 40, 100])
def test_gradients_of_any_size_are_the_same_multiple(power: int):
    """The step of the sums follows the greatest gradient, from 1e-27 to 1e30."""
    texels = build_mipmaps(random(2, 2, 4, 3)).texels
    uv, gradient = random(2, 2, 9, 2) * 0.3 + 0.5, random(2, 2, 9, 3)
    plain = gradients(texels, uv, None, (2, 4), gradient, "triton")[0]
    scaled = gradients(texels, uv, None, (2, 4), gradient * 2.0**power, "triton")[0]
    if power >= -40:
        assert torch.equal(scaled, plain * 2.0**power)
    else:  # a step is at least 2^-100
        torch.testing.assert_close(scaled, plain * 2.0**power, rtol=0, atol=9 * 2.0**-100)
    assert torch.isfinite(scaled).all()


def test_what_is_not_finite_spoils_its_own_texture_and_says_so():
    texels, uv = build_mipmaps(random(3, 2, 4, 3)).texels, random(3, 2, 9, 2) * 0.3 + 0.5
    gradient = random(3, 2, 9, 3)
    plain = gradients(texels, uv, None, (2, 4), gradient, "triton")[0]
    for bad in (torch.nan, torch.inf):
        gradient[1, 0, 3, 0] = bad
        found = gradients(texels, uv, None, (2, 4), gradient, "triton")[0]
        assert found[1].isnan().all()
        assert torch.equal(found[0], plain[0]) and torch.equal(found[2], plain[2])


def test_steps_hold_the_sum_of_all_terms():
    greatest = torch.tensor([0.0, 1e-45, 1.0, 1.5, 3.4e38, torch.inf, torch.nan])
    for terms in (1, 1000, 2**24):
        steps = steps_for(greatest, terms)
        assert torch.equal(steps.per_value[:5] * steps.value[:5], torch.ones(5))
        assert (greatest[:5].double() * steps.per_value[:5] * terms < 2.0**62).all()
        assert (steps.per_value[2:4] * 2.0**-22 * terms >= 2.0**38).all(), "most of the bits are used"
        assert steps.value[5:].isnan().all()


def test_strides_of_every_kind():
    texels, size = build_mipmaps(random(3, 8, 8, 5)).texels, (8, 8)
    uv, level, gradient = random(3, 4, 9, 2, seed=1), 4 * random(3, 4, 9, seed=2), random(3, 4, 9, 5, seed=3)
    expected = gradients(texels, uv, level, size, gradient, "triton")
    turned = [tensor.permute(2, 1, 0, 3).contiguous().permute(2, 1, 0, 3) for tensor in (uv, gradient)]
    found = gradients(texels, turned[0], level, size, turned[1], "triton")
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    shared = gradients(texels[:1].expand(3, -1, -1), uv, level, size, gradient, "triton")[0]
    alone = gradients(texels[:1], uv, level, size, gradient, "triton")[0]
    assert shared.shape == texels.shape  # worst seen 2e-7: three sums of float32, rounded
    torch.testing.assert_close(shared.sum(0), alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wanted", range(3))
def test_what_nobody_wants_is_empty_and_changes_nothing(wanted: int):
    texels, size = build_mipmaps(random(2, 4, 4, 3)).texels, (4, 4)
    uv, level, gradient = random(2, 3, 5, 2), random(2, 3, 5), random(2, 3, 5, 3)
    expected = gradients(texels, uv, level, size, gradient, "triton")
    flags = [place == wanted for place in range(3)]
    for place, tensor in enumerate(sample_texture_backward(gradient, texels, uv, level, *size, *flags)):
        assert torch.equal(tensor, expected[place]) if place == wanted else tensor.numel() == 0


@pytest.mark.parametrize("leveled", [False, True])
def test_custom_ops_are_registered_soundly(leveled: bool):
    texels = build_mipmaps(random(2, 4, 4, 3)).texels.requires_grad_()
    uv, gradient = random(2, 3, 5, 2).requires_grad_(), random(2, 3, 5, 3)
    level = random(2, 3, 5).requires_grad_() if leveled else None
    torch.library.opcheck(torch.ops.pain3d.sample_texture.default, (texels, uv, level, 4, 4))
    still: list[Any] = [None if tensor is None else tensor.detach() for tensor in (texels, uv, level)]
    arguments = (gradient, *still, 4, 4, True, not leveled, leveled)
    torch.library.opcheck(torch.ops.pain3d.sample_texture_backward.default, arguments)


def test_compiled_without_a_graph_break_through_the_chain():
    def call(texture: Tensor, uv: Tensor, level: Tensor) -> Tensor:
        return sample_texture(texture, uv, level, backend="triton").square().sum()

    torch._dynamo.reset()
    found = []
    for function in (call, torch.compile(call, fullgraph=True, backend="aot_eager")):
        leaves = {name: tensor.requires_grad_() for name, tensor in example_inputs(5, DEVICE).items()}
        function(**leaves).backward()
        found.append([leaf.grad for leaf in leaves.values()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_gradient_of_a_gradient_is_refused():
    inputs = example_inputs(4, DEVICE)
    uv = inputs["uv"].requires_grad_()
    (first,) = torch.autograd.grad(sample_texture(**inputs, backend="triton").sum(), uv, create_graph=True)
    with pytest.raises(RuntimeError, match="sample_texture has no second derivative with backend 'triton'"):
        first.sum().backward()


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (16, 1), (4, 16), (8, 8)])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_the_chain_has_the_gradient_of_autograd_bit_for_bit(size: tuple[int, int], backend: str):
    texture = torch.rand(2, *size, 3, generator=torch.Generator().manual_seed(0))
    leaves = [texture.clone().requires_grad_() for _ in range(3)]
    chains = [build_mipmaps(leaf, backend=backend).texels for leaf in leaves[:2]]
    chains.append(build_mipmaps_reference(leaves[2]).texels)
    gradient = torch.randn(chains[0].shape, generator=torch.Generator().manual_seed(1))
    strided = torch.stack([gradient, gradient], -1)[..., 0]
    for chain, upstream in zip(chains, (gradient, strided, gradient), strict=True):
        chain.backward(upstream)
    assert torch.equal(leaves[0].grad, leaves[2].grad) and torch.equal(leaves[1].grad, leaves[2].grad)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_chain_in_given_memory_has_a_gradient_too(backend: str):
    texture = torch.rand(1, 4, 4, 3).requires_grad_()
    memory = torch.empty(1, 21, 3)
    made = build_mipmaps(texture, out=memory, backend=backend)
    assert made.texels.data_ptr() == memory.data_ptr()
    made.texels[:, -1].sum().backward()
    assert torch.equal(texture.grad, torch.full_like(texture, 1 / 16))
