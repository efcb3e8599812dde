"""Knows a CUDA device that isn't there: tensors with values that claim to lie on ``cuda:0``, on a machine without one.

Inside `pretend_device` torch says that it has a CUDA device. What is made there or moved there is a `Pretend`: real
numbers in memory of the CPU behind a tensor whose device is another one, to torch as well as to us. So a whole command
can run, and what a GPU would refuse is refused, in torch's own words where torch says it before it looks for a kernel:
tensors of two devices in one op, an index on the device into a tensor of the CPU, `numpy` of a tensor on the device, a
generator of the other device. Triton kernels run in its interpreter, on the numbers behind.

Behind the curtain the device is torch's backend for extensions written in Python (``PrivateUse1``), to which every
question for ``cuda`` is translated. What a `Pretend` tells of itself is ``cuda:0``.
A process keeps that backend until it ends, so the walks have processes of their own (tests/training/walks.py).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from pain3d.kernels._triton import OPS
from tests.kernels.fake_device import waiting

NAME = "pretended"  # of the backend
THERE = "cuda:0"  # what it is called on this side of the curtain
# Memory here begins with zeros: a kernel that is only looked at leaves nothing in it, and what another reads as a place
# must not lead out of a tensor (the interpreter reads memory where it is told to).
EMPTY = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
MULTIPROCESSORS = 1  # in the interpreter programs run one after the other


class Pretend(Tensor):
    """A tensor that says it is on ``cuda:0``. Its numbers are in `held`, a plain tensor of the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Pretend:
        made: Any = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made  # type: ignore[no-any-return]

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device(THERE)

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {}, Counter())

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied._is_param = True
        memo[id(self)] = copied
        return copied

    def __repr__(self, **_: Any) -> str:
        return f"Pretend({self.held!r})"


Generator = torch.Generator  # the real one


class PretendGenerator(Generator):
    """A generator that says it is on ``cuda:0``."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return super().__new__(cls if torch.device(device).type == "cuda" else Generator)

    @property
    def device(self) -> torch.device:
        return torch.device(THERE)

    def manual_seed(self, seed: int) -> PretendGenerator:
        super().manual_seed(seed)
        return self


def run(func: Any, args: Any, kwargs: dict[str, Any], waits: Counter[str]) -> Any:
    """An op, on the numbers behind; what a GPU would refuse is refused."""
    if func.namespace == "pain3d":  # a custom op is entered: its launches shall see where its tensors lie
        with modes(waits):
            return OPS[func._schema.name].function(*args, **kwargs)
    leaves = tree_leaves((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, Pretend)]
    asked = kwargs.get("device")
    onto = is_there(asked) if asked is not None else bool(there)
    name = func._schema.name.removeprefix("aten::")
    if there:
        refuse_mixing(func, name, args, kwargs)
    owners = {id(leaf.held): leaf for leaf in there}
    plain_kwargs = dict(kwargs)
    if onto and asked is not None:
        plain_kwargs["device"] = torch.device("cpu")
    plain_kwargs.pop("pin_memory", None)
    plain_args, plain_kwargs = tree_map(behind, (args, plain_kwargs))
    if name == "_fused_sdp_choice":
        return 0  # written out, as the kernels behind the other choices are asked for by device
    result = func(*plain_args, **plain_kwargs)
    if onto and name in EMPTY:
        result.zero_()

    def back(value: Tensor) -> Tensor:
        if id(value) in owners:
            owner = owners[id(value)]
            if owner.shape != value.shape or owner.stride() != value.stride():
                raise NotImplementedError(f"{name} changes the shape of a tensor in place")
            return owner
        return Pretend(value) if onto and not isinstance(value, Pretend) else value

    return tree_map_only(Tensor, back, result)


def refuse_mixing(func: Any, name: str, args: Any, kwargs: Any) -> None:
    """Raise where a tensor of the CPU stands beside one of the device, but for numbers that only are read."""
    if name in ("copy_", "_to_copy"):
        return
    if name.startswith(("index.", "index_put", "_index_put")) or name == "index":
        if not isinstance(args[0], Pretend):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
                if any(isinstance(leaf, Pretend) for leaf in tree_leaves(args[1]))
                else f"{mixed(name)} (values)"
            )
        args = (args[0], *args[2:])  # an index may lie on the CPU
    for argument, value in zip(func._schema.arguments, args, strict=False):
        refuse_in(name, value, written=argument.alias_info is not None and argument.alias_info.is_write)
    written = {a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write}
    for key, value in kwargs.items():
        refuse_in(name, value, written=key in written)


def refuse_in(name: str, value: Any, *, written: bool) -> None:
    """Raise if an argument holds a tensor of the CPU that is more than a number to be read."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor) and not isinstance(leaf, Pretend) and (leaf.dim() or written):
            raise RuntimeError(mixed(name))


