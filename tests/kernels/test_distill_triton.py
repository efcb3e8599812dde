"""What only distillation on a GPU promises: every gradient the reference's, memory given away, one backward pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import DistillLoss, distill_loss
from pain3d.kernels.distillation.example import example_inputs
from pain3d.kernels.distillation.kernel import launch_distill, launch_scale, token_programs
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")
LEARNT = ("student_tokens", "student_pspi", "student_au", "student_binary")
# Of float32 against the reference in float64, of a loss of about 5: worst seen 1.1e-6, of a gradient by its greatest
# entry 5.1e-7; a GPU's roots and exponentials add 2 units in the last place to each.
LOSS, GRADIENT = 5e-6, 2e-6
GRADIENT_BFLOAT16 = 2**-6  # written, then scaled: the interpreter cuts off twice what a GPU rounds, 2^-7 of an entry


def made(
    batch: int, length: int, width: int, units: int = 6, seed: int = 0, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """Inputs of any size with a label in five unknown; tokens of `dtype`, whose values all later types can tell."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    inputs: dict[str, Any] = {
        "student_tokens": (3 * normal(batch, length, width) + 1).to(dtype),
        "teacher_tokens": normal(batch, length, width).to(dtype),
        "student_pspi": 3 * normal(batch),
        "teacher_pspi": 3 * normal(batch),
        "student_au": 3 * normal(batch, units).abs(),
        "student_binary": 3 * normal(batch, 3),
        "pspi": torch.randint(17, (batch,), generator=generator).float(),
        "au": torch.randint(6, (batch, units), generator=generator).float(),
        "weight": torch.rand(batch, generator=generator) + 0.1,
    }
    for name in ("pspi", "au"):
        inputs[name][torch.rand(inputs[name].shape, generator=generator) < 0.2] = math.nan
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


def learnt(inputs: dict[str, Any], **options: Any) -> tuple[DistillLoss, dict[str, Tensor]]:
    """The loss, and the gradients of three times it: a factor that the backward pass has to apply."""
    leaves = {name: inputs[name].detach().requires_grad_() for name in LEARNT}
    told = distill_loss(**(inputs | leaves), **options)
    (3 * told.total).backward()
    return told, {name: leaf.grad for name, leaf in leaves.items()}


def assert_is_the_references(inputs: dict[str, Any], **options: Any) -> None:
    exact = {name: tensor.double() for name, tensor in inputs.items()}
    expected, expected_slopes = learnt(exact, backend="reference", **options)
    told, slopes = learnt(inputs, backend="triton", **options)
    for name, fast, slow in zip(DistillLoss._fields, told, expected, strict=True):
        assert abs(fast - slow) <= LOSS * max(1, slow), name
    for name in LEARNT:
        assert slopes[name].dtype == inputs[name].dtype and slopes[name].shape == inputs[name].shape
        allowed = GRADIENT if slopes[name].dtype == torch.float32 else GRADIENT_BFLOAT16
        if slopes[name].numel():
            apart = (slopes[name] - expected_slopes[name]).abs().max()
            assert apart <= allowed * expected_slopes[name].abs().max(), name


