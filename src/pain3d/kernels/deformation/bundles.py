"""Knows what the room hands from its public functions to its launches: the joints of a skinned mesh."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Skinning(NamedTuple):
    """Linear blend skinning of V vertices by J joints, W of them a vertex.

    Attributes:
        joints: [V, W] int32 or int64, joints of each vertex in ``0 … J - 1``.
        weights: [V, W].
        transforms: [B, J, 4, 4], rest to posed.
    """

    joints: Tensor
    weights: Tensor
    transforms: Tensor
