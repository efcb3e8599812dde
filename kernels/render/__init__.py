"""Knows the room `render`: meshes, textures and lights in, finished pictures out, in one forward pass."""

from pain3d.kernels.render.colour import encode_srgb, shoulder
from pain3d.kernels.render.op import render
from pain3d.kernels.render.reference import Rendered, RenderInputs, render_linear_reference, render_reference
from pain3d.kernels.render.relief import CHANNELS, DETAIL_LAYERS

__all__ = [
    "CHANNELS",
    "DETAIL_LAYERS",
    "RenderInputs",
    "Rendered",
    "encode_srgb",
    "render",
    "render_linear_reference",
    "render_reference",
    "shoulder",
]
