"""Knows how a face is compared with a neutral face of the same person: attention from one to the other.

On a CPU softmax(Q Kᵀ) V is written out where there are few tokens: it is faster than the fused kernel (backbone.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pain3d.training.model.backbone import WRITTEN_OUT


class CrossAttention(nn.Module):
    """Multi-head attention whose queries come from one sequence and whose keys and values come from another.

    Args:
        width: D of both.
        heads: Must divide D.

    Raises:
        ValueError: It does not.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"fusion_heads must divide the width {width}, got {heads}")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        tokens: Tensor,
        context: Tensor,
        context_of: Tensor | None = None,
        weights: bool = False,
        bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """What each token of one sequence takes from the other.

        Args:
            tokens: [B, L, D].
            context: [M, Ln, D]; each is projected once, however often it is used.
            context_of: [B, K] rows of `context`; the outputs of K of them are averaged. None: M is B, row by row.
            weights: Whether the attention is handed back too.
            bias: [heads, L, Ln], added before the softmax, which is then written out: no fused kernel takes any bias.

        Returns:
            [B, L, D], and [B, heads, L, Ln] (averaged over K; a row sums to 1) or None.
        """
        query = self._split(self.query(tokens))[:, None]  # [B, 1, h, L, d]
        both = self._split(self.key_value(context))  # [M, h, Ln, 2d]
        if context_of is None:
            both = both[:, None]
        else:  # [B, K, h, Ln, 2d]; its gradient is one addition, where that of `both[context_of]` sorts the rows first
            both = both.index_select(0, context_of.flatten()).reshape(*context_of.shape, *both.shape[1:])
        key, value = both.chunk(2, -1)
        kept: Tensor | None = None
        if weights or bias is not None or (query.device.type == "cpu" and context.shape[1] <= WRITTEN_OUT):
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
            scores = scores if bias is None else scores + bias
            attention = scores.softmax(-1)
            mixed = attention @ value
            kept = attention.float().mean(1) if weights else None
        else:  # fused kernels take four dimensions; of five torch writes the attention out
            queries = query.expand(-1, key.shape[1], -1, -1, -1)
            fused = F.scaled_dot_product_attention(queries.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
            mixed = fused.reshape(*key.shape[:2], *fused.shape[1:])
        out: Tensor = self.out(mixed.mean(1).transpose(1, 2).flatten(2))
        return out, kept

    def _split(self, x: Tensor) -> Tensor:
        """[N, L, h·d] → [N, h, L, d]."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class NeutralCrossAttention(nn.Module):
    """LayerNorm(target + attention): Q = all target tokens, K = V = all tokens of the neutral face.

    With K neutral faces the attention's output is averaged over them.

    Args:
        width: D.
        heads: Must divide D.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = CrossAttention(width, heads)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, target: Tensor, neutral: Tensor, neutral_of: Tensor, weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Target [B, L, D], neutral [M, Ln, D], neutral_of [B, K] → fused [B, L, D] and weights [B, heads, L, Ln]."""
        attended, attention = self.attention(target, neutral, neutral_of, weights)
        fused: Tensor = self.norm(target + attended)
        return fused, attention


def neutral_rows(count: int, neutral: Tensor, neutral_of: Tensor | None) -> Tensor:
    """Which neutral faces belong to which picture, checked.

    Args:
        count: Pictures B.
        neutral: [M, 3, S, S].
        neutral_of: [B, K], or None where M is B (each its own) or 1 (all the same).

    Returns:
        [B, K] int64 on the device of `neutral`.

    Raises:
        ValueError: Neither fits.
    """
    many = neutral.shape[0]
    if neutral_of is None:
        if many not in (1, count):
            raise ValueError(f"neutral_of is needed: {count} pictures and {many} neutral ones")
        rows = torch.arange(count, device=neutral.device) if many == count else neutral.new_zeros(count).long()
        return rows[:, None]
    if neutral_of.ndim != 2 or neutral_of.shape[0] != count or neutral_of.shape[1] < 1:
        raise ValueError(f"neutral_of must be [{count} K], got {list(neutral_of.shape)}")
    return neutral_of
