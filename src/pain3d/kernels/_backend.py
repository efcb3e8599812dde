"""Knows which backend of a room answers a call.

A room has up to three backends: ``reference`` (plain torch, the definition), ``cpu`` (numba) and ``triton`` (CUDA).
Two rooms also have ``nvdiffrast``, for who comes from there: only where it is installed, and only when asked for.
The choice falls in this order: the call's ``backend=``; the innermost ``use_backend``; ``triton`` for CUDA tensors
where the room has it, ``cpu`` for CPU tensors where the room has it, both only if no input needs a gradient or the
room's backend has gradients; else ``reference``.
The default never changes the answer beyond the tolerance of the room's README, only the speed. A backend that was asked
for and can't run raises: nothing falls back in silence. Where triton is not installed, no room has it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec

import torch
from torch import Tensor

BACKENDS = ("reference", "cpu", "triton", "nvdiffrast")
# These compute outside autograd: a room whose backend of that name has a backward pass says so.
WITHOUT_GRADIENT = ("cpu", "triton")
OPTIONAL = ("triton", "nvdiffrast")  # libraries that may be absent, each of the name of its backend
ABSENT = tuple(name for name in OPTIONAL if find_spec(name) is None)

_asked: ContextVar[str | None] = ContextVar("pain3d_backend", default=None)
_as_gpu: ContextVar[bool] = ContextVar("pain3d_as_gpu", default=False)


@contextmanager
def use_backend(backend: str | None) -> Iterator[None]:
    """Ask every room called inside the block, in this thread or task, for one backend.

    Args:
        backend: ``"reference"``, ``"cpu"``, ``"triton"``, ``"nvdiffrast"``, or None for the default order.

    Raises:
        ValueError: The name is not a backend.
    """
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    token = _asked.set(backend)
    try:
        yield
    finally:
        _asked.reset(token)


@contextmanager
def answered_as_on_gpu() -> Iterator[None]:
    """Let each room called inside the block, in this thread or task, answer for CPU tensors as it would for CUDA's.

    That is the Triton kernel where the room has one, in Triton's interpreter, else the reference.

    Raises:
        RuntimeError: Triton's interpreter is off.
    """
    if not interpreting():
        raise RuntimeError("CPU tensors are answered as on a GPU in Triton's interpreter alone: TRITON_INTERPRET=1")
    token = _as_gpu.set(True)
    try:
        yield
    finally:
        _as_gpu.reset(token)


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter, on CPU tensors: ``TRITON_INTERPRET=1`` when they were loaded."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _asked_now() -> str | None:
    return _asked.get()


def _as_gpu_now() -> bool:
    return _as_gpu.get()


# What torch.compiler.assume_constant_result sets, without its import of the compiler (half a second): torch.compile
# can't trace a ContextVar, so a compiled graph keeps the backend that was asked for when it was traced.
_asked_now._dynamo_marked_constant = True  # type: ignore[attr-defined]
_as_gpu_now._dynamo_marked_constant = True  # type: ignore[attr-defined]


def resolve_backend(
    room: str,
    backend: str | None,
    available: Sequence[str],
    *tensors: Tensor | None,
    differentiable: bool = True,
    with_gradient: Sequence[str] = (),
) -> str:
    """Return the name of the backend that answers this call.

    Args:
        room: Name of the op, for the error text.
        backend: What the call asked for, or None.
        available: The backends that the room has.
        tensors: The op's inputs; their device and ``requires_grad`` take part in the choice.
        differentiable: False for an op without any gradient, whose inputs may require one all the same.
        with_gradient: Those of `WITHOUT_GRADIENT` that have a gradient in this room.

    Raises:
        ValueError: The asked backend is unknown, or the room has none of that name.
        RuntimeError: The asked backend can't run on these inputs.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    on_cuda = all([tensor.is_cuda for tensor in given])  # lists: this is run by every call, and quicker so
    on_cpu = not (on_cuda and given) and all([tensor.device.type == "cpu" for tensor in given])
    needs_gradient = differentiable and torch.is_grad_enabled() and any([tensor.requires_grad for tensor in given])
    asked = backend if backend is not None else _asked_now()
    missing = [name for name in available if name in ABSENT]
    available = [name for name in available if name not in ABSENT]
    lacking = [name for name in WITHOUT_GRADIENT if needs_gradient and name not in with_gradient]
    if asked is None:
        usable = [name for name in available if name not in lacking]
        if _as_gpu_now():
            on_cpu, on_cuda = False, on_cpu
        if on_cuda and given and "triton" in usable:
            return "triton"
        return "cpu" if "cpu" in usable and on_cpu else "reference"
    have = f"(available: {', '.join(available)}{''.join(f'; {name} is not installed' for name in missing)})"
    if asked not in available:
        raise ValueError(f"{room} has no backend {asked!r} {have}")
    if asked == "cpu" and not on_cpu:
        raise RuntimeError(f"{room} can't run backend 'cpu': an input is not on the CPU {have}")
    if asked == "triton" and not on_cuda and not (on_cpu and interpreting()):
        raise RuntimeError(f"{room} can't run backend 'triton': an input is not on a CUDA device {have}")
    if asked == "nvdiffrast" and not on_cuda:
        raise RuntimeError(f"{room} can't run backend 'nvdiffrast': an input is not on a CUDA device {have}")
    if asked in lacking:
        raise RuntimeError(f"{room} can't run backend {asked!r}: an input requires a gradient {have}")
    return asked
