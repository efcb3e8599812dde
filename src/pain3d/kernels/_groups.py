"""Knows which entries of a table of indices name each item: the static lists that a gather goes over, remembered.

A sum into items has one order where each item goes over its own entries, ascending; nobody adds to what another adds
to. So gradients of vertices are gathered over the corners of their faces, those of joints over the slots of vertices.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._remembered import Memory, remembered


class Groups(NamedTuple):
    """Item i is named by the entries ``members[starts[i]:starts[i + 1]]``, ascending.

    Attributes:
        starts: [items + 1] int32.
        members: [entries] int32: places in the flat table. Entries that name no item stand before or behind all groups.
    """

    starts: Tensor
    members: Tensor


_kept: Memory[Groups] = {}


def group(indices: Tensor, count: int) -> Groups:
    """Return which entries of `indices` name each of `count` items, by torch ops on the device, without a wait.

    Args:
        indices: Any shape, int32 or int64; what lies outside 0 … count - 1 names nothing.
        count: Items.
    """
    sorted_, order = indices.flatten().sort(stable=True)
    bounds = torch.arange(count + 1, device=indices.device, dtype=indices.dtype)
    return Groups(torch.searchsorted(sorted_, bounds, out_int32=True), order.to(torch.int32))


def remembered_groups(indices: Tensor, count: int) -> Groups:
    """Return `group`, of an earlier call where it was of the same tensor in the same version: see `remembered`."""
    return remembered(_kept, (indices,), lambda: group(indices, count), count)
