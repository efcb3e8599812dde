"""Knows what the rooms' launches and custom ops share: arithmetic, device, programs, the refusal of a gradient.

Nothing here imports triton: a room's ``kernel.py`` does, at the first call that needs it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

# Of every launch. A compiler may fuse a product with a sum, rounded once, and does so differently for another block or
# where a size of 1 is compiled in. So it may not: what is fused says `tl.fma`, and bits depend on the formula alone.
UNFUSED = {"enable_fp_fusion": False}


def on_device(tensor: Tensor) -> AbstractContextManager[object]:
    """Context in which launches go to the tensor's device; nothing for a CPU tensor (Triton's interpreter)."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def programs_on(tensor: Tensor, waves: int, interpreted: int) -> int:
    """How many programs a persistent kernel gets.

    Args:
        tensor: On the device of the launch.
        waves: Programs per multiprocessor.
        interpreted: Programs in the interpreter, which runs them one after the other.
    """
    if not tensor.is_cuda:
        return interpreted
    return waves * torch.cuda.get_device_properties(tensor.device).multi_processor_count


def refuse_gradient(op: Any, room: str) -> None:
    """Make a backward pass through a custom op raise: a Triton op has no gradient yet, and none is not zero."""

    def backward(ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(
            f"{room} has no gradient with backend 'triton': call it with backend='reference', which runs on any device"
        )

    op.register_autograd(backward)
