"""Knows the room `overlay`: hair in layers of ribbons and cards, half transparent, over finished light."""

from pain3d.kernels.layering.bundles import Layers, LayerScene, Overlaid
from pain3d.kernels.layering.joining import join_layers
from pain3d.kernels.layering.op import build_layer_mipmaps, overlay
from pain3d.kernels.layering.reference import overlay_reference

__all__ = [
    "LayerScene", "Layers", "Overlaid", "build_layer_mipmaps", "join_layers", "overlay", "overlay_reference",
]  # fmt: skip
