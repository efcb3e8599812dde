"""Knows a rectangle of texture under the brush: five planes, and how one surface covers another on them."""

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
    """The rows and columns `box` of a texture: linear albedo planes [3][h, w], specular scale and roughness [h, w]."""

    maps: SurfaceMaps
    box: Box
    albedo: list[Floats]
    specular: Floats
    roughness: Floats

    @classmethod
    def plain(cls, maps: SurfaceMaps, box: Box, colour: Sequence[float], specular: float, roughness: float) -> Layer:
        """A rectangle of one colour."""
        shape = maps.part[box].shape
        planes = [np.full(shape, value, np.float32) for value in (*colour, specular, roughness)]
        return cls(maps, box, planes[:3], planes[3], planes[4])

    def mask(self, name: str) -> Floats:
        """A mask of the maps, cut to the box."""
        return self.maps.masks[name][self.box]

    def cover(
        self,
        alpha: Floats,
        colour: Sequence[Floats | float],
        specular: float | None = None,
        roughness: float | None = None,
    ) -> None:
        """Lay a colour (numbers or planes) over the albedo with coverage alpha [h, w] in 0–1; gloss too where given."""
        for plane, value in zip(self.albedo, colour, strict=True):
            _towards(plane, value, alpha)
        if specular is not None:
            _towards(self.specular, specular, alpha)
        if roughness is not None:
            _towards(self.roughness, roughness, alpha)

    def multiply(self, factor: Floats) -> None:
        """Darken or lighten the albedo by a factor [h, w]."""
        for plane in self.albedo:
            np.multiply(plane, factor, out=plane)

    def merged(self) -> Floats:
        """[h, w, 5] float32."""
        return np.asarray(cv2.merge([*self.albedo, self.specular, self.roughness]), np.float32)


def _towards(plane: Floats, value: Floats | float, alpha: Floats) -> None:
    step = np.subtract(np.float32(value) if isinstance(value, float) else value, plane)
    step *= alpha
    plane += step


def mixed_noise(maps: SurfaceMaps, scale: str, box: Box, generator: np.random.Generator) -> Floats:
    """A person's own noise [h, w] of unit variance: the four fields of a scale in a mixture of their own."""
    weights = generator.standard_normal(len(maps.noise[scale]))
    weights /= np.sqrt((weights**2).sum())
    first, second, *others = (noise[box] for noise in maps.noise[scale])
    total = cv2.addWeighted(first, weights[0], second, weights[1], 0.0)
    for weight, noise in zip(weights[2:], others, strict=True):
        cv2.scaleAdd(noise, weight, total, dst=total)
    return np.asarray(total, np.float32)
