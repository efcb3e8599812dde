"""Knows the convolutions that may stand before a small transformer instead of one large patch convolution.

A patch convolution of 16 × 16 px looks at each patch alone; lines that end at a patch's border are lost on a small
network. Stride-2 convolutions of 3 × 3 see across (Xiao et al. 2021, "Early convolutions help transformers see
better").
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS: Final = (32, 64, 128)  # at 1/2, 1/4 and 1/8; the width of the transformer stands at 1/16
STRIDE: Final = 16


class Residual(nn.Module):
    """Two 3 × 3 convolutions around which the input is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] to the same shape."""
        inside = F.relu(self.first_norm(self.first(x)), inplace=True)
        return F.relu(self.second_norm(self.second(inside)) + x, inplace=True)


class ConvStem(nn.Module):
    """Pictures [B, 3, S, S] → tokens [B, (S / 16)², D]: an `embed_layer` for timm's VisionTransformer.

    Args:
        img_size: Side S, px; a multiple of 16.
        patch_size: Must be 16.
        in_chans: Channels of the picture.
        embed_dim: Width D of the transformer.
        **_: What timm hands to any patch embedding and this one has no use for.

    Raises:
        ValueError: The side is no multiple of 16, or the patches are not 16 px.
    """

    def __init__(
        self, img_size: int = 112, patch_size: int = STRIDE, in_chans: int = 3, embed_dim: int = 128, **_: Any
    ) -> None:
        super().__init__()
        if patch_size != STRIDE or img_size % STRIDE:
            raise ValueError(
                f"conv_stem needs patches of {STRIDE} px and a side that is a multiple, got {patch_size} and {img_size}"
            )
        self.patch_size = (STRIDE, STRIDE)
        self.img_size = (img_size, img_size)
        self.grid_size = (img_size // STRIDE, img_size // STRIDE)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        layers: list[nn.Module] = []
        before = in_chans
        for width in (*CHANNELS, embed_dim):
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            if width != CHANNELS[0]:  # none at 1/2: finer ones cost most, and not in the convolutions but between them
                layers += [Residual(width)]
            before = width
        self.trunk = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.proj = nn.Linear(embed_dim, embed_dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def feat_ratio(self, as_scalar: bool = True) -> int | tuple[int, int]:
        """Pixels per token; timm asks for it."""
        return STRIDE if as_scalar else self.patch_size

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, 3, S, S] → [B, (S / 16)², D], row by row."""
        seen: Tensor = self.trunk(pictures.contiguous(memory_format=torch.channels_last))
        projected: Tensor = self.proj(seen.flatten(2).transpose(1, 2))
        return projected
