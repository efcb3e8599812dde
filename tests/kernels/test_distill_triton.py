"""What only distillation on a GPU promises: every gradient the reference's, memory given away, one backward pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import DistillLoss, DistillWeights
from pain3d.kernels.distillation.bundles import DistillOptions, Values
from pain3d.kernels.distillation.kernel import TokenTile, launch_distill, launch_scale, token_tile
from tests.kernels.rooms import device_of, distill_inputs
from tests.kernels.rooms import flat_distill_loss as distill_loss

DEVICE = device_of("triton")
LEARNT = ("student.tokens", "student.scalar", "student.vector", "student.thresholds")
SCALE = 16.0  # of the scalar
FACTOR = 3  # of the loss whose gradients are compared: one that the backward pass has to apply
# Of float32 against the reference in float64, of a loss of about 5: worst seen 1.1e-6, of a token's gradient by its
# greatest entry 5.1e-7; a GPU's roots and exponentials add 2 units in the last place to each.
LOSS, GRADIENT = 5e-6, 2e-6
# A gradient of scalar, vector or thresholds is a difference: its terms round, and it may be 2,800 times smaller than
# they. By the sum of its terms (`terms_of`), entry by entry: worst seen 4.0e-7, in 1,500 draws; 2 units in the last
# place of a GPU's exponential and of its division are another 2.4e-7.
TERMS = 1e-6
EQUAL = DistillWeights()
GRADIENT_BFLOAT16 = 2**-6  # written, then scaled: the interpreter cuts off twice what a GPU rounds, 2^-7 of an entry


def made(
    batch: int, length: int, width: int, numbers: int = 6, seed: int = 0, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """Inputs of any size with a target in five unknown; tokens of `dtype`, whose values all later types can tell."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    inputs: dict[str, Any] = {
        "student.tokens": (3 * normal(batch, length, width) + 1).to(dtype),
        "teacher.tokens": normal(batch, length, width).to(dtype),
        "student.scalar": 3 * normal(batch),
        "teacher.scalar": 3 * normal(batch),
        "student.vector": 3 * normal(batch, numbers).abs(),
        "student.thresholds": 3 * normal(batch, 3),
        "targets.scalar": torch.randint(17, (batch,), generator=generator).float(),
        "targets.vector": torch.randint(6, (batch, numbers), generator=generator).float(),
        "targets.weight": torch.rand(batch, generator=generator) + 0.1,
    }
    for name in ("targets.scalar", "targets.vector"):
        inputs[name][torch.rand(inputs[name].shape, generator=generator) < 0.2] = math.nan
    options = {
        "scalar_scale": SCALE,
        "vector_scale": tuple(1.0 + n for n in range(numbers)),
        "thresholds": (1.0, 2.0, 3.0),
    }
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()} | options


def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value.double() if isinstance(value, Tensor) else value for name, value in inputs.items()}


def learnt(inputs: dict[str, Any], **options: Any) -> tuple[DistillLoss, dict[str, Tensor]]:
    """The loss, and the gradients of `FACTOR` times it."""
    leaves = {name: inputs[name].detach().requires_grad_() for name in LEARNT}
    told = distill_loss(**(inputs | leaves), **options)
    (FACTOR * told.total).backward()
    return told, {name: leaf.grad for name, leaf in leaves.items()}


def terms_of(inputs: dict[str, Any], weights: DistillWeights, temperature: float) -> dict[str, Tensor]:
    """Size of what is added and subtracted in each gradient (README), which bounds its rounding."""
    given = doubled(inputs)
    share = FACTOR * given["targets.weight"] / given["targets.weight"].sum()
    scalar, vector = given["targets.scalar"].nan_to_num(), given["targets.vector"].nan_to_num()
    known, known_numbers = ~given["targets.scalar"].isnan(), ~given["targets.vector"].isnan()
    scale, bounds = scalar.new_tensor(given["vector_scale"]), scalar.new_tensor(given["thresholds"])
    told = given["student.scalar"].sigmoid()
    asked = weights.scalar * known * 2 * (told + scalar / SCALE) * told * (1 - told)
    tempered = (given["student.scalar"] / temperature).sigmoid() + (given["teacher.scalar"] / temperature).sigmoid()
    each = weights.vector * 2 * known_numbers / known_numbers.sum(1, keepdim=True).clamp(min=1)
    crossed = given["student.thresholds"].sigmoid() + (scalar[:, None] >= bounds)
    return {
        "student.scalar": share * (asked + weights.kd * temperature * tempered),
        "student.vector": share[:, None] * each * (given["student.vector"].abs() + vector) / scale**2,
        "student.thresholds": (share * known)[:, None] * weights.thresholds * crossed / len(bounds),
    }


