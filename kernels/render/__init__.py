"""Knows the room `render`: meshes, textures and lights in, finished pictures out, in one forward pass."""

from pain3d.kernels.render.colour import encode_srgb, shoulder
from pain3d.kernels.render.op import render
from pain3d.kernels.render.reference import Rendered, RenderInputs, render_linear_reference, render_reference

__all__ = [
    "RenderInputs",
    "Rendered",
    "encode_srgb",
    "render",
    "render_linear_reference",
    "render_reference",
    "shoulder",
]
