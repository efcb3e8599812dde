"""Knows how a lens bends straight lines, both ways: Brown's radial model with one coefficient, as OpenCV has it.

A ray of a pinhole goes through x, y of the plane z = 1, a lens puts it at (1 + k1 r²) times that, r² = x² + y². Below 0
lines bulge outward (barrel), above 0 inward (pincushion). Plain sums and products, for floats and for tensors.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

Number = TypeVar("Number", float, Tensor)

MOST_BENT = 0.1  # of k1 r² at a picture's corner: beyond 4/27 barrel distortion has no inverse, the picture folds
STEPS = 4  # of Newton's, each doubles the digits: within `MOST_BENT` four are enough for all of a float64


def bending(k1: Number, squared: Number) -> Number:
    """Factor 1 + k1 r² by which a lens moves what a pinhole sees at r² from the middle of its plane z = 1.

    Source: Brown 1966, "Decentering distortion of lenses"; OpenCV's ``distCoeffs`` (k1, 0, 0, 0, 0).

    Gradients: to both.
    """
    return 1 + k1 * squared


def straightening(bent: Number) -> Number:
    """Factor s by which a place in the bent picture moves back to where a pinhole sees it.

    The inverse of `bending`: s (1 + k1 r² s²) = 1, by Newton's method from 1.

    Args:
        bent: k1 r² of the place in the bent picture, at most `MOST_BENT` to either side.
    """
    s = 1 + 0 * bent
    for _ in range(STEPS):
        s = s - (s * (1 + bent * s * s) - 1) / (1 + 3 * bent * s * s)
    return s


def pinhole_reach(k1: float, half: float) -> float:
    """Half of the plane z = 1 that a square pinhole must see, for a lens to bend it into a square of `half` a side.

    It is the corner that reaches farthest for with a barrel, and the middle of a side with a pincushion.
    """
    return half * straightening(k1 * (2 if k1 < 0 else 1) * half * half)


def coefficient_limit(half: float) -> float:
    """The most that k1 may be, to either side, of a lens whose square picture has `half` of the plane z = 1 a side."""
    return MOST_BENT / (2 * half * half)
