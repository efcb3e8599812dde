"""Knows how one person is rendered again and again: what belongs to the person is made once, the rest per picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.head.model import Head
from pain3d.kernels.rendering import tone_map
from pain3d.kernels.texturing import Mipmaps
from pain3d.mesh import Surface
from pain3d.rendering.frames import TEXTURE_SIZE
from pain3d.rendering.heatmap import COLOUR_LIMIT_MM, colourise
from pain3d.rendering.renderer import Renderer
from pain3d.rendering.scene_inputs import grown_surface, own_backgrounds
from pain3d.rendering.shots import shots_of
from pain3d.scene import Scene
from pain3d.skin import Skin, surface_maps
from pain3d.skin.painting import paint_people

FULL_MM = 2.0  # from here on a heatmap that lies over a picture is as strong as it gets; what moves less shines through

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Portrait:
    """Renders scenes one after the other, on the CPU; a new person takes longer, for the skin is painted.

    The picture is that of `render_scenes`, but for the sensor's noise; and for hair, which is painted.

    Args:
        size: Pixels a side; scenes must have it.
        texels: Of the texture, a side: a power of two.
    """

    def __init__(self, size: int, texels: int = TEXTURE_SIZE) -> None:
        self.head = Head.default()
        self._renderer = Renderer(self.head, size, outputs=("image", "heatmap"))
        self._maps = surface_maps(self.head, texels)
        self._skin: tuple[Skin, bool] | None = None
        self._worn: tuple[Mipmaps, Surface] | None = None
        self._place: tuple[object, ...] = ()
        self._background = torch.zeros(0)

    def take(self, scene: Scene) -> tuple[Pixels, Floats]:
        """The picture of a scene [H, W, 3], sRGB, and its heatmap [H, W], millimetres.

        Raises:
            ValueError: The scene has another size, or names a texture.
        """
        if scene.size != self._renderer.size[0] or scene.texture:
            raise ValueError(f"scene must have {self._renderer.size[0]} pixels a side and no texture of its own")
        texture, surface = self._painted(scene)
        shots = shots_of([scene])
        view = self._renderer(
            shots.camera,
            identity=scene.identity,
            au=shots.au,
            pose={"neck_pose": shots.neck, "leye_pose": shots.gaze, "reye_pose": shots.gaze},
            light=shots.light,
            texture=texture,
            background=tone_map(self._behind(scene) * shots.gains[:, None, None]),
            surface=surface,
        )
        assert view.image is not None and view.heatmap is not None
        return view.image[0].numpy(), view.heatmap[0].numpy()

    def _painted(self, scene: Scene) -> tuple[Mipmaps, Surface]:
        wanted = scene.skin, scene.wrinkles
        if self._worn is None or self._skin != wanted:
            self._worn = paint_people(self._maps, [scene.skin], "cpu"), grown_surface(self.head, *wanted)
            self._skin = wanted
        return self._worn

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
