"""Knows the door to a person's texture: from `SurfaceMaps` and `Skin` to five channels."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.skin.appearance import Skin
from pain3d.skin.maps import SurfaceMaps


def paint(head_maps: SurfaceMaps, skin: Skin) -> Tensor:
    """Paint one person's texture; the same maps and skin give the same bytes, whatever the number of threads.

    Args:
        head_maps: Of `surface_maps`; they say how large the texture is.
        skin: Who.

    Returns:
        [H, W, 5] float32: linear red, green and blue albedo (0.003–0.95), specular scale (1 is skin), roughness
        (0.05–1). Between the charts it goes on with the colour of the nearest one.

    Gradients: none.
    """
    from pain3d.skin.compose import paint_texture  # here: `import pain3d` loads no OpenCV

    return torch.from_numpy(paint_texture(head_maps, skin))
