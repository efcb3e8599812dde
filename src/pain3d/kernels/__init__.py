"""Knows the verbs on tensors: one room per op, each with a plain torch reference and, where it pays, a faster backend.

Nothing here loads numba or triton: a room's ``cpu.py`` and ``kernel.py`` do, at the first call that needs them. Torch
knows the custom ops of a room as soon as the room is imported.
"""

from pain3d.kernels._backend import use_backend
from pain3d.kernels.antialiasing import antialias, face_adjacency
from pain3d.kernels.backprojection import backproject, edge_confidence
from pain3d.kernels.compression import jpeg_loss
from pain3d.kernels.deformation import deform, deform_pairs, vertex_normals
from pain3d.kernels.distillation import (
    DistillLoss,
    DistillTargets,
    DistillWeights,
    StudentPredictions,
    TeacherPredictions,
    distill_loss,
)
from pain3d.kernels.interpolation import interpolate
from pain3d.kernels.layering import Layers, Overlaid, build_layer_mipmaps, overlay
from pain3d.kernels.rasterization import Fragments, rasterize
from pain3d.kernels.rendering import Rendered, encode_srgb, render, tone_map
from pain3d.kernels.sensor import develop
from pain3d.kernels.shading import sh_basis, shade
from pain3d.kernels.shadowing import Shadows, cast_shadows
from pain3d.kernels.texturing import Mipmaps, build_mipmaps, sample_texture

__all__ = [
    "DistillLoss",
    "DistillTargets",
    "DistillWeights",
    "Fragments",
    "Layers",
    "Mipmaps",
    "Overlaid",
    "Rendered",
    "Shadows",
    "StudentPredictions",
    "TeacherPredictions",
    "antialias",
    "backproject",
    "build_layer_mipmaps",
    "build_mipmaps",
    "cast_shadows",
    "deform",
    "deform_pairs",
    "develop",
    "distill_loss",
    "edge_confidence",
    "encode_srgb",
    "face_adjacency",
    "interpolate",
    "jpeg_loss",
    "overlay",
    "rasterize",
    "render",
    "sample_texture",
    "sh_basis",
    "shade",
    "tone_map",
    "use_backend",
    "vertex_normals",
]
