"""Knows what `render` puts in the place of an argument that is left out, made once for each size. Never written to."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from pain3d.kernels._triton import keeping_place


def filled(value: float, like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor full of one number, on the device of `like`, of its dtype or another; kept for the next call."""
    place = keeping_place(like)
    if place is None:
        return like.new_full(shape, value, dtype=dtype)
    return _filled(value, shape, dtype or like.dtype, like.device, place)


def up_axis(like: Tensor) -> Tensor:
    """+Y [1, 3], likewise."""
    place = keeping_place(like)
    return _up_axis(like.dtype, like.device) if place is None else _kept_up_axis(like.dtype, like.device, place)


def numbered(like: Tensor, count: int, several: bool) -> Tensor:
    """Which row each of `count` pictures reads, [count] int64: its own of several, or the only one; likewise."""
    if not several:
        return filled(0, like, count, dtype=torch.int64)
    place = keeping_place(like)
    return torch.arange(count, device=like.device) if place is None else _numbered(count, like.device, place)


@lru_cache(maxsize=64)
def _numbered(count: int, device: torch.device, place: object) -> Tensor:
    return torch.arange(count, device=device)


@lru_cache(maxsize=64)
def _filled(value: float, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, place: object) -> Tensor:
    return torch.full(shape, value, dtype=dtype, device=device)


def _up_axis(dtype: torch.dtype, device: torch.device) -> Tensor:
    axis = torch.zeros(1, 3, dtype=dtype, device=device)
    axis[:, 1] = 1
    return axis


@lru_cache(maxsize=64)
def _kept_up_axis(dtype: torch.dtype, device: torch.device, place: object) -> Tensor:
    return _up_axis(dtype, device)
