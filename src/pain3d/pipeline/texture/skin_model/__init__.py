"""A small diffusion model of skins over the chart, taught on the project's own people; it has seen no photograph."""

from pain3d.pipeline.texture.skin_model.model import SkinModel

__all__ = ["SkinModel"]
