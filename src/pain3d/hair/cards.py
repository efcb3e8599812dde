"""Knows what a ribbon of hair looks like: tiles of many fine strands with gaps between them, painted once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator

WIDE, LONG = 16, 128  # texels of a tile: across and along
# Of each tile: strands, width of a strand in texels, how far it wanders, waves along it.
STRAIGHT = ((34, 2.2, 0.5, 0.0), (13, 1.9, 1.0, 0.0), (9, 1.6, 1.3, 0.0), (6, 1.3, 1.7, 0.0))
COILS = ((40, 1.7, 2.4, 6.0), (16, 1.4, 2.8, 7.0), (11, 1.3, 3.0, 5.0), (7, 1.2, 3.2, 6.0))
FIRST_COIL = len(STRAIGHT)
TILES = len(STRAIGHT) + len(COILS)


@lru_cache(maxsize=1)
def paint_cards() -> npt.NDArray[np.float32]:
    """Tiles [TILES, LONG, WIDE, 4]: albedo about 1 (three times the same) and alpha; roots at the last row."""
    return np.stack([_tile(number, *row) for number, row in enumerate((*STRAIGHT, *COILS))])


def _tile(number: int, count: int, width: float, wander: float, waves: float) -> npt.NDArray[np.float32]:
    generator = keyed_generator(0, "hair/cards", number)
    t = np.linspace(0, 1, LONG)  # from root to tip
    clear, light = np.ones((LONG, WIDE)), np.zeros((LONG, WIDE))
    weight = np.zeros((LONG, WIDE))
    columns = np.arange(WIDE) + 0.5
    for _ in range(count):
        edge = wander + width
        start = generator.uniform(edge * 0.7, WIDE - edge * 0.7)
        # Strands of a lock come together towards its tip.
        end = WIDE / 2 + (start - WIDE / 2) * generator.uniform(0.35, 1.0)
        phase, turns = generator.random(2) * 2 * np.pi, generator.uniform(0.6, 1.6, 2)
        path = start + (end - start) * t**1.5
        path = path + wander * 0.5 * (
            np.sin(turns[0] * np.pi * t + phase[0]) + 0.4 * np.sin(3 * turns[1] * np.pi * t + phase[1])
        )
        if waves:
            path = path + wander * 0.9 * np.sin(2 * np.pi * waves * turns[0] * t + phase[1])
        stop = generator.uniform(0.55, 1.0) if generator.random() < 0.6 else 1.0
        begin = generator.uniform(-0.1, 0.06)
        body = np.clip((stop - t) / 0.35, 0, 1) ** 0.6 * np.clip((t - begin) / 0.04, 0, 1)
        half = np.maximum(0.5 * width * body, 1e-3)
        distance = np.abs(columns[None] - path[:, None])
        alpha = np.clip((half[:, None] - distance) + 0.5, 0, 1) * np.clip(body * 3, 0, 1)[:, None]
        tone = np.exp(generator.normal(0, 0.32)) * (0.80 + 0.30 * np.clip(1 - (distance / half[:, None]) ** 2, 0, 1))
        over = generator.random() < 0.5
        share = alpha if over else alpha * clear
        light = light * (1 - share) + tone * share
        weight = weight * (1 - share) + share
        clear = clear * (1 - alpha)
    albedo = np.where(weight > 1e-4, light / np.maximum(weight, 1e-4), 0.8)
    fringe = np.clip(np.minimum(columns, WIDE - columns) / 1.2, 0, 1)
    alpha = (1 - clear) * fringe
    tile = np.concatenate([np.repeat(albedo[..., None], 3, 2), alpha[..., None]], 2)
    return np.ascontiguousarray(tile[::-1], np.float32)  # row 0 is v = 1, the tip
