"""What only the loss of distillation promises, by definition: values by hand, unknown targets, weights, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity

from pain3d.kernels import DistillLoss, DistillWeights
from tests.kernels.rooms import distill_inputs
from tests.kernels.rooms import flat_distill_loss as distill_loss

LEARNT = ("student.tokens", "student.scalar", "student.vector", "student.thresholds")
SCALE = (5.0, 5.0, 5.0, 5.0, 5.0, 1.0)


def doubled(size: int = 4, **options: object) -> dict[str, object]:
    return distill_inputs(size, dtype=torch.float64) | options


def gradients(inputs: dict, **options: object) -> dict[str, Tensor]:
    leaves = {name: inputs[name].clone().requires_grad_() for name in LEARNT}
    distill_loss(**(inputs | leaves), **options).total.backward()
    return {name: leaf.grad for name, leaf in leaves.items()}


def normalised(tokens: Tensor) -> Tensor:
    centred = tokens - tokens.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def test_every_part_by_hand():
    inputs = doubled(4)
    told = distill_loss(**inputs, prefix=2)
    share = inputs["targets.weight"] / inputs["targets.weight"].sum()
    apart = (normalised(inputs["student.tokens"]) - normalised(inputs["teacher.tokens"])).square().mean(-1)
    p, q = (torch.sigmoid(inputs[name] / 2) for name in ("teacher.scalar", "student.scalar"))
    wanted = (inputs["targets.scalar"][:, None] >= torch.tensor([1.0, 2.0, 3.0])).double()
    entropy = binary_cross_entropy_with_logits(inputs["student.thresholds"], wanted, reduction="none")
    expected = {
        "tokens_prefix": apart[:, :2].mean(1),
        "tokens_patch": apart[:, 2:].mean(1),
        "scalar": (inputs["student.scalar"].sigmoid() - inputs["targets.scalar"] / 16).square(),
        "vector": ((inputs["student.vector"] - inputs["targets.vector"]) / torch.tensor(SCALE)).square().mean(1),
        "thresholds": entropy.mean(1),
        "kd": 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()),
    }
    for name, values in expected.items():
        torch.testing.assert_close(getattr(told, name), (values * share).sum(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(told.total, sum(told[1:]), rtol=1e-12, atol=0)


def test_cosine_by_hand_and_a_token_without_direction():
    inputs = doubled(3, kind="cosine", **{"targets.weight": None})
    inputs["student.tokens"][0, 0] = 0
    told = distill_loss(**inputs)
    cosine = cosine_similarity(inputs["student.tokens"], inputs["teacher.tokens"], dim=-1)
    torch.testing.assert_close(told.tokens_prefix, 1 - cosine[:, 0].mean(), rtol=1e-12, atol=0)
    torch.testing.assert_close(told.tokens_patch, 1 - cosine[:, 1:].mean(), rtol=1e-12, atol=0)
    assert all(gradient.isfinite().all() for gradient in gradients(inputs).values())


def test_the_teachers_own_answers_cost_nothing():
    inputs = doubled(3)
    inputs["teacher.tokens"], inputs["teacher.scalar"] = (
        inputs["student.tokens"].clone(),
        inputs["student.scalar"].clone(),
    )
    for kind in ("mse", "cosine"):
        told = distill_loss(**inputs, kind=kind)
        assert abs(told.tokens_prefix) < 1e-15 and abs(told.tokens_patch) < 1e-15 and abs(told.kd) < 1e-15


def test_each_weight_scales_its_part_alone():
    inputs = doubled(3)
    parts = distill_loss(**inputs)
    for part in DistillWeights._fields:
        weights = DistillWeights(*(3.0 if other == part else 0.0 for other in DistillWeights._fields))
        told = distill_loss(**inputs, weights=weights)
        torch.testing.assert_close(told.total, 3 * getattr(parts, part), rtol=1e-12, atol=0)
        assert all(torch.equal(one, other) for one, other in zip(told[1:], parts[1:], strict=True))


def test_unknown_targets_count_nothing():
    inputs = doubled(4, **{"targets.weight": None})
    inputs["targets.scalar"][1] = math.nan
    inputs["targets.vector"][0, 2:4] = math.nan
    inputs["targets.vector"][2] = math.nan
    told, slopes = distill_loss(**inputs), gradients(inputs)
    errors = ((inputs["student.vector"] - inputs["targets.vector"]) / torch.tensor(SCALE)).square()
    known = [errors[0, [0, 1, 4, 5]].mean(), errors[1].mean(), errors[3].mean()]
    torch.testing.assert_close(told.vector, sum(known) / 4, rtol=1e-12, atol=0)
    kept = distill_loss(**{n: v[[0, 2, 3]] if isinstance(v, Tensor) else v for n, v in inputs.items()})
    torch.testing.assert_close(told.scalar, kept.scalar * 3 / 4, rtol=1e-12, atol=0)
    torch.testing.assert_close(told.thresholds, kept.thresholds * 3 / 4, rtol=1e-12, atol=0)
    assert told.total.isfinite() and all(slope.isfinite().all() for slope in slopes.values())
    assert not slopes["student.vector"][0, 2:4].any() and not slopes["student.vector"][2].any()
    assert (
        not slopes["student.thresholds"][1].any() and slopes["student.scalar"][1] != 0
    )  # the teacher's score is known


def test_only_ratios_of_weights_matter_and_none_is_all_the_same():
    inputs = doubled(4)
    once, thrice = distill_loss(**inputs), distill_loss(**(inputs | {"targets.weight": 3 * inputs["targets.weight"]}))
    torch.testing.assert_close(once.total, thrice.total, rtol=1e-12, atol=0)
    ones = distill_loss(**(inputs | {"targets.weight": torch.ones(4, dtype=torch.float64)}))
    torch.testing.assert_close(
        distill_loss(**(inputs | {"targets.weight": None})).total, ones.total, rtol=1e-12, atol=0
    )
    alone = distill_loss(**(inputs | {"targets.weight": torch.tensor([0.0, 0, 5, 0], dtype=torch.float64)}))
    third = distill_loss(**{n: v[2:3] if isinstance(v, Tensor) else v for n, v in inputs.items()})
    torch.testing.assert_close(alone.total, third.total, rtol=1e-12, atol=0)
    assert distill_loss(**(inputs | {"targets.weight": torch.zeros(4, dtype=torch.float64)})).total == 0


@pytest.mark.parametrize("prefix", [0, 1, 7])
def test_nothing_but_prefix_and_nothing_but_patches(prefix: int):
    told = distill_loss(**doubled(2), prefix=prefix)
    assert (told.tokens_prefix == 0) == (prefix == 0) and (told.tokens_patch == 0) == (prefix == 7)


def test_huge_logits_stay_finite():
    inputs = doubled(2)
    for name in ("student.scalar", "teacher.scalar", "student.thresholds"):
        inputs[name] = inputs[name].sign() * 1e4
    assert distill_loss(**inputs).total.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(inputs).values())


def test_only_the_total_has_a_gradient_and_only_the_student_gets_one():
    inputs = distill_inputs(2)
    tensors = {name: value.requires_grad_() for name, value in inputs.items() if isinstance(value, Tensor)}
    told = distill_loss(**inputs)
    assert isinstance(told, DistillLoss) and told.total.requires_grad
    assert not any(part.requires_grad for part in told[1:])
    told.total.backward()
    assert {name for name, value in tensors.items() if value.grad is not None} == set(LEARNT)


def test_bfloat16_tokens_and_logits_are_summed_in_float32():
    inputs = distill_inputs(5)
    predicted = ("student.", "teacher.")
    small = {name: value.bfloat16() if name.startswith(predicted) else value for name, value in inputs.items()}
    told = distill_loss(**small)
    assert all(part.dtype == torch.float32 for part in told)
    exact = distill_loss(**{n: v.double() if isinstance(v, Tensor) else v for n, v in small.items()})
    torch.testing.assert_close(told.total.double(), exact.total, rtol=1e-6, atol=0)  # worst seen 1.2e-7
    assert gradients(small)["student.tokens"].dtype == gradients(small)["student.vector"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "l1"}, "kind must be one of mse, cosine, got 'l1'"),
        ({"prefix": 8}, r"prefix must lie in 0 … 7 \(L\), got 8"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"scalar_scale": 0.0}, "scalar_scale must be above 0, got 0.0"),
        ({"vector_scale": (5.0,)}, r"vector_scale must be 6 numbers above 0 \(K\), got \(5.0,\)"),
        ({"vector_scale": (5.0,) * 5 + (0.0,)}, "vector_scale must be 6 numbers above 0"),
        ({"thresholds": (1.0,)}, r"thresholds must be 3 numbers \(T\), got \(1.0,\)"),
        ({"backend": "cpu"}, r"distill_loss has no backend 'cpu' \(available: reference, triton\)"),
    ],
)
def test_options_are_checked(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        distill_loss(**(distill_inputs(2) | options))


def test_dtypes_do_not_mix_in_silence():
    inputs = distill_inputs(2)
    with pytest.raises(ValueError, match=r"teacher\.tokens must be float32, got bfloat16"):
        distill_loss(**(inputs | {"teacher.tokens": inputs["teacher.tokens"].bfloat16()}))
    with pytest.raises(ValueError, match=r"student\.vector must be float32 or bfloat16, got float64"):
        distill_loss(**(inputs | {"student.vector": inputs["student.vector"].double()}))
    with pytest.raises(ValueError, match=r"targets\.weight must be float32, got float64"):
        distill_loss(**(inputs | {"targets.weight": inputs["targets.weight"].double()}))


def test_tokens_that_are_not_the_teachers_own_are_not_given_away():
    inputs = distill_inputs(2)
    before = inputs["teacher.tokens"].clone()
    distill_loss(**inputs, overwrite_teacher=True, backend="reference")
    assert torch.equal(inputs["teacher.tokens"], before)  # the reference has no use for them
    shared = inputs["teacher.tokens"][:1].expand(2, -1, -1)
    for teacher in (shared, inputs["teacher.tokens"].clone().requires_grad_()):
        with pytest.raises(ValueError, match=r"teacher\.tokens can't be overwritten"):
            distill_loss(**(inputs | {"teacher.tokens": teacher}), overwrite_teacher=True)
