"""From meshes to pictures and heatmaps."""

from pain3d.render.heatmap import PAIN_CHANNELS, au_heatmap, colourise, joint_heatmap
from pain3d.render.render import View, render
from pain3d.render.renderer import Renderer

__all__ = ["PAIN_CHANNELS", "Renderer", "View", "au_heatmap", "colourise", "joint_heatmap", "render"]
