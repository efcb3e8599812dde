"""Colour between the eye and the renderer: sRGB ↔ linear, CIELAB, and the individual typology angle of skin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

# Linear sRGB (D65) to CIE XYZ, IEC 61966-2-1.
SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
LUMINANCE = SRGB_TO_XYZ[1]
NEUTRAL_KELVIN = 6504.0  # correlated colour temperature of D65, sRGB's white
KELVINS = (2000.0, 20000.0)


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


def temperature_gains(kelvin: float) -> Floats:
    """Factors [3] on linear rgb that turn white into a black body's colour, 1 at 6504 K, of luminance 1.

    The Planckian locus is the cubic spline of Kim et al. 2002 (US patent 7024034), good to 1e-3 in xy.

    Raises:
        ValueError: Not in 2000–20000 K.
    """
    if not KELVINS[0] <= kelvin <= KELVINS[1]:
        raise ValueError(f"a colour temperature must be in {KELVINS[0]:g}..{KELVINS[1]:g} K, got {kelvin}")
    gains = _planckian(kelvin) / _planckian(NEUTRAL_KELVIN)
    return np.asarray(gains / (LUMINANCE @ gains))


def _planckian(kelvin: float) -> Floats:
    """Linear sRGB [3] of a black body of luminance 1; a component may be negative below 1900 K."""
    t = 1e3 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    return np.linalg.solve(SRGB_TO_XYZ, np.array([x / y, 1.0, (1 - x - y) / y]))
