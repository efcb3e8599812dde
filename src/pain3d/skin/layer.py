"""Knows a rectangle of texture under the brush: its planes, and how one surface covers another on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from pain3d.skin.appearance import Skin
from pain3d.skin.crowd import Crowd, Draws, stacked
from pain3d.skin.maps import Box, Plane, SurfaceMaps
from pain3d.skin.planes import Number, full, ones, towards_, zeros


@dataclass
class Layer:
    """The rows and columns `box` of a texture: of one person, or of K with a leading axis on each plane.

    Attributes:
        maps: Of the head.
        box: Rows and columns.
        albedo: Linear planes [3][h, w].
        specular: [h, w] scale, 1 is skin.
        roughness: [h, w] 0.05–1.
        height: [h, w] mm above the surface: pores, hairs, fabric; becomes slopes in the end. Zeros unless given.
        scatter: [h, w] how much light goes on below the surface: 1 skin, 0 cloth. Ones unless given.
    """

    maps: SurfaceMaps
    box: Box
    albedo: list[Plane]
    specular: Plane
    roughness: Plane
    height: Plane = None
    scatter: Plane = None

    def __post_init__(self) -> None:
        if self.height is None:
            self.height = zeros(self.specular)
        if self.scatter is None:
            self.scatter = ones(self.specular)

    @classmethod
    def plain(
        cls,
        maps: SurfaceMaps,
        box: Box,
        colour: Sequence[Number],
        specular: float,
        roughness: float,
        people: Skin | Crowd | None = None,
    ) -> Layer:
        """A rectangle of one colour; of a `Crowd` one for each."""
        like = maps.x[box]
        if isinstance(people, Crowd):
            like = like.expand(len(people), -1, -1)
        planes = [full(like, value) for value in (*colour, specular, roughness)]
        return cls(maps, box, planes[:3], planes[3], planes[4])

    def part(self, inside: Box) -> Layer:
        """The rows and columns `inside` of the layer as one of its own: paint on it is paint on the layer."""
        top, left = (k.start for k in self.box)
        rows, columns = inside
        box = slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)
        planes = (plane[..., rows, columns] for plane in (self.specular, self.roughness, self.height, self.scatter))
        return Layer(self.maps, box, [plane[..., rows, columns] for plane in self.albedo], *planes)

    def within(self, mask: str) -> Layer:
        """The rectangle that holds all of a mask in this layer: see `SurfaceMaps.bounds_of`."""
        return self.part(self.maps.bounds_of(mask, self.box))

    def of(self, chosen: Tensor) -> Layer:
        """Copies of the planes of some of many people; `put` brings them back."""
        planes = (plane[chosen] for plane in (self.specular, self.roughness, self.height, self.scatter))
        return Layer(self.maps, self.box, [plane[chosen] for plane in self.albedo], *planes)

    def put(self, chosen: Tensor, few: Layer) -> None:
        """Take the planes of some people from a layer of them alone, in place."""
        for plane, values in zip(self.planes(), few.planes(), strict=True):
            plane.index_copy_(0, chosen, values)

    def planes(self) -> list[Plane]:
        """All planes: albedo, specular, roughness, height, scatter."""
        return [*self.albedo, self.specular, self.roughness, self.height, self.scatter]

    def mask(self, name: str) -> Plane:
        """A mask of the maps, cut to the box."""
        return self.maps.masks[name][self.box]

    def cover(
        self,
        alpha: Plane,
        colour: Sequence[Plane | Number],
        specular: Number | None = None,
        roughness: Number | None = None,
        scatter: float | None = None,
    ) -> None:
        """Lay a colour (numbers or planes) over the albedo with coverage alpha [h, w] in 0–1; the rest where given."""
        for plane, value in zip(self.albedo, colour, strict=True):
            towards_(plane, value, alpha)
        if specular is not None:
            towards_(self.specular, specular, alpha)
        if roughness is not None:
            towards_(self.roughness, roughness, alpha)
        if scatter is not None:
            towards_(self.scatter, scatter, alpha)

    def multiply(self, factor: Plane) -> None:
        """Darken or lighten the albedo by a factor [h, w]."""
        for plane in self.albedo:
            plane *= factor


def mixed_noise(maps: SurfaceMaps, scale: str, box: Box, generator: np.random.Generator | Draws) -> Plane:
    """A person's own noise [h, w] of unit variance: two of the four fields of a scale in a mixture of their own."""
    fields = maps.noise[scale]
    if isinstance(generator, Draws):
        return mix_noise(maps, scale, box, generator.together(lambda one: draw_mixture(one, len(fields))))
    return mix_noise(maps, scale, box, draw_mixture(generator, len(fields)))


Mixture = tuple[int, int, float]  # two fields of a scale and the angle between them and their mixture


def draw_mixture(generator: np.random.Generator, fields: int) -> Mixture:
    """Which of the fields of a scale make a person's noise, and how."""
    first, step = int(generator.integers(fields)), int(generator.integers(1, fields))
    return first, (first + step) % fields, float(generator.uniform(0, 2 * np.pi))


def mix_noise(maps: SurfaceMaps, scale: str, box: Box, mixture: Mixture | list[Mixture]) -> Plane:
    """The noise [h, w] of a mixture, or [K, h, w] of K people's."""
    fields = maps.noise[scale]
    if isinstance(mixture, list):
        shares = np.zeros((len(fields), len(mixture)))
        for person, (one, other, turn) in enumerate(mixture):
            shares[one, person], shares[other, person] = np.cos(turn), np.sin(turn)
        weights = stacked(shares, fields.device)
        mixed = fields[0][box] * weights[0]
        for field, weight in zip(fields[1:], weights[1:], strict=True):
            mixed.addcmul_(field[box], weight)
        return mixed
    one, other, turn = mixture
    return np.asarray(
        cv2.addWeighted(fields[one][box], np.cos(turn), fields[other][box], np.sin(turn), 0.0), np.float32
    )


def chosen_noise(maps: SurfaceMaps, scale: str, box: Box, generator: np.random.Generator | Draws) -> Plane:
    """One of the fields of a scale [h, w] as it is."""
    fields = maps.noise[scale]
    if isinstance(generator, Draws):
        numbers = generator.together(lambda one: int(one.integers(len(fields))))
        return fields[:, box[0], box[1]][torch.tensor(numbers, device=fields.device)]
    return fields[int(generator.integers(len(fields)))][box]
