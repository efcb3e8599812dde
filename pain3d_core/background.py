"""What stands behind the head: plain, gradient and bokeh, small linear pictures that the renderer stretches."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

BACKGROUNDS = ("plain", "gradient", "bokeh")
SIZE = 128  # pixels a side: an out-of-focus background has nothing finer

Floats = npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def _grid() -> tuple[Floats, Floats]:
    axis = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    return np.meshgrid(axis, axis)


def paint_background(name: str, generator: np.random.Generator) -> Floats:
    """A background [128, 128, 3], linear RGB 0–1, by name: ``plain``, ``gradient`` or ``bokeh``.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in BACKGROUNDS:
        raise ValueError(f"background must be one of {', '.join(BACKGROUNDS)}, got {name!r}")
    x, y = _grid()
    base = _muted_colour(generator)
    if name == "plain":
        vignette = 1 - 0.25 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
        return (base * vignette[..., None]).astype(np.float32)
    other = _muted_colour(generator)
    angle = 2 * np.pi * generator.random()
    along = 0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    smooth = np.clip(along, 0, 1)[..., None]
    picture = base * (1 - smooth) + other * smooth
    if name == "bokeh":
        for _ in range(6 + int(6 * generator.random())):  # large soft shapes: furniture, trees, walls
            u = generator.random(6)
            shape = np.exp(-(((x - u[0]) / (0.08 + 0.3 * u[2])) ** 2 + ((y - u[1]) / (0.08 + 0.3 * u[3])) ** 2))
            picture = picture + (shape * (0.25 + 0.5 * u[4]))[..., None] * (_muted_colour(generator) - picture)
        for _ in range(int(16 * generator.random())):  # discs of confusion
            u = generator.random(5)
            radius = 0.02 + 0.05 * u[2]
            disc = np.clip((radius - np.hypot(x - u[0], y - u[1])) / 0.012, 0, 1)
            picture = picture + (disc * 0.35 * u[3])[..., None] * (np.array([1.0, 0.85, 0.65]) * (0.4 + 0.6 * u[4]))
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def _muted_colour(generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """A linear colour of low saturation and any brightness."""
    brightness, *tint = generator.random(4)
    return np.asarray((0.03 + 0.45 * brightness**1.5) * (0.85 + 0.3 * np.array(tint)))
