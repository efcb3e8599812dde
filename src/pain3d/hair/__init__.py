"""Hair as ribbons: grown strand by strand on a person's head, carried along by every expression and pose."""

from pain3d.hair.cards import paint_cards
from pain3d.hair.laying import hair_layers
from pain3d.hair.styles import STYLES, worn_style
from pain3d.hair.wearing import Hair, carry, dress, haired_surface, on_device, scalp_of, strip_faces

__all__ = [
    "STYLES", "Hair", "carry", "dress", "hair_layers", "haired_surface", "on_device", "paint_cards", "scalp_of",
    "strip_faces", "worn_style",
]  # fmt: skip
