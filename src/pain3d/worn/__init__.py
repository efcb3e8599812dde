"""What people wear or lie on beside their clothes: bed, cannula, mask, glasses, cap, scarf; labels stay the skin's."""

from pain3d.worn.choice import (
    BED,
    CANNULA,
    CAP,
    COVERINGS,
    GLASSES,
    GOWN,
    MASK,
    SCARF,
    THINGS,
    check_worn,
    sample_worn,
)

__all__ = [
    "BED", "CANNULA", "CAP", "COVERINGS", "GLASSES", "GOWN", "MASK", "SCARF", "THINGS", "check_worn", "sample_worn",
]  # fmt: skip
