"""From meshes to pictures and heatmaps."""

from pain3d.rendering.heatmap import PAIN_CHANNELS, au_heatmap, colourise, joint_heatmap
from pain3d.rendering.renderer import Renderer
from pain3d.rendering.view import View, render

__all__ = ["PAIN_CHANNELS", "Renderer", "View", "au_heatmap", "colourise", "joint_heatmap", "render"]
