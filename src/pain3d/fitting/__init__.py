"""Analysis by synthesis: from pictures of a face to its identity, action units, light and skin."""

from pain3d.fitting.result import Fit
from pain3d.fitting.stages import fit

__all__ = ["Fit", "fit"]
