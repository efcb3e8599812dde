"""Knows how records of tensors are moved or copied as a whole, and which constants a device needs only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T")
ALIGNMENT = 64  # bytes: where each tensor of a packed copy begins


def map_tensors(value: T, change: Callable[[Any], Any], kind: type = Tensor) -> T:
    """Return the value with `change` applied to every tensor in it; what is no tensor and holds none is handed on.

    Looks into dataclasses, lists, tuples (named ones too) and dictionaries; with another `kind` for what is of it.
    """
    made: object = value
    if isinstance(value, kind):
        made = change(value)
    elif is_dataclass(value) and not isinstance(value, type):
        made = object.__new__(type(value))  # by no `__post_init__`: what was checked is, and may now hold another kind
        for field in fields(value):
            object.__setattr__(made, field.name, map_tensors(getattr(value, field.name), change, kind))
    elif isinstance(value, dict):
        made = {key: map_tensors(item, change, kind) for key, item in value.items()}
    elif isinstance(value, list):
        made = [map_tensors(item, change, kind) for item in value]
    elif isinstance(value, tuple):
        items = [map_tensors(item, change, kind) for item in value]
        made = type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return cast(T, made)


def moved(value: T, device: torch.device | str) -> T:
    """Return the value with every tensor in it on the device; tensors that are there already are shared, not copied."""
    return map_tensors(value, lambda tensor: tensor.to(device))


def moved_at_once(value: T, device: torch.device | str) -> T:
    """As `moved`, from the CPU: all tensors side by side in pinned memory, one copy, for which nothing waits."""
    device = torch.device(device)
    if device.type == "cpu":
        return value
    parts: list[Tensor] = []

    def noted(tensor: Tensor) -> Tensor:
        parts.append(tensor)
        return tensor

    map_tensors(value, noted)
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + -(-part.numel() * part.element_size() // ALIGNMENT) * ALIGNMENT)
    packed = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")

    def seen(memory: Tensor, start: int, part: Tensor) -> Tensor:
        size = part.numel() * part.element_size()
        return memory[start : start + size].view(part.dtype).reshape(part.shape)

    for start, part in zip(starts, parts, strict=False):
        seen(packed, start, part).copy_(part)
    there = packed.to(device, non_blocking=True)
    views = iter([seen(there, start, part) for start, part in zip(starts, parts, strict=False)])
    return map_tensors(value, lambda tensor: next(views))


def constant(values: tuple[float, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor [len(values)] on the device of `like` and of its dtype, or another; made once for each of them.

    A list that becomes a CUDA tensor is a copy from the host: in a CUDA graph that is an error. Never write to it.
    """
    return _constant(values, dtype or like.dtype, like.device)


class LastCopy:
    """Copies tensors to a device; the one that was asked for last is copied once, unless it requires a gradient."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = device
        self._last: tuple[Tensor, Tensor] | None = None  # as given, and on the device

    def __call__(self, tensor: Tensor) -> Tensor:
        """The tensor on the device."""
        if self._last is None or self._last[0] is not tensor or tensor.requires_grad:
            self._last = tensor, tensor.to(self.device)
        return self._last[1]


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
