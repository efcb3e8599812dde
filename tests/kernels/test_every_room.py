"""The contract of all rooms. A new room gets all of it by one line in `rooms.py`."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import Mipmaps, use_backend
from tests.kernels.rooms import ROOMS, Room, device_of

every_room = pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
every_backend = pytest.mark.parametrize(
    ("room", "backend"),
    [
        pytest.param(room, backend, id=f"{room.name}-{backend}")
        for room in ROOMS
        for backend in ("reference", *room.backends)
    ],
)
every_fast_backend = pytest.mark.parametrize(
    ("room", "backend"),
    [pytest.param(room, backend, id=f"{room.name}-{backend}") for room in ROOMS for backend in room.backends],
)


def tensors_of(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [part for part in result if isinstance(part, Tensor)]


def changed(inputs: dict[str, Any], change: Any, only: tuple[str, ...] | None = None) -> dict[str, Any]:
    return {
        name: change(value) if isinstance(value, Tensor) and (only is None or name in only) else value
        for name, value in inputs.items()
    }


@cache
def example(room: Room, backend: str, seed: int) -> dict[str, Any]:
    """Inputs of a room; not to be changed."""
    return room.inputs(room.sizes[0], device_of(backend), seed=seed)


@cache
def answer(room: Room, backend: str, seed: int) -> list[Tensor]:
    """What a room makes of its example, once for all tests: the interpreter takes seconds. Not to be changed."""
    return tensors_of(room.op(**example(room, backend, seed), backend=backend))


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Fill torch.empty with NaN, so that an output nobody wrote shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@every_fast_backend
@pytest.mark.parametrize("seed", [0, 1])
def test_forward_equals_reference(room: Room, backend: str, seed: int):
    inputs = example(room, backend, seed)
    reference = tensors_of(room.op(**inputs, backend="reference"))
    for fast, slow in zip(answer(room, backend, seed), reference, strict=True):
        assert fast.dtype == slow.dtype and fast.shape == slow.shape
        allowed = 0.0 if fast.dtype in (torch.int32, torch.int64) else room.greatest_difference(backend)
        torch.testing.assert_close(fast.double(), slow.double(), rtol=0, atol=allowed, equal_nan=False)


@every_backend
def test_default_backend_gives_the_same_answer(room: Room, backend: str):
    inputs = example(room, backend, 0)
    fastest = "triton" if device_of(backend) == "cuda" else "cpu"
    expected = tensors_of(room.op(**inputs, backend=fastest if fastest in room.backends else "reference"))
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(room.op(**inputs)), expected, strict=True))
    with use_backend(backend):
        inside = tensors_of(room.op(**inputs))
    assert all(torch.equal(a, b) for a, b in zip(inside, answer(room, backend, 0), strict=True))


@every_room
def test_gradients_equal_finite_differences(room: Room):
    if not room.gradients:
        pytest.skip("no gradient that small steps can see: README")
    inputs = room.inputs(room.sizes[1], dtype=torch.float64)
    names = list(room.gradients)
    leaves = [inputs[name].clone().requires_grad_() for name in names]

    def call(*values: Tensor) -> Tensor:
        result = room.op(**(inputs | dict(zip(names, values, strict=True))))
        return result.texels if isinstance(result, Mipmaps) else result

    many = sum(leaf.numel() for leaf in leaves) > 2000  # then one random direction instead of every entry
    assert torch.autograd.gradcheck(call, leaves, eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=many)


@every_room
def test_who_needs_a_gradient_gets_one_by_default(room: Room):
    if not room.gradients:
        pytest.skip("no gradient")
    inputs = room.inputs(room.sizes[0])
    inputs[room.gradients[0]] = inputs[room.gradients[0]].clone().requires_grad_()
    tensors_of(room.op(**inputs))[0].sum().backward()
    assert torch.isfinite(inputs[room.gradients[0]].grad).all()
    for backend in set(room.backends) - set(room.with_gradient):
        there = room.inputs(room.sizes[0], device_of(backend))
        there[room.gradients[0]].requires_grad_()
        with pytest.raises(RuntimeError, match=rf"{room.name} can't run backend '{backend}'.*gradient.*available"):
            room.op(**there, backend=backend)


@pytest.mark.parametrize(
    ("room", "backend"),
    [pytest.param(room, backend, id=f"{room.name}-{backend}") for room in ROOMS for backend in room.with_gradient],
)
def test_gradients_of_a_backend_are_the_references(room: Room, backend: str):
    found = []
    for asked in (backend, "reference"):
        there = room.inputs(room.sizes[0], device_of(backend))
        leaves = [there[name].requires_grad_() for name in room.gradients]
        tensors_of(room.op(**there, backend=asked))[0].sum().backward()
        found.append([leaf.grad for leaf in leaves])
    for name, fast, slow in zip(room.gradients, *found, strict=True):
        allowed = room.greatest_difference(backend) + room.gradient_tolerance * slow.abs().max()
        assert (fast - slow).abs().max() <= allowed, name


@every_backend
def test_no_items(room: Room, backend: str):
    if not room.batched:
        pytest.skip("no batch")
    inputs = changed(room.inputs(room.sizes[0], device_of(backend)), lambda tensor: tensor[:0], room.batched)
    for tensor in tensors_of(room.op(**inputs, backend=backend)):
        assert tensor.shape[0] == 0 and tensor.numel() == 0


@every_backend
def test_one_item_alone_equals_that_item_in_the_batch(room: Room, backend: str):
    if not room.batched:
        pytest.skip("no batch")
    alone = changed(example(room, backend, 0), lambda tensor: tensor[1:2], room.batched)
    single = tensors_of(room.op(**alone, backend=backend))
    for one, all_ in zip(single, answer(room, backend, 0), strict=True):
        if backend != "reference" or not one.is_floating_point():
            assert torch.equal(one[0], all_[1])
        else:  # torch picks another matmul for another batch: worst seen 6e-8
            torch.testing.assert_close(one[0], all_[1], rtol=1e-6, atol=1e-6)


@every_backend
def test_strided_inputs(room: Room, backend: str):
    strided = changed(example(room, backend, 0), lambda tensor: torch.stack([tensor, tensor + 1], -1)[..., 0])
    for a, b in zip(tensors_of(room.op(**strided, backend=backend)), answer(room, backend, 0), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)  # torch may pick another matmul: worst seen 6e-8


@every_backend
def test_two_runs_are_bit_equal_and_leave_inputs_alone(room: Room, backend: str):
    first = answer(room, backend, 0)
    second = tensors_of(room.op(**example(room, backend, 0), backend=backend))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for name, value in room.inputs(room.sizes[0], device_of(backend)).items():
        if isinstance(value, Tensor):
            assert torch.equal(value, example(room, backend, 0)[name]), name


@every_backend
def test_no_nan(room: Room, backend: str):
    for tensor in answer(room, backend, 0):
        assert not tensor.isnan().any()


@every_room
def test_wrong_shape_names_the_argument(room: Room):
    inputs = room.inputs(room.sizes[0])
    for name, value in inputs.items():
        if not isinstance(value, Tensor):
            continue
        wrong = inputs | {name: value[..., None, None, None]}
        # the free middle dimensions of `shade` are bound by its first argument, so there the next one is blamed
        blamed = "|".join(inputs) if room.name == "shade" else name
        with pytest.raises(ValueError, match=rf"({blamed}) must be \[.*\], got \["):
            room.op(**wrong)


@every_room
def test_wrong_dtype_names_the_argument(room: Room):
    inputs = room.inputs(room.sizes[0])
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            with pytest.raises(ValueError, match=rf"{name} must be .*(float|int).*, got float16"):
                room.op(**(inputs | {name: value.to(torch.float16)}))


@every_room
def test_asked_backend_that_is_not_there_raises(room: Room):
    inputs = room.inputs(room.sizes[0])
    for backend in {"cpu", "triton"} - set(room.backends):
        with use_backend(backend), pytest.raises(ValueError, match=rf"{room.name} has no backend '{backend}' \(avail"):
            room.op(**inputs)


@pytest.mark.parametrize("room", [room for room in ROOMS if "triton" in room.backends], ids=lambda room: room.name)
def test_compiled_without_a_graph_break(room: Room):
    torch._dynamo.reset()
    compiled = torch.compile(partial(room.op, backend="triton"), fullgraph=True, backend="aot_eager")
    found = tensors_of(compiled(**example(room, "triton", 0)))
    for one, other in zip(found, answer(room, "triton", 0), strict=True):
        assert torch.equal(one, other)


def test_unknown_backend_is_refused_by_use_backend():
    with (
        pytest.raises(ValueError, match="backend must be one of reference, cpu, triton, nvdiffrast, got 'cuda'"),
        use_backend("cuda"),
    ):
        pass
