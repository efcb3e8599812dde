"""Colour between the eye and the renderer: sRGB ↔ linear, CIELAB, and the individual typology angle of skin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

# Linear sRGB (D65) to CIE XYZ, IEC 61966-2-1.
SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def srgb_to_linear(srgb: Floats) -> Floats:
    """Linear light of sRGB values 0–1, elementwise (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Floats) -> Floats:
    """Inverse of `srgb_to_linear` on 0–1; values outside are clipped."""
    clipped = np.clip(linear, 0, 1)
    return np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


def linear_to_lab(linear: Floats) -> Floats:
    """CIELAB (D65, 2°) of linear sRGB, [..., 3] to [..., 3]."""
    white = SRGB_TO_XYZ.sum(1)
    ratio = linear @ SRGB_TO_XYZ.T / white
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def typology_angle(linear: Floats) -> Floats:
    """Individual typology angle ITA° = atan((L* − 50) / b*) in degrees, [..., 3] to [...] (Chardon et al. 1991).

    Above 55° very light, 41–55 light, 28–41 intermediate, 10–28 tan, −30–10 brown, below −30 dark.
    """
    lab = linear_to_lab(linear)
    return np.asarray(np.degrees(np.arctan2(lab[..., 0] - 50, np.maximum(lab[..., 2], 1e-6))))
