"""Knows many people as one: each number of their skins as a tensor [K, 1, 1], each of their draws likewise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.device import moved_at_once
from pain3d.skin.appearance import SHARES, Skin

if TYPE_CHECKING:
    from pain3d.skin.sketch import Sketch

T = TypeVar("T")
NUMBERS = (*SHARES, "age", "brow_thickness")
COLOURS = ("eye_colour", "hair_colour", "shirt_colour")


class Crowd:
    """Stands in for a `Skin` where people are painted together: its numbers have the names of a skin's.

    Args:
        skins: Who, K of them.
        sketches: What was drawn of each by hand.
        device: Where they are painted.
    """

    def __init__(self, skins: Sequence[Skin], sketches: Sequence[Sketch], device: torch.device) -> None:
        self.skins, self.sketches, self.device = list(skins), list(sketches), device
        rows = [
            [*(getattr(skin, name) for name in NUMBERS), *(c for name in COLOURS for c in getattr(skin, name))]
            for skin in skins
        ]
        numbers = list(stacked(np.array(rows).T, device))
        self._numbers: dict[str, Any] = dict(zip(NUMBERS, numbers, strict=False))
        for index, name in enumerate(COLOURS):
            first = len(NUMBERS) + 3 * index
            self._numbers[name] = tuple(numbers[first : first + 3])

    def __len__(self) -> int:
        return len(self.skins)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._numbers:
            raise AttributeError(name)
        return self._numbers[name]

    def generator(self, stage: str) -> Draws:
        """What `Skin.generator` gives for each person, drawn from together."""
        return Draws([skin.generator(stage) for skin in self.skins], self.device)

    def alike(self, kind: Callable[[Skin], T]) -> dict[T, list[int]]:
        """Numbers of the people of each kind."""
        groups: dict[T, list[int]] = {}
        for number, skin in enumerate(self.skins):
            groups.setdefault(kind(skin), []).append(number)
        return groups

    def some(self, chosen: Sequence[int]) -> Crowd:
        """A crowd of some of them."""
        return Crowd([self.skins[k] for k in chosen], [self.sketches[k] for k in chosen], self.device)

    def drawn(self, planes: Sequence[npt.NDArray[Any]]) -> Tensor:
        """A plane of every person's sketch on the device, [K, ...], of its own dtype."""
        return torch.stack(moved_at_once([torch.from_numpy(plane) for plane in planes], self.device))


class Draws:
    """A generator for each of K people, asked together; each answers as it would alone."""

    def __init__(self, generators: Sequence[np.random.Generator], device: torch.device) -> None:
        self._generators, self._device = generators, device

    def together(self, draw: Callable[[np.random.Generator], T]) -> list[T]:
        """What each generator draws, on the host."""
        return [draw(generator) for generator in self._generators]

    def uniform(self, low: float, high: float) -> Tensor:
        """[K, 1, 1]."""
        return stacked(np.array(self.together(lambda one: one.uniform(low, high))), self._device)

    def random(self) -> Tensor:
        """[K, 1, 1] in 0–1."""
        return stacked(np.array(self.together(lambda one: one.random())), self._device)

    def standard_normal(self, count: int) -> Tensor:
        """[count, K]."""
        drawn = np.stack(self.together(lambda one: one.standard_normal(count)), 1)
        return torch.from_numpy(drawn.astype(np.float32)).to(self._device)


def stacked(numbers: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    """Numbers [..., K] as float32 tensors [..., K, 1, 1] on a device, rounded once."""
    return torch.from_numpy(numbers.astype(np.float32)).to(device)[..., None, None]