@settings(max_examples=25)
@given(
    batch=st.integers(1, 4),
    length=st.integers(1, 9),
    width=st.sampled_from([16, 17, 100, 192, 1030]),
    units=st.integers(1, 7),
    kind=st.sampled_from(["mse", "cosine"]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_any_size_gives_the_references_losses_and_gradients(
    batch: int, length: int, width: int, units: int, kind: str, dtype: torch.dtype, seed: int, data: st.DataObject
):
    inputs = made(batch, length, width, units, seed, dtype)
    prefix = data.draw(st.integers(0, length))
    weights = {"cls_weight": 2.0, "patch_weight": 0.5, "pspi_weight": 1.5, "au_weight": 0.7, "binary_weight": 0.3}
    scale = tuple(1.0 + unit for unit in range(units))
    assert_is_the_references(
        inputs, prefix=prefix, kind=kind, au_scale=scale, temperature=1.7, kd_weight=0.9, **weights
    )


@pytest.mark.parametrize("kind", ["mse", "cosine"])
@pytest.mark.parametrize("width", [1, 3])
def test_tokens_of_few_entries(width: int, kind: str):
    """A layer norm of one entry is 0, a cosine of one entry ±1: their gradients are rounding alone."""
    inputs = made(3, 4, width)
    told, slopes = learnt(inputs, backend="triton", kind=kind)
    expected, exact = learnt({name: t.double() for name, t in inputs.items()}, backend="reference", kind=kind)
    assert abs(told.total - expected.total) <= LOSS * expected.total
    apart = (slopes["student_tokens"] - exact["student_tokens"]).abs().max()
    assert apart <= 5e-6  # worst seen 1.1e-6, of terms up to 1


def test_the_tokens_of_a_vit_b():
    assert_is_the_references(made(1, 197, 768))


def test_more_pictures_than_one_turn_of_the_second_launch():
    inputs = made(300, 1, 8, seed=4)
    assert_is_the_references(inputs, prefix=0)
    assert distill_loss(**inputs, backend="triton").total.isfinite()


def test_nothing_in_the_batch_is_a_loss_of_zero_with_empty_gradients():
    for inputs in (made(0, 5, 8), made(2, 0, 8)):
        prefix = min(1, inputs["student_tokens"].shape[1])
        for backend in ("triton", "reference"):
            told, slopes = learnt(inputs, backend=backend, prefix=prefix)
            assert told.tokens_cls == told.tokens_patch == 0 and told.total.isfinite()
            assert all(slopes[name].shape == inputs[name].shape for name in LEARNT)
    assert distill_loss(**made(0, 5, 8), backend="triton").total == 0


def test_extremes_stay_finite_and_follow_the_reference():
    inputs = made(4, 6, 40)
    inputs["student_tokens"][0] = 0  # no direction, no variance
    inputs["teacher_tokens"][1] = 0
    inputs["student_tokens"][2, 0] = 7
    inputs["student_tokens"][3] *= 1e6
    for name in ("student_pspi", "teacher_pspi", "student_binary"):
        inputs[name][:2] = inputs[name][:2].sign() * 1e4
    for kind in ("mse", "cosine"):
        told, slopes = learnt(inputs, backend="triton", kind=kind)
        expected, exact = learnt({name: t.double() for name, t in inputs.items()}, backend="reference", kind=kind)
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
    before = inputs["teacher_tokens"].clone()
    assert torch.equal(before, inputs["teacher_tokens"])
    _, found = learnt(inputs, backend="triton", overwrite_teacher=True)
    assert all(torch.equal(found[name], expected[name]) for name in LEARNT)
    assert torch.equal(inputs["teacher_tokens"], expected["student_tokens"])
    with torch.no_grad():
        inputs["teacher_tokens"].copy_(before)
        distill_loss(**inputs, backend="triton", overwrite_teacher=True)
    assert torch.equal(inputs["teacher_tokens"], before)  # nobody asked for a gradient


def test_a_view_is_overwritten_and_nothing_beside_it():
    inputs = made(3, 7, 24)
    memory = torch.full((3, 24, 9), -7.0, device=DEVICE)
    view = memory[:, :, 1:8].transpose(1, 2)
    view.copy_(inputs["teacher_tokens"])
    _, expected = learnt(inputs, backend="triton")
    _, found = learnt(inputs | {"teacher_tokens": view}, backend="triton", overwrite_teacher=True)
    assert torch.equal(found["student_tokens"], expected["student_tokens"])
    assert (memory[:, :, [0, 8]] == -7).all()


def test_any_number_of_tokens_a_program_gives_the_same_gradient_and_writes_no_further():
    inputs = made(3, 7, 24)
    share = inputs["weight"] / inputs["weight"].sum()
    labels = [inputs[name] for name in ("student_pspi", "teacher_pspi", "student_au", "student_binary", "pspi", "au")]
    found = []
    for most in (1, 4, 64):
        memory = torch.full((3 * 7 * 24 + 600,), -7.0, device=DEVICE)
        gradient = memory[300:-300].view(3, 7, 24)
        losses, logits = torch.empty(7, device=DEVICE), torch.full((5, 10), -7.0, device=DEVICE)
        launch_distill(
            losses, gradient, logits[1:4], inputs["student_tokens"], inputs["teacher_tokens"], [*labels, share],
            prefix=1, kind="mse", weights=(1.0,) * 6, temperature=2.0, au_scale=(5.0,) * 6,
            thresholds=(1.0, 2.0, 3.0), most_tokens=most,
        )  # fmt: skip
        assert (memory[:300] == -7).all() and (memory[-300:] == -7).all()
        assert (logits[0] == -7).all() and (logits[4] == -7).all()
        found.append((gradient.clone(), losses))
    for gradient, losses in found[1:]:
        torch.testing.assert_close(gradient, found[0][0], rtol=1e-5, atol=1e-8)  # sums of a token in another order
        torch.testing.assert_close(losses, found[0][1], rtol=1e-6, atol=0)


def test_programs_hold_what_a_warp_can():
    assert token_programs(64 * 197, 768) == (64 * 197, 1, 1024, 1)
    assert token_programs(100, 192) == (25, 4, 256, 1)
    assert token_programs(10, 1536) == (10, 1, 2048, 2)
    assert token_programs(0, 768)[0] == 0


def test_a_factor_of_one_touches_nothing_and_another_one_scales():
    gradient = torch.randn(3, 50, device=DEVICE)
    before = gradient.clone()
    launch_scale(gradient, torch.ones((), device=DEVICE), block=64)
    assert torch.equal(gradient, before)
    launch_scale(gradient, torch.full((), -2.5, device=DEVICE), block=64)
    assert torch.equal(gradient, before * -2.5)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_backward_pass_raises(overwrite: bool):
    inputs = made(2, 3, 8)
    leaf = inputs["student_tokens"].requires_grad_()
    told = distill_loss(**inputs, overwrite_teacher=overwrite, backend="triton")
    told.total.backward(retain_graph=True)
    once = leaf.grad.clone()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        told.total.backward()
    assert torch.equal(leaf.grad, once)


def test_parts_have_no_gradient():
    inputs = made(2, 3, 8)
    inputs["student_tokens"].requires_grad_()
    told = distill_loss(**inputs, backend="triton")
    assert told.total.requires_grad and not any(part.requires_grad for part in told[1:])
    with pytest.raises(RuntimeError, match="does not require grad"):
        told.tokens_cls.backward()


def test_who_asks_for_few_gradients_gets_these():
    inputs = made(2, 3, 8)
    _, expected = learnt(inputs, backend="triton")
    before = inputs["teacher_tokens"].clone()
    inputs["student_au"].requires_grad_()
    (3 * distill_loss(**inputs, overwrite_teacher=True, backend="triton").total).backward()
    assert torch.equal(inputs["student_au"].grad, expected["student_au"])
    assert torch.equal(inputs["teacher_tokens"], before)  # its gradient was not asked for


def test_custom_ops_are_registered_soundly():
    values = list(example_inputs(3, DEVICE).values())
    options = (1, "mse", [1.0] * 6, 2.0, [5.0] * 6, [1.0, 2.0, 3.0])
    distill_loss(**example_inputs(3, DEVICE), backend="triton")  # loads the ops
    ops = torch.ops.pain3d
    torch.library.opcheck(ops.distill_loss.default, (*values, *options, True))
    torch.library.opcheck(ops.distill_loss.default, (*values, *options, False))
    torch.library.opcheck(ops.distill_loss_over_teacher.default, (*values, *options))
    losses, tokens, logits = ops.distill_loss(*values, *options, True)
    student = [values[at].requires_grad_() for at in (0, 2, 4, 5)]
    torch.library.opcheck(
        ops.distill_total.default,
        (losses, *student, tokens, logits),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),  # compiled: the next test
    )
    torch.library.opcheck(ops.distill_scale.default, (tokens.clone(), torch.full((), 2.0, device=DEVICE)))


@pytest.mark.parametrize("overwrite", [False, True])
def test_compiled_with_its_backward_pass(overwrite: bool):
    inputs = made(2, 3, 8)
    _, expected = learnt(inputs, backend="triton")

    def step(tokens: Tensor, teacher: Tensor, au: Tensor) -> Tensor:
        given = inputs | {"student_tokens": tokens * 1.0, "teacher_tokens": teacher, "student_au": au}
        return 3 * distill_loss(**given, overwrite_teacher=overwrite, backend="triton").total

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    leaves = [inputs[name].detach().requires_grad_() for name in ("student_tokens", "student_au")]
    teacher = inputs["teacher_tokens"].clone()
    compiled(leaves[0], teacher, leaves[1]).backward()
    for leaf, name in zip(leaves, ("student_tokens", "student_au"), strict=True):
        torch.testing.assert_close(leaf.grad, expected[name], rtol=1e-6, atol=1e-9)  # worst seen 0
    assert torch.equal(teacher, inputs["teacher_tokens"]) != overwrite


def test_double_precision_is_the_references():
    inputs = example_inputs(3, DEVICE, torch.float64)
    assert torch.equal(distill_loss(**inputs).total, distill_loss(**inputs, backend="reference").total)
    with pytest.raises(ValueError, match=r"distill_loss has no backend 'triton' \(available: reference\)"):
        distill_loss(**inputs, backend="triton")
