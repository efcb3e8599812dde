"""No room waits for the device or mixes it with the CPU on its Triton path, as far as torch can see without one."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from pain3d.kernels._triton import custom_op
from tests.kernels.fake_device import BY_OPS, indexed, observe, write_indexed
from tests.kernels.fake_device import __file__ as SCRIPT
from tests.kernels.rooms import ROOMS

WITH_TRITON = [room.name for room in ROOMS if "triton" in room.backends]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each call of each room did on fake CUDA tensors, in a process of its own."""
    folder = tmp_path_factory.mktemp("fake")
    done = subprocess.run([sys.executable, SCRIPT], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("room", WITH_TRITON)
def test_nothing_waits_or_crosses(room: str, seen: list[dict]) -> None:
    calls = [call for call in seen if call["call"].partition(":")[0] == room]
    assert calls
    for call in calls:
        print(call["call"], call["ops"])
        assert not call["objections"], call["call"]
        assert any(name.startswith("launch ") for name in call["ops"]), f"{call['call']} launches nothing"


@custom_op("sneaks_a_table_in")
def sneaks_a_table_in(x: Tensor) -> Tensor:
    return x + torch.tensor([1.0, 2.0, 3.0, 4.0], device=x.device)


@custom_op("promises_too_much")
def promises_too_much(x: Tensor) -> Tensor:
    return x[:2].clone()


for op in (sneaks_a_table_in, promises_too_much):
    op.register_fake(torch.empty_like)


@pytest.mark.parametrize(
    ("op", "objection"),
    [
        (lambda x: x.sum().item(), "_local_scalar_dense"),
        (lambda x: x[x > 0], "mask"),
        (lambda x: torch.ops.aten.nonzero(x), "nonzero"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x.unique(), "unique"),
        (lambda x: x.repeat_interleave(x.long()), "repeat_interleave"),
        (lambda x: x + torch.ones(4), "cuda:0 and cpu"),
        (lambda x: x[torch.arange(4)], "index"),
        (lambda x: x.cpu(), "crosses cpu and cuda"),
        (lambda x: torch.tensor([1.0, 2.0], device="cuda"), "crosses cpu and cuda"),
        (sneaks_a_table_in.overload, "crosses cpu and cuda"),
        (promises_too_much.overload, "the fake kernel says"),
    ],
)
def test_what_waits_or_crosses_is_seen(
    op: Callable[[Tensor], object], objection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "__getitem__", BY_OPS["__getitem__"])
    for watch in observe(op, {"x": torch.ones(4)}, FakeTensorMode()):
        assert any(objection in text for text in watch.objections), watch.objections


@pytest.mark.parametrize(
    "index",
    [1, slice(1, None, 2), None, ..., (..., 0), (0, None, slice(2)), (slice(None), torch.tensor([1, 0]))],
    ids=str,
)
def test_indexing_by_ops_is_indexing(index: object) -> None:
    values = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(indexed(values, index), values[index])
    if not isinstance(index, tuple) or not any(isinstance(entry, Tensor) for entry in index):
        written, expected = values.clone(), values.clone()
        write_indexed(written, index, values[index] + 1)
        expected[index] = values[index] + 1
        assert torch.equal(written, expected)


def test_what_stays_on_the_device_is_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "__getitem__", BY_OPS["__getitem__"])
    for watch in observe(
        lambda x: torch.where(x > 0, x[..., :2].sum(), 0.0) * 2, {"x": torch.ones(4)}, FakeTensorMode()
    ):
        assert watch.objections == []
