"""Knows what the rooms' launches and custom ops share: arithmetic, device, programs, the refusal of a gradient.

Nothing here imports triton: a room's ``kernel.py`` does, at the first call that needs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from pain3d.kernels._backend import interpreting

F = TypeVar("F", bound=Callable[..., Any])
# Of every launch. A compiler may fuse a product with a sum, rounded once, and does so differently for another block or
# where a size of 1 is compiled in. So it may not: what is fused says `tl.fma`, and bits depend on the formula alone.
UNFUSED = {"enable_fp_fusion": False}
WIDE = 1024  # lanes of an interpreted program: see `block_of`
_compiled: dict[tuple[object, ...], tuple[Any, list[str]]] = {}  # by `traits_of` a launch: kernel, names of constants


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Launch a Triton kernel on the current device and stream: ``kernel[grid](*arguments, **constants)``, unfused.

    Triton looks at every argument, every option and every global of a kernel at each launch. Here a launch of plain
    CUDA tensors starts the kernel that one of the same traits compiled, with addresses in the place of tensors.

    Args:
        kernel: Of `triton.jit`.
        grid: One to three numbers of programs.
        arguments: Tensors, numbers, None, and tuples of them: all that the kernel takes but its constants.
        constants: The kernel's constants by name, and options of the compiler.
    """
    traits: list[object] = []
    given = _addressed(arguments, traits)
    if given is None:
        kernel[grid](*arguments, **constants, **UNFUSED)
        return
    key = (kernel.fn, torch.cuda.current_device(), *constants.items(), *traits)
    kept = _compiled.get(key)
    if kept is None:
        compiled = kernel[grid](*arguments, **constants, **UNFUSED)
        _compiled[key] = compiled, kernel.arg_names[len(arguments) :]
    else:
        compiled, names = kept
        compiled[(*grid, 1, 1)[:3]](*given, *[constants[name] for name in names])


