"""A launch like an earlier one starts what that one compiled: what is like, and what is handed over."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from pain3d.kernels import _triton
from pain3d.kernels._triton import cdiv, launch, power_of_two


class Pair(NamedTuple):
    first: Any
    second: Any


class Compiled:
    """In the place of a compiled kernel: notes how it is started."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    def __getitem__(self, grid: Any) -> Any:
        return lambda *arguments: self.started.append((grid, arguments))


class Kernel:
    """In the place of what `triton.jit` returns: notes what reaches it."""

    arg_names = ("a", "b", "c", "SIDE", "CULL")

    def __init__(self) -> None:
        self.fn = lambda: None
        self.seen: list[Any] = []
        self.compiled: list[Compiled] = []

    def __getitem__(self, grid: Any) -> Any:
        def run(*arguments: Any, **constants: Any) -> Compiled:
            self.seen.append((grid, arguments, constants))
            self.compiled.append(Compiled())
            return self.compiled[-1]

        return run


@pytest.fixture
def on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors say that they are on CUDA; nobody asks them more."""
    monkeypatch.setattr(Tensor, "is_cuda", True, raising=False)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


def traits(argument: Any) -> list[object]:
    found: list[object] = []
    assert _triton._addressed((argument,), found) is not None
    return found


def test_launches_alike_compile_once(on_cuda: None) -> None:
    kernel, x = Kernel(), torch.zeros(8)
    launch(kernel, (5,), x, Pair(x, None), 7, CULL=True, SIDE=4, num_warps=2)
    others = torch.ones(8)
    launch(kernel, (6, 2), others, Pair(x, None), 9, CULL=True, SIDE=4, num_warps=2)
    assert kernel.seen == [
        ((5,), (x, Pair(x, None), 7), {"CULL": True, "SIDE": 4, "num_warps": 2, "enable_fp_fusion": False})
    ]
    addresses = (others.data_ptr(), (x.data_ptr(), None), 9)
    assert kernel.compiled[0].started == [((6, 2, 1), (*addresses, 4, True))]


@pytest.mark.parametrize(
    "change",
    [
        {"CULL": False},
        {"num_warps": 4},
        {"a": torch.zeros(9)[1:]},
        {"a": torch.zeros(8, dtype=torch.float64)},
        {"b": Pair(None, None)},
        {"b": None},
        {"c": 16},
        {"c": 1},
        {"c": 2**40},
        {"c": 7.0},
    ],
    ids=str,
)
def test_a_launch_that_differs_goes_through_triton(on_cuda: None, change: dict[str, Any]) -> None:
    kernel, x = Kernel(), torch.zeros(8)
    given: dict[str, Any] = {"a": x, "b": Pair(x, 3), "c": 7, "SIDE": 4, "CULL": True, "num_warps": 2}
    for each in (given, given | change):
        launch(kernel, (1,), *[each.pop(name) for name in "abc"], **each)
    assert len(kernel.seen) == 2 and not kernel.compiled[0].started


@pytest.mark.parametrize("tensor", [torch.zeros(4), torch.nn.Parameter(torch.zeros(4))], ids=["cpu", "parameter"])
def test_what_is_no_plain_tensor_on_cuda_goes_through_triton(tensor: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(tensor, torch.nn.Parameter):
        monkeypatch.setattr(Tensor, "is_cuda", True, raising=False)
    kernel = Kernel()
    for _ in range(2):
        launch(kernel, (1,), 3, (tensor, 4), 5.0, SIDE=4, CULL=True)
    assert len(kernel.seen) == 2 and not kernel.compiled[0].started


def _idle(x, pair, count, scale, nothing, CULL: tl.constexpr, SIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    pass  # the interpreter, once it ran, has put its own functions in the place of those that a kernel could call


def test_a_real_kernel_is_handed_the_same_either_way(
    on_cuda: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Triton compiles and starts it, then it is started past Triton; only the driver is not real."""
    started: list[tuple[Any, ...]] = []

    class Driver:
        utils = SimpleNamespace(
            load_binary=lambda *_: (1, 1, 32, 0, 1024), get_device_properties=lambda _: {"max_shared_mem": 1 << 16}
        )
        launcher_cls = staticmethod(lambda source, metadata: lambda *arguments: started.append(arguments))
        get_current_device = staticmethod(lambda: 0)
        get_current_stream = staticmethod(lambda device: 0)
        get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))

    monkeypatch.setattr(driver, "_active", Driver())
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, x, y = JITFunction(_idle), torch.zeros(8), torch.ones(8)
    for _ in range(2):
        launch(kernel, (3, 2), x, Pair(y, 16), 7, 0.5, None, CULL=True, SIDE=4, num_warps=2)
    (*front, _, _, _), (*past, _, _, _) = (call[:9] for call in started)  # metadata for a profiler, and two hooks
    assert front == past == [3, 2, 1, 0, 1, (2, 1, 0)]
    assert started[0][9:] == (x, Pair(y, 16), 7, 0.5, None, True, 4)
    assert started[1][9:] == (x.data_ptr(), (y.data_ptr(), 16), 7, 0.5, None, True, 4)


def test_what_triton_tells_apart_has_other_traits(on_cuda: None) -> None:
    """Of each pair of arguments; `native_specialize_impl` is what Triton asks at a launch."""
    from triton._C.libtriton import native_specialize_impl
    from triton.compiler import make_backend

    backend = type(make_backend(GPUTarget("cuda", 90, 32)))
    x = torch.zeros(40)
    numbers = (0, 1, 2, 15, 16, -1, -16, 2**31 - 16, 2**31 - 1, 2**31, 2**32, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63)
    tensors = (x, x[1:], x[4:], x.double(), x.int(), x[:0], x.to(torch.bfloat16))
    arguments = [*numbers, *tensors, 1.0, 0.5, True, False, None, (x, 1), (x, 2), Pair(x, 2), (x, (2,)), ((x, 2), None)]
    for one, other in combinations(arguments, 2):
        kinds = [native_specialize_impl(backend, argument, False, True, True) for argument in (one, other)]
        assert traits(one) != traits(other) or kinds[0] == kinds[1], (one, other)
    assert traits(5) == traits(7) and traits(32) == traits(64) and traits(x) == traits(x[4:])


def test_arithmetic_is_triton_s() -> None:
    assert [cdiv(count, 32) for count in range(70)] == [triton.cdiv(count, 32) for count in range(70)]
    assert [power_of_two(least) for least in range(1, 70)] == [triton.next_power_of_2(n) for n in range(1, 70)]
    assert power_of_two(0) == 1
