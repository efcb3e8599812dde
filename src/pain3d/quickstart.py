"""Knows where the names of ``import pain3d`` come from; `pain3d` hands them on, and its `__all__` lists them."""

from pain3d.camera import Camera as Camera
from pain3d.facs import ActionUnits as ActionUnits
from pain3d.facs import pspi as pspi
from pain3d.fitting import Fit as Fit
from pain3d.fitting import fit as fit
from pain3d.head import Head as Head
from pain3d.head import Identity as Identity
from pain3d.light import Light as Light
from pain3d.mesh import Mesh as Mesh
from pain3d.rendering import Renderer as Renderer
from pain3d.rendering import View as View
from pain3d.rendering import au_heatmap as au_heatmap
from pain3d.rendering import colourise as colourise
from pain3d.rendering import joint_heatmap as joint_heatmap
from pain3d.rendering import render as render
from pain3d.rendering.frames import Frames as Frames
from pain3d.rendering.frames import render_scenes as render_scenes
from pain3d.scene import Scene as Scene
from pain3d.scene import demographic_grid as demographic_grid
from pain3d.scene import sample_scenes as sample_scenes
from pain3d.skin import Skin as Skin
from pain3d.skin import paint as paint
from pain3d.skin import sample_skin as sample_skin
from pain3d.skin import surface as surface
from pain3d.skin import surface_maps as surface_maps
