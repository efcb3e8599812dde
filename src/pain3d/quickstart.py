"""Knows where the names of ``import pain3d`` come from; `pain3d` hands them on."""

from pain3d.camera import Camera
from pain3d.facs import ActionUnits, pspi
from pain3d.fitting import Fit, fit
from pain3d.head import Head, Identity
from pain3d.light import Light
from pain3d.mesh import Mesh
from pain3d.rendering import Renderer, View, au_heatmap, colourise, joint_heatmap, render
from pain3d.rendering.frames import Frames, render_scenes
from pain3d.scene import Scene, demographic_grid, sample_scenes
from pain3d.skin import Skin, paint, sample_skin, surface, surface_maps

__all__ = [
    "ActionUnits",
    "Camera",
    "Fit",
    "Frames",
    "Head",
    "Identity",
    "Light",
    "Mesh",
    "Renderer",
    "Scene",
    "Skin",
    "View",
    "au_heatmap",
    "colourise",
    "demographic_grid",
    "fit",
    "joint_heatmap",
    "paint",
    "pspi",
    "render",
    "render_scenes",
    "sample_scenes",
    "sample_skin",
    "surface",
    "surface_maps",
]
