"""The case of distillation: inputs by key, answers compared with float64, work counted by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from benchmarks.check import Truth, check, truth_of
from benchmarks.counts import Work, count_work
from benchmarks.distilled import DISTILLERS, Distiller, token_workload
from benchmarks.goals import goals
from benchmarks.implementation import Round
from benchmarks.workload import Size, Workload


@pytest.fixture(scope="module")
def tokens() -> tuple[Workload, Truth]:
    made = token_workload(Size(3, 32))
    return made, truth_of(made)


def test_inputs_are_those_of_the_seed_and_of_the_place_in_the_ring():
    first, second = token_workload(Size(2, 32)), token_workload(Size(2, 32))
    assert first.ring[0].inputs["student_tokens"].shape == (2, 5, 768)
    for name, tensor in first.ring[1].inputs.items():
        assert torch.equal(tensor, second.ring[1].inputs[name])
        assert not torch.equal(tensor, first.ring[0].inputs[name])


@dataclass
class Wrong(Distiller):
    """Forgets a little of one of the answers."""

    spoilt: str = ""

    def start(self, case: str, workload: Workload) -> Round:
        right = super().start(case, workload)

        def run(number: int) -> Mapping[str, Any]:
            outputs = dict(right(number))
            return outputs | {self.spoilt: outputs[self.spoilt] * 1.0001}

        return run


@pytest.mark.parametrize("spoilt", ["losses", "token_gradient", "logit_gradient"])
def test_a_wrong_answer_is_seen(spoilt: str, tokens: tuple[Workload, Truth]):
    eager = DISTILLERS[0]
    right = check(eager, *tokens, eager.start("distill", tokens[0])(0))
    assert right.passed and right.seen.startswith("losses within ")
    wrong = Wrong("wrong", "reference", "both", "", spoilt=spoilt)
    assert not check(wrong, *tokens, wrong.start("distill", tokens[0])(0)).passed


def test_what_is_given_away_are_copies(tokens: tuple[Workload, Truth]):
    workload = tokens[0]
    before = workload.ring[0].inputs["teacher_tokens"].clone()
    in_place = next(implementation for implementation in DISTILLERS if implementation.name == "triton-in-place")
    assert in_place.why_not("cpu") == "no CUDA device" and in_place.why_not("cuda") is None
    interpreted = Distiller("interpreted", "triton", "both", "", over_teacher=True)
    assert check(interpreted, *tokens, interpreted.start("distill", workload)(0)).passed
    assert torch.equal(workload.ring[0].inputs["teacher_tokens"], before)


def test_work_counted_by_hand(tokens: tuple[Workload, Truth]):
    entries = 3 * 5 * 768
    assert count_work(tokens[0], 0.0) == Work(3 * 4 * entries, 18 * entries)


def test_goals_of_the_loss(make_row: Any):
    where = {"case": "distill", "kind": "cuda", "size": "224x224", "batch": 512}
    given = [
        make_row("triton", 6e6, peak_bytes=2 * 10**8, **where),
        make_row("triton-in-place", 6e6, peak_bytes=10**7, **where),
        make_row("reference", 1e6, peak_bytes=10**9, **where),
    ]
    found = {goal.number: goal for goal in goals(given)}
    assert found["12a"].measured == 6 and found["12a"].met == "yes"
    assert found["12b"].measured == 100 and found["12b"].met == "yes"
    assert {goal.number: goal for goal in goals([])}["12a"].met == "not measured: no run on a CUDA device"
