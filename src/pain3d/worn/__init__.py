"""What people wear or lie on beside their clothes: bed, nasal cannula, oxygen mask, glasses; labels stay the skin's."""

from pain3d.worn.choice import BED, CANNULA, GLASSES, GOWN, MASK, THINGS, check_worn, sample_worn

__all__ = ["BED", "CANNULA", "GLASSES", "GOWN", "MASK", "THINGS", "check_worn", "sample_worn"]