def mixed(name: str) -> str:
    return f"Expected all tensors to be on the same device, but found at least two devices, {THERE} and cpu! ({name})"


def is_there(device: Any) -> bool:
    return torch.device(device).type in (NAME, "cuda")


def waits_for(func: Any, args: Any, kwargs: Any) -> str | None:
    """Why the host would wait for the device in an op, if it would."""
    name = func._schema.name.removeprefix("aten::")
    if name == "_to_copy" and isinstance(args[0], Pretend) and not is_there(kwargs.get("device", THERE)):
        return "copy to the host"
    if name == "copy_" and isinstance(args[1], Pretend) and not isinstance(args[0], Pretend):
        return "copy to the host"
    return waiting(func, (args, kwargs))


class Ops(TorchDispatchMode):
    """Makes tensors on the device where an op asks for that, and counts where the host would wait for it."""

    def __init__(self, waits: Counter[str]) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(isinstance(leaf, Pretend) for leaf in tree_leaves((args, kwargs))):
            why = waits_for(func, args, kwargs)
            self.waits.update([why] if why is not None else [])
        return run(func, args, kwargs, self.waits)


FROM_DATA = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


class Questions(TorchFunctionMode):
    """Translates ``cuda`` in what torch is asked for; what is asked for on another CUDA device is refused."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.device:
            return func(*args, **kwargs)
        if func in (Tensor.pin_memory, Tensor.is_pinned):
            return args[0] if func is Tensor.pin_memory else True
        if func is Tensor.tolist:
            return args[0].cpu().tolist()
        if func is Tensor.cuda:
            func, args = Tensor.to, (args[0], torch.device(*args[1:] or ("cuda",)))
        kwargs.pop("pin_memory", None)
        if func in FROM_DATA:  # they make a tensor of the CPU and copy it, out of sight of all modes
            device = kwargs.pop("device", args[0].device if func is Tensor.new_tensor else None)
            made = (
                func(*args, **kwargs)
                if func is not Tensor.new_tensor
                else torch.tensor(*args[1:], **{"dtype": args[0].dtype} | kwargs)
            )
            return made if device is None else made.to(translated(device))
        if "device" in kwargs:
            kwargs["device"] = translated(kwargs["device"])
        if kwargs.get("generator") is not None:  # an op is told the numbers of a generator, not where it says it is
            onto = args[0].is_cuda if args and isinstance(args[0], Tensor) else is_there(kwargs.get("device") or "cpu")
            if onto != isinstance(kwargs["generator"], PretendGenerator):
                raise RuntimeError("Expected a generator of the tensor's device, got one of the other")
        if func is Tensor.to and isinstance(args[-1], str):
            args = (*args[:-1], translated(args[-1]))
        return func(*(translated(a) if isinstance(a, torch.device) else a for a in args), **kwargs)


def translated(device: Any) -> Any:
    """The device behind the curtain for one of CUDA; any other as it is."""
    if device is None or torch.device(device).type != "cuda":
        return device
    if torch.device(device).index not in (None, 0):
        raise RuntimeError("CUDA error: invalid device ordinal")
    return torch.device(NAME, 0)


@contextlib.contextmanager
def modes(waits: Counter[str]) -> Iterator[None]:
    """What a thread runs under."""
    with Questions(), Ops(waits):
        yield


class Event:
    """Of a stream whose work is done when it is asked for."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.at = 0.0

    def record(self, stream: Any = None) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, other: Event) -> float:
        return 1000 * (other.at - self.at)

    def query(self) -> bool:
        return True

    synchronize = wait = lambda self, *_: None


