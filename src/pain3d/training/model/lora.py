"""Knows low-rank updates (Hu et al. 2021): large weights stay as they were learnt, small ones beside them learn.

y = W x + (α / r) B A dropout(x). B starts at 0: at first nothing changes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pain3d.console.refused import RefusedError


class LoraLinear(nn.Module):
    """A linear layer, frozen, with a low-rank update that learns.

    Args:
        base: The layer [out, in].
        rank: r.
        alpha: α.
        dropout: On what goes into the update.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as nn.Linear starts

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        update = F.linear(F.linear(self.dropout(x), self.down), self.up)
        out: Tensor = self.base(x) + update * self.scale
        return out

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One plain layer with the same answers (without dropout)."""
        plain = nn.Linear(self.base.in_features, self.base.out_features, self.base.bias is not None)
        plain = plain.to(self.base.weight)
        plain.weight.copy_(self.base.weight + self.scale * self.up @ self.down)
        if self.base.bias is not None:
            plain.bias.copy_(self.base.bias)
        return plain


def add_lora(encoder: nn.Module, rank: int, alpha: float, dropout: float) -> None:
    """Freeze an encoder and put an update beside `qkv` and `proj` of each attention, in place.

    Args:
        encoder: Its attentions are the modules with linear layers `qkv` and `proj`, as timm names them.
        rank: r.
        alpha: α.
        dropout: On what goes into the updates.

    Raises:
        RefusedError: There is no such attention.
    """
    attentions = [
        module
        for module in encoder.modules()
        if isinstance(getattr(module, "qkv", None), nn.Linear) and isinstance(getattr(module, "proj", None), nn.Linear)
    ]
    if not attentions:
        raise RefusedError("lora_rank: this backbone has no attention with qkv and proj")
    encoder.requires_grad_(False)
    for attention in attentions:
        if hasattr(attention, "qkv_bias_separate"):
            # timm's EVA takes the weight out of the layer where the bias is kept apart, and would pass the update by.
            attention.qkv_bias_separate = True  # type: ignore[assignment]
        for name in ("qkv", "proj"):
            setattr(attention, name, LoraLinear(getattr(attention, name), rank, alpha, dropout))


def merge_lora(model: nn.Module) -> None:
    """Replace all low-rank updates by plain layers with the same answers, in place; all their weights train again."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LoraLinear):
                setattr(module, name, child.merged())