def assert_is_the_references(
    inputs: dict[str, Any], weights: DistillWeights = EQUAL, temperature: float = 2.0, **options: Any
) -> None:
    options |= {"weights": weights, "temperature": temperature}
    expected, expected_slopes = learnt(doubled(inputs), backend="reference", **options)
    told, slopes = learnt(inputs, backend="triton", **options)
    for name, fast, slow in zip(DistillLoss._fields, told, expected, strict=True):
        assert abs(fast - slow) <= LOSS * max(1, slow), name
    for name in LEARNT:
        assert slopes[name].dtype == inputs[name].dtype and slopes[name].shape == inputs[name].shape
    for name, terms in terms_of(inputs, weights, temperature).items():
        assert ((slopes[name] - expected_slopes[name]).abs() <= TERMS * terms).all(), name
    slope, exact = slopes["student.tokens"], expected_slopes["student.tokens"]
    allowed = GRADIENT if slope.dtype == torch.float32 else GRADIENT_BFLOAT16
    if slope.numel():
        assert (slope - exact).abs().max() <= allowed * exact.abs().max(), "student.tokens"


@settings(max_examples=25)
@given(
    batch=st.integers(1, 4),
    length=st.integers(1, 9),
    width=st.sampled_from([16, 17, 100, 192, 1030]),
    numbers=st.integers(1, 7),
    kind=st.sampled_from(["mse", "cosine"]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
    prefix=st.integers(0, 9),
)
# the teacher's pull and the target's cancel: the gradient of the scalar is a hundredth of its terms
@example(batch=1, length=9, width=17, numbers=1, kind="mse", dtype=torch.float32, seed=65, prefix=0)
def test_any_size_gives_the_references_losses_and_gradients(
    batch: int, length: int, width: int, numbers: int, kind: str, dtype: torch.dtype, seed: int, prefix: int
):
    inputs = made(batch, length, width, numbers, seed, dtype)
    weights = DistillWeights(2.0, 0.5, 1.5, 0.7, 0.3, 0.9)
    assert_is_the_references(inputs, weights, 1.7, prefix=min(prefix, length), kind=kind)


@pytest.mark.parametrize("kind", ["mse", "cosine"])
@pytest.mark.parametrize("width", [1, 3])
def test_tokens_of_few_entries(width: int, kind: str):
    """A layer norm of one entry is 0, a cosine of one entry ±1: their gradients are rounding alone."""
    inputs = made(3, 4, width)
    told, slopes = learnt(inputs, backend="triton", kind=kind)
    expected, exact = learnt(doubled(inputs), backend="reference", kind=kind)
    assert abs(told.total - expected.total) <= LOSS * expected.total
    apart = (slopes["student.tokens"] - exact["student.tokens"]).abs().max()
    assert apart <= 5e-6  # worst seen 1.1e-6, of terms up to 1


def test_the_tokens_of_a_vit_b():
    assert_is_the_references(made(1, 197, 768))


def test_more_pictures_than_a_program_of_samples_takes():
    inputs = made(300, 1, 8, seed=4)
    assert_is_the_references(inputs, prefix=0)
    assert distill_loss(**inputs, backend="triton").total.isfinite()


def test_nothing_in_the_batch_is_a_loss_of_zero_with_empty_gradients():
    for inputs in (made(0, 5, 8), made(2, 0, 8)):
        prefix = min(1, inputs["student.tokens"].shape[1])
        for backend in ("triton", "reference"):
            told, slopes = learnt(inputs, backend=backend, prefix=prefix)
            assert told.tokens_prefix == told.tokens_patch == 0 and told.total.isfinite()
            assert all(slopes[name].shape == inputs[name].shape for name in LEARNT)
    assert distill_loss(**made(0, 5, 8), backend="triton").total == 0


def test_extremes_stay_finite_and_follow_the_reference():
    inputs = made(4, 6, 40)
    inputs["student.tokens"][0] = 0  # no direction, no variance
    inputs["teacher.tokens"][1] = 0
    inputs["student.tokens"][2, 0] = 7
    inputs["student.tokens"][3] *= 1e6
    for name in ("student.scalar", "teacher.scalar", "student.thresholds"):
        inputs[name][:2] = inputs[name][:2].sign() * 1e4
    for kind in ("mse", "cosine"):
        told, slopes = learnt(inputs, backend="triton", kind=kind)
        expected, exact = learnt(doubled(inputs), backend="reference", kind=kind)
        assert abs(told.total - expected.total) <= LOSS * expected.total
        for name in LEARNT:
            assert slopes[name].isfinite().all(), name
            apart = (slopes[name] - exact[name]).abs().reshape(4, -1).amax(1)
            # Only the ε of the layer norm pulls the tokens of picture 1: terms of 1e-3 leave 4e-9, worst seen 4e-9 off.
            assert (apart <= GRADIENT * exact[name].abs().reshape(4, -1).amax(1) + 2e-8).all(), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_goes_over_the_teachers_tokens_if_they_are_given_away(dtype: torch.dtype):
    inputs = made(3, 7, 24, dtype=dtype)
    _, expected = learnt(inputs, backend="triton")
    before = inputs["teacher.tokens"].clone()
    assert torch.equal(before, inputs["teacher.tokens"])
    _, found = learnt(inputs, backend="triton", overwrite_teacher=True)
    assert all(torch.equal(found[name], expected[name]) for name in LEARNT)
    assert torch.equal(inputs["teacher.tokens"], expected["student.tokens"])
    with torch.no_grad():
        inputs["teacher.tokens"].copy_(before)
        distill_loss(**inputs, backend="triton", overwrite_teacher=True)
    assert torch.equal(inputs["teacher.tokens"], before)  # nobody asked for a gradient


def test_a_view_is_overwritten_and_nothing_beside_it():
    inputs = made(3, 7, 24)
    memory = torch.full((3, 24, 9), -7.0, device=DEVICE)
    view = memory[:, :, 1:8].transpose(1, 2)
    view.copy_(inputs["teacher.tokens"])
    _, expected = learnt(inputs, backend="triton")
    _, found = learnt(inputs | {"teacher.tokens": view}, backend="triton", overwrite_teacher=True)
    assert torch.equal(found["student.tokens"], expected["student.tokens"])
    assert (memory[:, :, [0, 8]] == -7).all()


def test_any_number_of_tokens_a_program_gives_the_same_gradient_and_writes_no_further():
    inputs = made(3, 7, 24)
    share = inputs["targets.weight"] / inputs["targets.weight"].sum()
    names = ("student.scalar", "teacher.scalar", "student.vector", "student.thresholds")
    values = Values(*(inputs[name] for name in (*names, "targets.scalar", "targets.vector")), share)
    options = DistillOptions(1, "mse", DistillWeights(), 2.0, SCALE, (5.0,) * 6, (1.0, 2.0, 3.0))
    found = []
    for tile in (TokenTile(1, 1, 32, 1, 1), TokenTile(4, 3, 8, 2, 1), TokenTile(16, 2, 16, 3, 2)):
        memory = torch.full((3 * 7 * 24 + 600,), -7.0, device=DEVICE)
        gradient = memory[300:-300].view(3, 7, 24)
        losses, logits = torch.empty(7, device=DEVICE), torch.full((5, 10), -7.0, device=DEVICE)
        launch_distill(
            losses, gradient, logits[1:4], inputs["student.tokens"], inputs["teacher.tokens"], values, options, tile
        )
        assert (memory[:300] == -7).all() and (memory[-300:] == -7).all()
        assert (logits[0] == -7).all() and (logits[4] == -7).all()
        found.append((gradient.clone(), losses))
    for gradient, losses in found[1:]:
        torch.testing.assert_close(gradient, found[0][0], rtol=1e-5, atol=1e-8)  # sums of a token in another order
        torch.testing.assert_close(losses, found[0][1], rtol=1e-6, atol=0)


def test_a_turn_holds_what_a_warp_can():
    assert token_tile(768)[:3] == (1, 3, 256) and token_tile(768).warps == 1
    assert token_tile(192)[:3] == (4, 3, 64)
    assert token_tile(384)[:3] == (2, 3, 128)
    assert token_tile(1536)[:3] == (1, 3, 512) and token_tile(1536).warps == 2
    assert token_tile(24)[:3] == (4, 1, 32)
    for width in (0, 1, 17, 100, 1030, 5000):
        tokens, chunks, block, _, warps = token_tile(width)
        assert chunks * block >= width and tokens * chunks * block <= 1024 * warps


def test_a_factor_of_one_touches_nothing_and_another_one_scales():
    gradient, logits = torch.randn(3, 50, 27, device=DEVICE), torch.randn(3, 10, device=DEVICE)
    before = gradient.clone()
    assert torch.equal(launch_scale(gradient, logits, torch.ones((), device=DEVICE)), logits)
    assert torch.equal(gradient, before)
    assert torch.equal(launch_scale(gradient, logits, torch.full((), -2.5, device=DEVICE)), logits * -2.5)
    assert torch.equal(gradient, before * -2.5)
    assert torch.equal(launch_scale(None, logits, torch.full((), 2.0, device=DEVICE)), logits * 2)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_backward_pass_raises(overwrite: bool):
    inputs = made(2, 3, 8)
    leaf = inputs["student.tokens"].requires_grad_()
    told = distill_loss(**inputs, overwrite_teacher=overwrite, backend="triton")
    told.total.backward(retain_graph=True)
    once = leaf.grad.clone()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        told.total.backward()
    assert torch.equal(leaf.grad, once)


def test_parts_have_no_gradient():
    inputs = made(2, 3, 8)
    inputs["student.tokens"].requires_grad_()
    told = distill_loss(**inputs, backend="triton")
    assert told.total.requires_grad and not any(part.requires_grad for part in told[1:])
    with pytest.raises(RuntimeError, match="does not require grad"):
        told.tokens_prefix.backward()


def test_who_asks_for_few_gradients_gets_these():
    inputs = made(2, 3, 8)
    _, expected = learnt(inputs, backend="triton")
    before = inputs["teacher.tokens"].clone()
    inputs["student.vector"].requires_grad_()
    (3 * distill_loss(**inputs, overwrite_teacher=True, backend="triton").total).backward()
    assert torch.equal(inputs["student.vector"].grad, expected["student.vector"])
    assert torch.equal(inputs["teacher.tokens"], before)  # its gradient was not asked for


def test_custom_ops_are_registered_soundly():
    inputs = distill_inputs(3, DEVICE)
    distill_loss(**inputs, backend="triton")  # loads the ops
    tokens = (inputs["student.tokens"], inputs["teacher.tokens"])
    names = ("student.scalar", "teacher.scalar", "student.vector", "student.thresholds")
    values = [inputs[name] for name in (*names, "targets.scalar", "targets.vector", "targets.weight")]
    given = (*tokens, values, 1, "mse", [1.0] * 6, 2.0, SCALE, [5.0] * 6, [1.0, 2.0, 3.0])
    ops = torch.ops.pain3d
    torch.library.opcheck(ops.distill_loss.default, (*given, True))
    torch.library.opcheck(ops.distill_loss.default, (*given, False))
    torch.library.opcheck(ops.distill_loss_over_teacher.default, given)


@pytest.mark.parametrize("overwrite", [False, True])
def test_compiled_with_its_backward_pass(overwrite: bool):
    inputs = made(2, 3, 8)
    _, expected = learnt(inputs, backend="triton")

    def step(tokens: Tensor, teacher: Tensor, vector: Tensor) -> Tensor:
        given = inputs | {"student.tokens": tokens * 1.0, "teacher.tokens": teacher, "student.vector": vector}
        return 3 * distill_loss(**given, overwrite_teacher=overwrite, backend="triton").total

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    leaves = [inputs[name].detach().requires_grad_() for name in ("student.tokens", "student.vector")]
    teacher = inputs["teacher.tokens"].clone()
    compiled(leaves[0], teacher, leaves[1]).backward()
    for leaf, name in zip(leaves, ("student.tokens", "student.vector"), strict=True):
        torch.testing.assert_close(leaf.grad, expected[name], rtol=1e-6, atol=1e-9)  # worst seen 0
    assert torch.equal(teacher, inputs["teacher.tokens"]) != overwrite


def test_no_weight_is_the_same_weight_for_all():
    inputs = made(4, 5, 24)
    _, expected = learnt(inputs | {"targets.weight": torch.ones(4, device=DEVICE)}, backend="triton")
    told, found = learnt(inputs | {"targets.weight": None}, backend="triton")
    assert all(torch.equal(found[name], expected[name]) for name in LEARNT)
    assert told.total == distill_loss(**(inputs | {"targets.weight": None}), backend="triton").total


def test_tokens_beside_others_have_the_same_bits():
    """Rows of a wider tensor, on 16 bytes or not: the order of a token's sums stays."""
    inputs = made(3, 7, 32, dtype=torch.bfloat16)
    _, expected = learnt(inputs, backend="triton")
    wide = torch.zeros(3, 7, 48, dtype=torch.bfloat16, device=DEVICE)
    for first in (0, 1, 16):
        there = wide[:, :, first : first + 32]
        there.copy_(inputs["teacher.tokens"])
        _, found = learnt(inputs | {"teacher.tokens": there}, backend="triton")
        assert torch.equal(found["student.tokens"], expected["student.tokens"])


def test_a_sample_has_the_same_bits_in_any_batch():
    inputs = made(4, 5, 24) | {"targets.weight": torch.tensor([0.5, 0.25, 0.125, 0.125], device=DEVICE)}
    _, expected = learnt(inputs, backend="triton")
    pair = {name: value[:2] if isinstance(value, Tensor) else value for name, value in inputs.items()}
    pair["targets.weight"] = torch.tensor([0.5, 0.5], device=DEVICE)
    _, found = learnt(pair, backend="triton")
    assert all(torch.equal(found[name][0], expected[name][0]) for name in LEARNT)
    assert torch.equal(found["student.tokens"][1], 2 * expected["student.tokens"][1])


def test_double_precision_is_the_references():
    inputs = distill_inputs(3, DEVICE, torch.float64)
    assert torch.equal(distill_loss(**inputs).total, distill_loss(**inputs, backend="reference").total)
    with pytest.raises(ValueError, match=r"distill_loss has no backend 'triton' \(available: reference\)"):
        distill_loss(**inputs, backend="triton")