def _addressed(arguments: Sequence[Any], traits: list[object]) -> list[Any] | None:
    """Return the arguments with addresses in the place of tensors; None where one is no plain tensor on CUDA.

    Added to `traits` is what Triton may compile another kernel for, or more: which dtype, on 16 bytes or not; whether a
    whole number is 1, a multiple of 16, and how long; where a tuple begins and ends.
    """
    given: list[Any] = []
    for argument in arguments:
        kind = type(argument)
        if kind is Tensor:
            if not argument.is_cuda:
                return None
            address = argument.data_ptr()
            given.append(address)
            traits.append((argument.dtype,) if address % 16 else argument.dtype)
        elif kind is int:
            given.append(argument)
            bits = (argument ^ argument >> 63).bit_length()  # without the sign
            traits.append(-1 if argument == 1 else bits // 32 * 2 + (argument % 16 == 0))
        elif argument is None or kind is float or kind is bool:
            given.append(argument)
            traits.append(kind)
        elif isinstance(argument, tuple):
            traits.append(kind)
            inner = _addressed(argument, traits)
            if inner is None:
                return None
            given.append(tuple(inner))
            traits.append(...)
        else:
            return None
    return given


def on_device(tensor: Tensor) -> AbstractContextManager[object]:
    """Context in which launches go to the tensor's device; nothing for a CPU tensor (Triton's interpreter)."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def keeping_place(tensor: Tensor) -> tuple[str, int, int] | None:
    """Where what is made of the tensor now may be kept for a later call: its device and the current stream.

    None where it may not: while a CUDA graph is recorded, whose memory holds nothing until it is replayed, and under a
    tracer. Work of another stream would not wait for what is kept.
    """
    if is_observed((tensor,), differentiable=False):
        return None
    if not tensor.is_cuda:
        return "cpu", 0, 0
    if torch.cuda.is_current_stream_capturing():
        return None
    device = tensor.get_device()
    return "cuda", device, torch._C._cuda_getCurrentRawStream(device)


def cdiv(count: int, block: int) -> int:
    """How many blocks hold so many; `triton.cdiv`, which may also be called in a kernel, takes four microseconds."""
    return -(-count // block)


def power_of_two(least: int) -> int:
    """The least power of two that is at least so many, itself at least 1; likewise."""
    return 1 << (max(least, 1) - 1).bit_length()


def block_of(count: int, block: int) -> int:
    """Lanes of a program: `block`; in the interpreter, whose cost is per program, a thousand where a mesh has many.

    Args:
        count: Vertices or faces in all.
        block: Of a GPU.
    """
    return max(block, WIDE) if count > 4 * WIDE and interpreting() else block


def programs_on(tensor: Tensor, waves: int, interpreted: int) -> int:
    """How many programs a persistent kernel gets.

    Args:
        tensor: On the device of the launch.
        waves: Programs per multiprocessor.
        interpreted: Programs in the interpreter, which runs them one after the other.
    """
    if not tensor.is_cuda:
        return interpreted
    return waves * _multiprocessors(tensor.device)


@cache
def _multiprocessors(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


class CustomOp:
    """A torch custom op `pain3d::<name>`; where nobody traces and nothing needs a gradient, a call is its function's.

    `torch.library.custom_op` makes ops, too, but they go through torch's dispatcher in Python twice and have the memory
    of every result compared with that of every argument: of `render` half of the host's time. What torch needs of an
    op is here as well: schema, fake kernel, gradient, and the version counters of what the op writes over.

    Attributes:
        function: What the op computes.
        overload: The op as torch knows it, ``torch.ops.pain3d.<name>.default``.
    """

    def __init__(self, name: str, function: Callable[..., Any], schema: str, overwritten: tuple[int, ...]) -> None:
        """Register it; `overwritten` are the places of the arguments that it writes over."""
        self.function, self._overwritten = function, overwritten
        LIBRARY.define(  # type: ignore[no-untyped-call]
            name + schema, tags=(torch.Tag.pt2_compliant_tag,)
        )
        LIBRARY.impl(name, self._compute, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        self.overload: Any = getattr(torch.ops.pain3d, name).default
        OPS[f"pain3d::{name}"] = self

    def __call__(self, *arguments: Any) -> Any:
        """Compute, through torch's dispatcher only where somebody listens."""
        if is_observed(arguments):
            return self.overload(*arguments)
        return self._compute(*arguments)

    def _compute(self, *arguments: Any) -> Any:
        result = self.function(*arguments)
        for place in self._overwritten:
            torch.autograd.graph.increment_version(arguments[place])
        return result

    def register_fake(self, fake: F) -> F:
        """Take what a tracer calls in the op's place: the shapes of its results."""
        torch.library.register_fake(self.overload, fake, lib=LIBRARY)
        return fake

    def register_autograd(
        self, backward: Callable[..., Any], *, setup_context: Callable[..., Any] | None = None
    ) -> None:
        """Take the gradient, as `torch.library.register_autograd` does."""
        torch.library.register_autograd(self.overload, backward, setup_context=setup_context, lib=LIBRARY)


LIBRARY = torch.library.Library("pain3d", "FRAGMENT")  # type: ignore[no-untyped-call]
OPS: dict[str, CustomOp] = {}  # by full name


def custom_op(name: str, *, mutates_args: Sequence[str] = (), schema: str | None = None) -> Callable[[Any], CustomOp]:
    """Make a function the custom op `pain3d::<name>`; its launchers are imported in its body, at the first call.

    Args:
        name: Without the namespace.
        mutates_args: Names of the arguments that it writes over.
        schema: ``(Tensor x, …) -> Tensor``; None reads it from the function's annotations.
    """

    def register(function: Any) -> CustomOp:
        written = schema or torch.library.infer_schema(function, mutates_args=mutates_args)
        names = list(inspect.signature(function).parameters) if mutates_args else []
        return CustomOp(name, function, written, tuple(names.index(argument) for argument in mutates_args))

    return register


def is_observed(arguments: Iterable[Any], *, differentiable: bool = True) -> bool:
    """Whether torch's dispatcher has to see a call: under a tracer or a mode, of other tensors, for a gradient."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return True
    if torch._C._functorch.maybe_current_level() is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return True
    needs = differentiable and torch.is_grad_enabled()
    for argument in arguments:
        if isinstance(argument, Tensor):
            if type(argument) is not Tensor or (needs and argument.requires_grad):
                return True
        elif isinstance(argument, list) and is_observed(argument, differentiable=differentiable):
            return True
    return False


def refuse_gradient(op: CustomOp, room: str, *, twice: bool = False) -> None:
    """Make a backward pass through a custom op raise: none is not zero.

    Args:
        op: One without a gradient.
        room: Its name in the error.
        twice: The op is itself a backward pass: what is refused is the second derivative.
    """
    lacks = "second derivative" if twice else "gradient"

    def backward(ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(
            f"{room} has no {lacks} with backend 'triton': call it with backend='reference', which runs on any device"
        )

    op.register_autograd(backward)
