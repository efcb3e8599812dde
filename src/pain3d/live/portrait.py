"""Knows how one person is rendered again and again: what belongs to the person is made once, the rest per picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.head.model import Head
from pain3d.rendering.frames import TEXTURE_SIZE
from pain3d.rendering.heatmap import COLOUR_LIMIT_MM, colourise
from pain3d.rendering.people import People
from pain3d.rendering.portraits import render_portraits
from pain3d.rendering.scene_inputs import own_backgrounds
from pain3d.rendering.shots import shots_of
from pain3d.scene import Scene

FULL_MM = 2.0  # from here on a heatmap that lies over a picture is as strong as it gets; what moves less shines through

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Portrait:
    """Renders scenes one after the other, on the CPU; a new person takes longer, who is painted and grows hair.

    The picture is that of `render_scenes`.

    Args:
        size: Pixels a side; scenes must have it.
        texels: Of the texture, a side: a power of two.
    """

    def __init__(self, size: int, texels: int = TEXTURE_SIZE) -> None:
        self._size = size
        self._people = People(Head.default(), 1, frame=size, side=texels)
        self._slot = torch.zeros(1, dtype=torch.int64)
        self._who: tuple[object, ...] = ()
        self._place: tuple[object, ...] = ()
        self._background = torch.zeros(0)

    def take(self, scene: Scene) -> tuple[Pixels, Floats]:
        """The picture of a scene [H, W, 3], sRGB, and its heatmap [H, W], millimetres.

        Raises:
            ValueError: The scene has another size, names a texture or wears something.
        """
        if scene.size != self._size:
            raise ValueError(f"scene must have {self._size} pixels a side, got {scene.size}")
        who = scene.identity, scene.skin, scene.hair, scene.wrinkles
        if self._who != who:
            self._people.paint(0, scene)
            self._who = who
        seen = render_portraits(shots_of([scene]), self._people, self._slot, self._behind(scene), heatmaps=True)
        assert seen.heatmap is not None
        return seen.image[0].numpy(), seen.heatmap[0].numpy()

    def _behind(self, scene: Scene) -> Tensor:
        """[1, h, w, 3] linear."""
        place = (scene.background, scene.background_blur, scene.background_id, scene.seed, scene.identity_id)
        if self._place != place:
            self._background = torch.from_numpy(own_backgrounds([scene])[0])
            self._place = place
        return self._background


def overlaid(picture: Pixels, heat_mm: Floats, strength: float) -> Pixels:
    """A picture [H, W, 3] with its heatmap [H, W] over it: 0 leaves it, 1 hides the skin wherever it moves 2 mm."""
    if strength <= 0:
        return picture
    share = np.clip(heat_mm * np.float32(1 / FULL_MM), 0, 1)[..., None] * np.float32(min(strength, 1.0))
    hot = colourise(heat_mm, limit_mm=COLOUR_LIMIT_MM)
    return np.asarray(picture + share * (hot.astype(np.float32) - picture) + 0.5, np.float32).astype(np.uint8)
