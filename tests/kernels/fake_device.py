"""Knows which torch ops a room's Triton path runs, and what among them would make the host wait for the device.

    python tests/kernels/fake_device.py        prints them, room by room

The public ops are called with ``backend="triton"`` on fake tensors of a CUDA device that need not exist: each has a
shape, a dtype and a device, and no values. Custom ops are entered, their launchers run, and a launch looks only at
where its tensors lie. So a tensor of the CPU that sneaks in is seen, and so is whatever needs to know a value.
A process of its own runs this: what a room keeps for a device (a table, a buffer) holds fake tensors from then on.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from pain3d.kernels._triton import OPS

# Their results have a size or a value that the host must read from the device before it can go on.
WAITING = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "nonzero_static",
    "unique_consecutive",
    "unique_dim",
    "_unique",
    "_unique2",
}


def waiting(op: Any, arguments: Any) -> str | None:
    """Why the host would wait for the device in an op, if it would."""
    name = op._schema.name.removeprefix("aten::")
    tensors = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
    if name in WAITING:
        return f"{name}: the host waits for the device"
    if name == "repeat_interleave" and len(tree_leaves(arguments)) == 1:
        return "repeat_interleave without output_size: the host waits for the device"
    if name.startswith("index") and any(tensor.dtype == torch.bool for tensor in tensors[1:]):
        return f"{name} by a mask: the host waits for the device"
    return None


def crossing(op: Any, arguments: Any, result: Any) -> str | None:
    """Which devices an op mixes, if it does; numbers in tensors without dimensions may come from anywhere."""
    tensors = [leaf for leaf in tree_leaves((arguments, result)) if isinstance(leaf, Tensor)]
    devices = sorted({tensor.device.type for tensor in tensors if tensor.dim()})
    return f"{op._schema.name.removeprefix('aten::')}: crosses {' and '.join(devices)}" if devices[1:] else None


class Watch(TorchDispatchMode):
    """Counts the torch ops that run inside it, steps into pain3d's own, and keeps the objections."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: Counter[str] = Counter()
        self.objections: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(func)
        if func.namespace != "prim":  # prim.device is a question, no work
            self.ops[name] += 1
        if func.namespace != "pain3d":
            before = waiting(func, (args, kwargs))
            self.objections += [before] if before else []
            result = func(*args, **kwargs)
            after = crossing(func, (args, kwargs), result)
            self.objections += [after] if after else []
            return result
        promised = func(*args, **kwargs)  # by the fake kernel, since the tensors are fake
        with self:
            result = OPS[func._schema.name].function(*args, **kwargs)
        if (said := described(promised)) != (kept := described(result)):
            self.objections.append(f"{name}: the fake kernel says {said}, the op returns {kept}")
        return result


def described(result: Any) -> list[tuple[Any, ...]]:
    """Shape, strides, dtype and device of each tensor of a result."""
    tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    return [(tuple(tensor.shape), tensor.stride(), str(tensor.dtype), tensor.device.type) for tensor in tensors]


@contextlib.contextmanager
def no_launches(watch: Watch) -> Iterator[None]:
    """Replace every launch by a look at where its tensors lie, and what is asked of the device by an answer."""
    from triton.runtime.jit import JITFunction

    def look(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> None:
        watch.ops[f"launch {self.fn.__name__}"] += 1
        if min(self.constexprs, default=len(arguments)) < len(arguments):
            watch.objections.append(f"launch {self.fn.__name__}: a constant is not given by name")
        if missing := [name for name in self.arg_names[len(arguments) :] if name not in options]:
            watch.objections.append(f"launch {self.fn.__name__}: nobody gives {missing}")
        for tensor in tree_leaves(arguments):
            if isinstance(tensor, Tensor) and tensor.device.type != "cuda":
                watch.objections.append(f"launch {self.fn.__name__}: a tensor {list(tensor.shape)} is on the CPU")

    answers = {
        (JITFunction, "run"): look,
        (Tensor, "data_ptr"): lambda tensor: 0,
        (torch.cuda, "device"): contextlib.nullcontext,
        (torch.cuda, "get_device_properties"): lambda device=None: SimpleNamespace(multi_processor_count=132),
    }
    with contextlib.ExitStack() as stack:
        for (where, name), answer in answers.items():
            stack.enter_context(patch.object(where, name, answer))
        yield


def indexed(tensor: Tensor, index: Any) -> Tensor:
    """`tensor[index]`, by ops alone."""
    entries = index if isinstance(index, tuple) else (index,)
    free = tensor.dim() - sum(entry is not None and entry is not Ellipsis for entry in entries)
    at, gathered = 0, {}
    for entry in entries:
        if entry is None:
            tensor, at = tensor.unsqueeze(at), at + 1
        elif entry is Ellipsis:
            at += free
        elif isinstance(entry, int):
            tensor = tensor.select(at, entry)
        elif isinstance(entry, slice):
            tensor = torch.ops.aten.slice.Tensor(tensor, at, entry.start, entry.stop, entry.step or 1)
            at += 1
        elif isinstance(entry, Tensor):
            gathered[at], at = entry, at + 1
        else:
            raise TypeError(f"an index of type {type(entry).__name__} is copied to the device")
    if gathered:
        tensor = torch.ops.aten.index.Tensor(tensor, [gathered.get(dim) for dim in range(max(gathered) + 1)])
    return tensor


def write_indexed(tensor: Tensor, index: Any, value: Any) -> None:
    """`tensor[index] = value`, by ops alone; no index may be a tensor."""
    target = indexed(tensor, index)
    torch.ops.aten.copy_.default(target, value) if isinstance(value, Tensor) else target.fill_(value)


# Methods that ask for the device before they call an op. A torch without CUDA has none and refuses.
BY_OPS = {
    "__getitem__": indexed,
    "__setitem__": write_indexed,
    "contiguous": lambda tensor: torch.ops.aten.contiguous.default(tensor),
    "copy_": lambda tensor, source: torch.ops.aten.copy_.default(tensor, source),
}


def observe(op: Callable[..., Any], inputs: dict[str, Any], mode: FakeTensorMode) -> tuple[Watch, Watch]:
    """Call an op twice on fake CUDA tensors of the shapes of its inputs; return what was seen each time."""

    def fake(tensor: Tensor) -> Tensor:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")

    seen = Watch(), Watch()
    for watch in seen:
        with mode, no_launches(watch):
            there = tree_map_only(Tensor, fake, inputs)
            with watch:
                try:
                    op(**there)
                except Exception as error:
                    watch.objections.append(f"{type(error).__name__}: {error}")
    return seen


def main() -> None:
    """Print one line of JSON per call: its name, the ops with how often each ran, and the objections.

    The first call of an op may prepare what it keeps for a device: its objections are told apart.
    """
    # Beside this file, which runs as a script: its folder is on the path.
    from calls import calls
    from compile_offline import isolate, kernel_modules

    isolate()
    for module in kernel_modules():
        importlib.import_module(module)
    made = list(calls())
    for name, method in BY_OPS.items() if not torch.backends.cuda.is_built() else ():
        setattr(Tensor, name, method)
    mode = FakeTensorMode()
    for name, op, inputs in made:
        first, again = observe(op, inputs, mode)
        once = [text for text in first.objections if text not in again.objections]
        ops = dict(sorted(again.ops.items()))
        print(json.dumps({"call": name, "ops": ops, "objections": again.objections, "first": once}))


if __name__ == "__main__":
    main()
