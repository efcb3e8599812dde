"""Knows how a texture lies in the memory of a GPU for the fused `render`: float16, each half of its texels by itself.

Half a texel is 16 bytes, one load, and two neighbours fill a sector of 32; the detail layers, which only a worn surface
reads, share no sector with the rest. A number keeps 11 bits: base colour moves by at most 1/4096 of itself, a twentieth
of a level of sRGB.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._remembered import Memory, remembered
from pain3d.kernels.rendering.relief import CHANNELS, DETAIL_START

kept_texels: Memory[Tensor] = {}


def packed_shape(texels: Tensor) -> tuple[int, int, int, int]:
    """Return (K, 2, N, 8) of the mip chains [K, N, 16]."""
    count, length = texels.shape[:2]
    return count, CHANNELS // DETAIL_START, length, DETAIL_START


def pack_texels(texels: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return [K, 2, N, 8] float16 of the mip chains [K, N, 16], written into `out` where it is given."""
    shape = packed_shape(texels)
    halves = texels.detach().reshape(shape[0], shape[2], shape[1], shape[3]).transpose(1, 2)
    out = torch.empty(shape, dtype=torch.float16, device=texels.device) if out is None else out
    return out.copy_(halves)


def check_packed(packed: Tensor, texels: Tensor) -> None:
    """Check that the packed texels can be those of the chains.

    Raises:
        ValueError: Their shape, dtype, device or layout is not that of `pack_texels`.
    """
    wanted = torch.Size(packed_shape(texels))
    fits = packed.dtype == torch.float16 and packed.device == texels.device and packed.is_contiguous()
    if packed.shape != wanted or not fits:
        got = f"{list(packed.shape)} of {packed.dtype} on {packed.device}"
        raise ValueError(f"packed must be {list(wanted)} float16, contiguous, on {texels.device}, got {got}")


def remembered_texels(texels: Tensor) -> Tensor:
    """Return `pack_texels`, of an earlier call where it was of the same tensor in the same version.

    What is kept takes half of the chain's memory and is forgotten when the chain is freed; see `remembered`.
    """
    return remembered(kept_texels, (texels,), lambda: pack_texels(texels))
