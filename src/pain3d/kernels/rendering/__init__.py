"""Knows the room `render`: meshes, textures and lights in, finished pictures out, in one forward pass."""

from pain3d.kernels.rendering.bundles import Rendered, RenderInputs
from pain3d.kernels.rendering.colour import encode_srgb, tone_map
from pain3d.kernels.rendering.op import render
from pain3d.kernels.rendering.reference import render_linear_reference, render_reference
from pain3d.kernels.rendering.relief import CHANNELS, DETAIL_LAYERS

__all__ = [
    "CHANNELS",
    "DETAIL_LAYERS",
    "RenderInputs",
    "Rendered",
    "encode_srgb",
    "render",
    "render_linear_reference",
    "render_reference",
    "tone_map",
]
