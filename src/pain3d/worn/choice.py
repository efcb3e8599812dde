"""Knows what there is to wear, who wears it, and how that is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pain3d.random import keyed_generator
from pain3d.ranges import check_number, told

BED, GOWN, CANNULA, MASK, GLASSES, CAP, SCARF = "bed", "gown", "cannula", "mask", "glasses", "cap", "scarf"
THINGS = (BED, GOWN, CANNULA, MASK, GLASSES, CAP, SCARF)
COVERINGS = (CAP, SCARF)  # of the hair; they exclude each other
# Of people in care. What is given to breathe excludes each other; the others breathe room air.
GOWN_SHARE, CANNULA_SHARE, MASK_SHARE = 0.8, 0.4, 0.25
CAP_SHARE = 0.15  # by a key of its own; who wears a scarf wears no cap


def sample_worn(seed: int, identity_id: int, clinical: float, glasses: float, scarf: float = 0.0) -> tuple[str, ...]:
    """What one person wears in every picture, in the order of `THINGS`, by key.

    Args:
        seed: The data set's.
        identity_id: Whose.
        clinical: Share of people in care, 0–1: of them 80 % wear a gown, 40 % a nasal cannula and 25 % a mask,
            and 15 % of those without a scarf a cap.
        glasses: Share of people with glasses, 0–1.
        scarf: Share of people with a headscarf, 0–1; no draw knows a person's sex, age or ancestry, so it tells nothing
            of them.

    Raises:
        ValueError: A share is out of range.
    """
    check_number("clinical", clinical, 0, 1)
    check_number("glasses", glasses, 0, 1)
    check_number("scarf", scarf, 0, 1)
    if clinical == 0 and glasses == 0 and scarf == 0:
        return ()
    cared, gown, breath, sees = keyed_generator(seed, "worn", identity_id).random(4).tolist()
    covered, capped = keyed_generator(seed, "worn/covering", identity_id).random(2).tolist()
    patient, veiled = cared < clinical, covered < scarf
    worn = {
        GOWN: patient and gown < GOWN_SHARE,
        CANNULA: patient and breath < CANNULA_SHARE,
        MASK: patient and CANNULA_SHARE <= breath < CANNULA_SHARE + MASK_SHARE,
        GLASSES: sees < glasses,
        CAP: patient and capped < CAP_SHARE and not veiled,
        SCARF: veiled,
    }
    return tuple(name for name in THINGS if worn.get(name))


def check_worn(worn: Any) -> tuple[str, ...]:
    """What a scene says is worn, a sequence of `THINGS` in their order. Raises ValueError, in one line, if it isn't."""
    if not isinstance(worn, Sequence) or isinstance(worn, str) or not all(isinstance(one, str) for one in worn):
        raise ValueError(f"worn must be a sequence of {', '.join(THINGS)}, got {told(worn)}")
    if tuple(worn) != tuple(name for name in THINGS if name in worn):
        raise ValueError(f"worn must be of {', '.join(THINGS)}, each once and in this order, got {told(worn)}")
    if all(name in worn for name in COVERINGS):
        raise ValueError(f"worn must not hold both {' and '.join(COVERINGS)}, got {told(worn)}")
    return tuple(worn)
