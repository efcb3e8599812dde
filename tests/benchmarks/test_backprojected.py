"""The case of back-projection: inputs by key, answers compared with float64, work counted by hand."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from benchmarks.backprojected import PROJECTORS, projection_workload
from benchmarks.check import Truth, check, truth_of
from benchmarks.counts import Work, count_work
from benchmarks.workload import Size, Workload


@pytest.fixture(scope="module")
def views() -> tuple[Workload, Truth]:
    made = projection_workload(Size(2, 48))
    return made, truth_of(made)


def test_inputs_are_those_of_the_seed_and_another_head_comes_next(views: tuple[Workload, Truth]) -> None:
    first, again = views[0], projection_workload(Size(2, 48))
    for name, tensor in first.ring[1].inputs.items():
        assert torch.equal(tensor, again.ring[1].inputs[name])
    for name in ("pictures", "depth", "vertices"):
        assert not torch.equal(first.ring[0].inputs[name], first.ring[1].inputs[name])


def test_what_each_backend_sees_is_the_references_and_a_wrong_answer_is_seen(views: tuple[Workload, Truth]) -> None:
    workload, truth = views
    assert truth.outputs["weights"].count_nonzero() > 500
    able = [each for each in PROJECTORS if each.why_not("cpu") is None]
    assert [each.name for each in able] == ["reference", "cpu"]
    for implementation in able:
        outputs: Mapping[str, Any] = implementation.start("backproject", workload)(0)
        right = check(implementation, workload, truth, outputs)
        assert right.passed and right.seen.startswith("100.0000% of texels"), right.seen
        for name in ("colours", "weights"):
            wrong = dict(outputs) | {name: outputs[name] * 1.05}
            assert not check(implementation, workload, truth, wrong).passed, name


def test_work_counted_by_hand(views: tuple[Workload, Truth]) -> None:
    known = int((views[0].ring[0].inputs["texel_faces"] >= 0).sum())
    assert 0 < known < 48 * 48
    assert count_work(views[0], 0.0) == Work(4 * 48 * 48 * (4 + 2 * 4), known * (30 + 2 * 32))
