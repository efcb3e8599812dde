"""The head: its file, who it is, and the model that moves it."""

from pain3d.head.assets import HeadFileError
from pain3d.head.identity import Identity, sample_identity
from pain3d.head.model import Head

__all__ = ["Head", "HeadFileError", "Identity", "sample_identity"]
