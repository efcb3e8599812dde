"""Knows what is said of a face: the pain score, three thresholds and six action units.

The heads compute in float32, also under autocast: they cost next to nothing, and a bfloat16 score has steps of 0.03.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch
from torch import Tensor, nn

from pain3d.training.data.samples import THRESHOLDS
from pain3d.training.model.fusion import CrossAttention

UNIT_SCALE: Final = (5.0, 5.0, 5.0, 5.0, 5.0, 1.0)  # the largest intensity of AU04 AU06 AU07 AU09 AU10 AU43
WIDEST: Final = 512  # first layer of the PSPI head on a large backbone; then a half and a quarter of it
FIRST_UNIT: Final = 0.3  # of its scale: what every unit says before it learns, so that no ReLU starts dead
FIRST_SPREAD: Final = 0.01  # standard deviation of last layers: first answers lie close together


def in_float32(x: Tensor) -> AbstractContextManager[object]:
    """A context without autocast; none is opened where none is on, so that an export sees no trace of it."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def hidden_widths(width: int) -> tuple[int, int, int]:
    """Widths inside the PSPI head: 512, 256, 128 from D = 512 on, smaller below."""
    first = min(WIDEST, width)
    return first, max(first // 2, 16), max(first // 4, 16)


def ordered(logits: Tensor, training: bool) -> Tensor:
    """Logits [B, T] of ever higher thresholds → each at most the one before: PSPI ≥ 2 is never likelier than PSPI ≥ 1.

    Logits that are in order stay as they are. While training each keeps its own gradient: were it that of the smallest
    one before, a head that begins too high would not learn.
    """
    columns = [logits[:, 0]]
    for column in logits.unbind(1)[1:]:
        columns.append(torch.minimum(columns[-1], column))
    capped = torch.stack(columns, 1)
    return logits + (capped - logits).detach() if training else capped


class ScoreHead(nn.Module):
    """Fused CLS [B, D] → logit of the pain score [B]; sigmoid × 16 is the PSPI.

    LayerNorm, then D → 512 → 256 → 128 → 1 (smaller where D is) with GELU between and dropout before each.

    Args:
        width: D.
        dropout: Four shares.
    """

    def __init__(self, width: int, dropout: Sequence[float]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.LayerNorm(width)]
        before = width
        for share, after in zip(dropout, (*hidden_widths(width), 1), strict=True):
            layers += [nn.Dropout(share), nn.Linear(before, after)]
            layers += [nn.GELU()] if after > 1 else []
            before = after
        self.layers = nn.Sequential(*layers)

    def forward(self, fused: Tensor) -> Tensor:
        """[B, D] → [B] float32."""
        with in_float32(fused):
            logit: Tensor = self.layers(fused.float())
        return logit[:, 0]


class ThresholdHead(nn.Module):
    """Fused CLS [B, D] → logits of PSPI ≥ 1, 2, 3 [B, 3], in order: three small heads, computed as one.

    Args:
        width: D.
        dropout: Before the last layer.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        inside = hidden_widths(width)[2]
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, inside), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(inside, len(THRESHOLDS)),
        )  # fmt: skip

    def forward(self, fused: Tensor) -> Tensor:
        """[B, D] → [B, 3] float32."""
        with in_float32(fused):
            logits: Tensor = self.layers(fused.float())
        return ordered(logits, self.training)


class Intensity(nn.Module):
    """What a unit's number becomes: scaled, and never below 0.

    While training, the gradient passes where the answer was cut at 0: a squared error asks such an answer only ever to
    rise, so a unit that says 0 of all faces is not lost for good.
    """

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(UNIT_SCALE), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """[B, 6] → intensities [B, 6]: five on 0–5, AU43 on 0–1."""
        cut = torch.relu(numbers)
        if self.training:
            cut = numbers + (cut - numbers).detach()  # exact: x + 0 or x − x
        return cut * self.scale


class UnitQueries(nn.Module):
    """Six learnt queries, one of each action unit, that look at patches; each has places that it prefers.

    Args:
        width: D.
        heads: Heads of the attention.
        patches: P.
    """

    def __init__(self, width: int, heads: int, patches: int) -> None:
        super().__init__()
        units = len(UNIT_SCALE)
        self.queries = nn.Parameter(torch.randn(1, units, width) * width**-0.5)
        self.attention = CrossAttention(width, heads)
        self.places = nn.Parameter(torch.randn(heads, units, patches))
        self.norm = nn.LayerNorm(width)

    def look(self, patches: Tensor, weights: bool) -> tuple[Tensor, Tensor | None]:
        """[B, P, D] → what each read [B, 6, D] float32, and if asked what it looked at [B, 6, P], summing to 1."""
        queries = self.queries.expand(patches.shape[0], -1, -1)
        attended, attention = self.attention(queries, patches, weights=weights, bias=self.places.to(patches.dtype))
        with in_float32(attended):
            read: Tensor = self.norm(attended.float() + queries)
        return read, None if attention is None else attention.mean(1)


class UnitHead(UnitQueries):
    """Fused patches [B, P, D] → action units [B, 6]: six learnt queries look at the patches, one MLP reads them all.

    Beyond the published head each unit has places that it prefers from the first step, and a last layer of its own.
    Queries and a shared last layer alone said the same of all units for hundreds of steps.

    Args:
        width: D.
        heads: Heads of the attention.
        patches: P.
        dropout: Inside the MLP.
    """

    def __init__(self, width: int, heads: int, patches: int, dropout: float) -> None:
        super().__init__(width, heads, patches)
        units = len(UNIT_SCALE)
        inside = hidden_widths(width)[1]
        self.layers = nn.Sequential(nn.Linear(width, inside), nn.GELU(), nn.Dropout(dropout))
        self.reading = nn.Parameter(torch.randn(units, inside) * inside**-0.5)
        self.bias = nn.Parameter(torch.full((units,), FIRST_UNIT))
        self.intensity = Intensity()

    def forward(self, patches: Tensor, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """[B, P, D] → intensities [B, 6] float32, and if asked what each unit looked at [B, 6, P], summing to 1."""
        read, looked = self.look(patches, weights)
        with in_float32(read):
            units: Tensor = self.intensity((self.layers(read) * self.reading).sum(-1) + self.bias)
        return units, looked
