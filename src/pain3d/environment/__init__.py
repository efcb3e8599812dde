"""Knows surroundings: panoramas of real places, what light they throw on a face and what of them stands behind it."""

from pain3d.environment.backdrop import paint_backdrop
from pain3d.environment.embedded import ENVIRONMENTS, embedded_environment
from pain3d.environment.panorama import Environment, analyse

__all__ = ["ENVIRONMENTS", "Environment", "analyse", "embedded_environment", "paint_backdrop"]
