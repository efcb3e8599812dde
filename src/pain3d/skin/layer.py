"""Knows a rectangle of texture under the brush: its planes, and how one surface covers another on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.skin.maps import Box, SurfaceMaps

Floats = npt.NDArray[np.float32]


@dataclass
class Layer:
    """The rows and columns `box` of a texture.

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
    albedo: list[Floats]
    specular: Floats
    roughness: Floats
    height: Floats = None  # type: ignore[assignment]  # made below
    scatter: Floats = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.height is None:
            self.height = np.zeros_like(self.specular)
        if self.scatter is None:
            self.scatter = np.ones_like(self.specular)

    @classmethod
    def plain(cls, maps: SurfaceMaps, box: Box, colour: Sequence[float], specular: float, roughness: float) -> Layer:
        """A rectangle of one colour."""
        shape = maps.part[box].shape
        planes = [np.full(shape, value, np.float32) for value in (*colour, specular, roughness)]
        return cls(maps, box, planes[:3], planes[3], planes[4])

    def part(self, inside: Box) -> Layer:
        """The rows and columns `inside` of the layer as one of its own: paint on it is paint on the layer."""
        top, left = (k.start for k in self.box)
        rows, columns = inside
        box = slice(top + rows.start, top + rows.stop), slice(left + columns.start, left + columns.stop)
        planes = (plane[inside] for plane in (self.specular, self.roughness, self.height, self.scatter))
        return Layer(self.maps, box, [plane[inside] for plane in self.albedo], *planes)

    def mask(self, name: str) -> Floats:
        """A mask of the maps, cut to the box."""
        return self.maps.masks[name][self.box]

    def cover(
        self,
        alpha: Floats,
        colour: Sequence[Floats | float],
        specular: float | None = None,
        roughness: float | None = None,
        scatter: float | None = None,
    ) -> None:
        """Lay a colour (numbers or planes) over the albedo with coverage alpha [h, w] in 0–1; the rest where given."""
        for plane, value in zip(self.albedo, colour, strict=True):
            _towards(plane, value, alpha)
        if specular is not None:
            _towards(self.specular, specular, alpha)
        if roughness is not None:
            _towards(self.roughness, roughness, alpha)
        if scatter is not None:
            _towards(self.scatter, scatter, alpha)

    def multiply(self, factor: Floats) -> None:
        """Darken or lighten the albedo by a factor [h, w]."""
        for plane in self.albedo:
            np.multiply(plane, factor, out=plane)


def bounds(where: npt.NDArray[np.bool_]) -> Box:
    """The rows and columns that hold all of `where` [h, w]; none where it is empty."""
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    (top, bottom), (left, right) = ((int(k[0]), int(k[-1]) + 1) if len(k) else (0, 0) for k in (rows, columns))
    return slice(top, bottom), slice(left, right)


def _towards(plane: Floats, value: Floats | float, alpha: Floats) -> None:
    step = np.subtract(np.float32(value) if isinstance(value, float) else value, plane)
    step *= alpha
    plane += step


def mixed_noise(maps: SurfaceMaps, scale: str, box: Box, generator: np.random.Generator) -> Floats:
    """A person's own noise [h, w] of unit variance: two of the four fields of a scale in a mixture of their own."""
    fields = maps.noise[scale]
    first, step = generator.integers(len(fields)), generator.integers(1, len(fields))
    turn = generator.uniform(0, 2 * np.pi)
    one, other = fields[first][box], fields[(first + step) % len(fields)][box]
    return np.asarray(cv2.addWeighted(one, np.cos(turn), other, np.sin(turn), 0.0), np.float32)
