"""Knows how a texture lies in the memory of a GPU for the fused `render`: float16, each half of its texels by itself.

Half a texel is 16 bytes, one load, and two neighbours fill a sector of 32; the detail layers, which only a worn surface
reads, share no sector with the rest. A number keeps 11 bits: base colour moves by at most 1/4096 of itself, a twentieth
of a level of sRGB.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import ref

import torch
from torch import Tensor

from pain3d.kernels._triton import keeping_place
from pain3d.kernels.rendering.relief import CHANNELS, DETAIL_START


class _Kept(NamedTuple):
    """Packed texels, and what they were made of."""

    source: ref[Tensor]
    version: int
    packed: Tensor


kept_texels: dict[tuple[object, ...], _Kept] = {}  # by place and id of the chain


def pack_texels(texels: Tensor) -> Tensor:
    """Return [K, 2, N, 8] float16 of the mip chains [K, N, 16]."""
    parts = (*texels.shape[:2], CHANNELS // DETAIL_START, DETAIL_START)
    halves = texels.detach().reshape(parts).transpose(1, 2)
    return torch.empty(halves.shape, dtype=torch.float16, device=texels.device).copy_(halves)


def remembered_texels(texels: Tensor) -> Tensor:
    """Return `pack_texels`, of an earlier call where it was of the same tensor in the same version.

    What is kept takes half of the chain's memory and is forgotten when the chain is freed; it is kept per stream.
    """
    place = keeping_place(texels)
    if place is None or texels.is_inference():  # an inference tensor counts no versions
        return pack_texels(texels)
    key = (place, id(texels))
    kept = kept_texels.get(key)
    if kept is not None and kept.source() is texels and kept.version == texels._version:
        return kept.packed
    packed = pack_texels(texels)
    kept_texels[key] = _Kept(ref(texels, lambda _: kept_texels.pop(key, None)), texels._version, packed)
    return packed
