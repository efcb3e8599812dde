"""Knows what a painter is: whoever makes pictures of a head whose geometry it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pain3d.pipeline.texture.conditions import Conditions
from pain3d.records import LICENCE, UNKNOWN_LICENCE

# Of the denoised estimate of N views, as latents [N, C, h, w]: what they show in common, to be taken in its place.
Blend = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Origin:
    """What every row says of who painted.

    Attributes:
        model: Name of the model: the recipe's, or the last part of its folder or hub id.
        model_hash: SHA-256 over its weights and settings, 64 hex digits.
        licence: SPDX identifier, or ``unknown``.
        scheduler: Class, steps and scales, in words.
    """

    model: str
    model_hash: str
    licence: str
    scheduler: str


def chain(licences: Sequence[str]) -> str:
    """One licence of several that all hold, joined by AND; CC0 asks for nothing beside another."""
    parts = dict.fromkeys(part for licence in licences for part in licence.split(" AND "))
    if UNKNOWN_LICENCE in parts:
        return UNKNOWN_LICENCE
    return " AND ".join(part for part in parts if part != LICENCE) or LICENCE


@dataclass(frozen=True)
class Prompt:
    """What a painter is asked for, and what it is to keep away from."""

    positive: str
    negative: str


class Paints(Protocol):
    """Paints N views of one head; see `Painter`."""

    def paint(self, conditions: Conditions, prompt: Prompt, seed: int, blend: Blend | None = None) -> Tensor:
        """Paint all views from nothing."""
        ...


class Inpaints(Protocol):
    """Paints parts of N pictures; see `Painter`."""

    def inpaint(self, pictures: Tensor, where: Tensor, conditions: Conditions, prompt: Prompt, seed: int) -> Tensor:
        """Paint anew where [N, H, W] is true, and leave the rest as it is."""
        ...


class Refines(Protocol):
    """Paints over N pictures; see `Painter`."""

    def refine(self, pictures: Tensor, conditions: Conditions, prompt: Prompt, seed: int, strength: float) -> Tensor:
        """Paint over pictures: strength 0 leaves them, 1 paints from nothing."""
        ...


class Painter(Paints, Inpaints, Refines, Protocol):
    """Paints N views of one head. All pictures are [N, H, W, 3] float32 sRGB in 0–1, on the CPU.

    The same arguments give the same bytes, whatever was painted before. `seed` belongs to the person: views have it
    with their number.
    """

    origin: Origin


class PaintingError(RuntimeError):
    """A painter made nothing that can be used. The message says why; who asked writes it down and goes on without."""
