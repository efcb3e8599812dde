"""Knows what a texture look-up means: clamped bilinear within a level, linear between two levels, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._described import described


class Mipmaps(NamedTuple):
    """A texture and its ever smaller copies, one after the other in memory.

    Level 0 is the texture; each further level halves both sides (a side of 1 stays) down to 1 x 1.

    Attributes:
        texels: [B, N, C]: level 0 row by row from the top, then level 1, …
        height: Texels of level 0 from top to bottom.
        width: Texels of level 0 from left to right.
    """

    texels: Tensor
    height: int
    width: int

    def __repr__(self) -> str:
        """Shapes and dtypes."""
        return described(self)

    def levels(self) -> list[tuple[int, int, int]]:
        """Return (offset into texels, height, width) of each level."""
        return level_table(self.height, self.width)


def level_table(height: int, width: int) -> list[tuple[int, int, int]]:
    """Return (offset, height, width) of each level of a mip chain, level 0 first."""
    table, offset = [(0, height, width)], 0
    while height > 1 or width > 1:
        offset += height * width
        height, width = max(height // 2, 1), max(width // 2, 1)
        table.append((offset, height, width))
    return table


def build_mipmaps_reference(texture: Tensor) -> Mipmaps:
    """Return the mip chain of a texture [B, Ht, Wt, C] whose sides are powers of two, by 2 x 2 means."""
    height, width = texture.shape[1:3]
    level, chain = texture, [texture.flatten(1, 2)]
    while level.shape[1] > 1 or level.shape[2] > 1:
        if level.shape[1] > 1:
            level = (level[:, 0::2] + level[:, 1::2]) * 0.5
        if level.shape[2] > 1:
            level = (level[:, :, 0::2] + level[:, :, 1::2]) * 0.5
        chain.append(level.flatten(1, 2))
    return Mipmaps(torch.cat(chain, 1), height, width)


def spread_levels(gradient: Tensor, height: int, width: int) -> Tensor:
    """Return the gradient of `build_mipmaps_reference` to the texture [B, Ht, Wt, C], from that to the chain [B, N, C].

    From the coarsest level down each adds to every texel of the one below a quarter of its own texel's gradient (half,
    where one side is 1). The same bits as those of autograd.
    """
    batch, _, channels = gradient.shape
    whole: Tensor | None = None
    for offset, rows, columns in reversed(level_table(height, width)):
        level = gradient[:, offset : offset + rows * columns].reshape(batch, rows, columns, channels)
        if whole is not None:
            tall, wide = rows // whole.shape[1], columns // whole.shape[2]
            parts = level.reshape(batch, rows // tall, tall, columns // wide, wide, channels)
            level = (parts + (whole / (tall * wide))[:, :, None, :, None]).reshape(level.shape)
        whole = level
    assert whole is not None  # level 0 is always there
    return whole


def sample_texture_reference(texture: Tensor | Mipmaps, uv: Tensor, level: Tensor | None) -> Tensor:
    """Return [B, H, W, C]; see `pain3d.kernels.sample_texture`."""
    if level is None:
        if isinstance(texture, Mipmaps):
            texels, height, width = texture
        else:
            texels, (height, width) = texture.flatten(1, 2), texture.shape[1:3]
        zero = torch.zeros_like(uv[..., 0], dtype=torch.int64)
        return _bilinear(texels, uv, zero, zero + height, zero + width)
    mipmaps = texture if isinstance(texture, Mipmaps) else build_mipmaps_reference(texture)
    table = torch.tensor(mipmaps.levels(), device=uv.device)
    top = len(table) - 1
    level = _known(level).clamp(0, top)
    lower = level.detach().floor().long()
    upper = (lower + 1).clamp(max=top)
    fraction = (level - lower)[..., None]
    fine = _bilinear(mipmaps.texels, uv, *table[lower].unbind(-1))
    coarse = _bilinear(mipmaps.texels, uv, *table[upper].unbind(-1))
    return fine + fraction * (coarse - fine)


def _known(places: Tensor) -> Tensor:
    """The places with 0 for NaN, which a clamp lets through and which is no place in memory."""
    return places.nan_to_num(0.0, torch.inf, -torch.inf)


def _bilinear(texels: Tensor, uv: Tensor, offset: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Mix the four texels around uv [B, H, W, 2] in the level that starts at offset [B, H, W]."""
    image = torch.arange(len(uv), device=uv.device)[:, None, None] if len(texels) == len(uv) else 0
    x = torch.minimum(_known(uv[..., 0] * width - 0.5).clamp(min=0), (width - 1).to(uv.dtype))
    y = _known((1 - uv[..., 1]) * height - 0.5)  # the one flip of v
    y = torch.minimum(y.clamp(min=0), (height - 1).to(uv.dtype))
    left, top = x.detach().floor().long(), y.detach().floor().long()
    right, bottom = torch.minimum(left + 1, width - 1), torch.minimum(top + 1, height - 1)
    across, down = (x - left)[..., None], (y - top)[..., None]

    def row(i: Tensor) -> Tensor:
        first, second = texels[image, offset + i * width + left], texels[image, offset + i * width + right]
        return first + across * (second - first)

    above, below = row(top), row(bottom)
    return above + down * (below - above)
