"""Knows what `render` puts in the place of an argument that is left out, made once for each size. Never written to."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from pain3d.kernels._triton import keeping_place


def filled(value: float, like: Tensor, *shape: int) -> Tensor:
    """A tensor full of one number, on the device of `like` and of its dtype; kept for the next call where it may be."""
    place = keeping_place(like)
    if place is None:
        return like.new_full(shape, value)
    return _filled(value, shape, like.dtype, like.device, place)


def up_axis(like: Tensor) -> Tensor:
    """+Y [1, 3], likewise."""
    place = keeping_place(like)
    return _up_axis(like.dtype, like.device) if place is None else _kept_up_axis(like.dtype, like.device, place)


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