class Stream(contextlib.nullcontext[None]):
    """A stream whose work is done when it is asked for; also in the place of ``torch.cuda.stream`` and ``device``."""

    cuda_stream = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record()
        return event

    synchronize = wait_stream = wait_event = lambda self, *_: None
    query = lambda self: True  # noqa: E731


PROPERTIES = SimpleNamespace(
    multi_processor_count=MULTIPROCESSORS, total_memory=80 * 2**30, name="pretended", major=9, minor=0,
    max_threads_per_multi_processor=2048, shared_memory_per_block_optin=227 * 1024,
    shared_memory_per_multiprocessor=228 * 1024, regs_per_multiprocessor=65536, warp_size=32, L2_cache_size=50 * 2**20,
)  # fmt: skip
ANSWERS: dict[str, Any] = {  # of torch.cuda
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "init": lambda: None,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "set_device": translated,
    "synchronize": lambda device=None: None,
    "is_bf16_supported": lambda *_: False,  # autocast works by device behind the curtain and would do nothing
    "get_device_name": lambda device=None: PROPERTIES.name,
    "get_device_capability": lambda device=None: (9, 0),
    "get_device_properties": lambda device=None: PROPERTIES,
    "mem_get_info": lambda device=None: (80 * 2**30, 80 * 2**30),
    "memory_allocated": lambda device=None: 0,
    "max_memory_allocated": lambda device=None: 0,
    "reset_peak_memory_stats": lambda device=None: None,
    "empty_cache": lambda: None,
    "manual_seed": lambda seed: None,
    "manual_seed_all": lambda seed: None,
    "is_current_stream_capturing": lambda: False,
    "device": Stream,
    "stream": Stream,
    "Stream": Stream,
    "Event": Event,
    "current_stream": Stream,
    "default_stream": Stream,
}


@contextlib.contextmanager
def pretend_device(only_looked_at: Collection[str] = ()) -> Iterator[Counter[str]]:
    """A CUDA device for all that runs inside, threads that start there too.

    Args:
        only_looked_at: Triton kernels that don't run (the interpreter takes a millisecond a program): a launch looks at
            where its tensors lie, and what they hold is left as it is: zeros, where nothing was written before.

    Yields:
        How often the host waited for the device, by why, and how often each kernel was launched.
    """
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
    from triton.runtime.interpreter import GridExecutor

    if not hasattr(torch, NAME):
        _setup_privateuseone_for_python_backend(NAME)
    waits: Counter[str] = Counter()
    launched, started = GridExecutor.__call__, threading.Thread.run

    def launch(self: Any, *arguments: Any, **options: Any) -> Any:
        leaves = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        if len({isinstance(leaf, Pretend) for leaf in leaves}) > 1:
            raise ValueError("Pointer argument cannot be accessed from Triton (cpu tensor?)")
        waits[f"launch {self.fn.__name__}"] += 1
        if self.fn.__name__ in only_looked_at:
            return None
        return launched(self, *tree_map(behind, arguments), **tree_map(behind, options))

    def start(self: threading.Thread) -> None:
        with modes(waits):
            started(self)

    with contextlib.ExitStack() as stack:
        for name, answer in ANSWERS.items():
            stack.enter_context(patch.object(torch.cuda, name, answer))
        stack.enter_context(patch.object(torch, "Generator", PretendGenerator))
        stack.enter_context(patch.object(Tensor, "record_stream", lambda self, stream: None))
        stack.enter_context(patch.object(GridExecutor, "__call__", launch))
        stack.enter_context(patch.object(threading.Thread, "run", start))
        stack.enter_context(modes(waits))
        yield waits


def behind(leaf: Any) -> Any:
    """The numbers behind a tensor of the device; anything else as it is."""
    return leaf.held if isinstance(leaf, Pretend) else leaf
