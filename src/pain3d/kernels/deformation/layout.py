"""Knows how a basis lies in memory for the tensor cores: the shapes of one coordinate of one vertex side by side."""

from __future__ import annotations

import torch
from torch import Tensor

QUAD = 4  # floats: 16 bytes, the widest asynchronous copy
SECTOR = 8  # floats: 32 bytes, what a row is padded to, so that no two rows share a sector


def planar_basis(basis: Tensor) -> Tensor:
    """Return the same basis in the layout that the Triton backend reads: make it once, keep it, pass it on.

    Matrix instructions want both factors with the summed index, the shapes, contiguous. Any other basis is copied into
    this layout by every call, which moves twice the bytes of the basis. Values and shape are unchanged, so every
    backend takes the result.

    Args:
        basis: [K, V, 3].

    Returns:
        [K, V, 3], a view of [3, V, K padded with zeros to a multiple of 8].
    """
    shapes, count, _ = basis.shape
    planes = basis.new_zeros(3, count, -(-shapes // SECTOR) * SECTOR)
    planes[..., :shapes] = basis.permute(2, 1, 0)
    return planes.permute(2, 1, 0)[:shapes]


def is_planar(basis: Tensor) -> bool:
    """Whether the kernel may read the basis where it lies: rows of shapes, each on 16 bytes and readable in quads.

    What stands between the last shape and the end of its quad is multiplied by zero: it must be finite, as it is in
    what `planar_basis` returns and in slices of it.
    """
    if basis.numel() == 0 or basis.stride(0) != 1:
        return False
    _, row, plane = basis.stride()
    padded = -(-len(basis) // QUAD) * QUAD
    end = basis.storage_offset() + 2 * plane + (basis.shape[1] - 1) * row + padded
    readable = end * basis.element_size() <= basis.untyped_storage().nbytes()
    aligned = basis.data_ptr() % (QUAD * basis.element_size()) == 0 and row % QUAD == 0 and plane % QUAD == 0
    return readable and aligned and row >= padded and basis.dtype == torch.float32
