"""Colour between the eye and the renderer: sRGB ↔ linear, CIELAB, and the individual typology angle of skin."""

from __future__ import annotations

from collections.abc import Sequence

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


def temperature_gains(kelvin: float | Sequence[float]) -> Floats:
    """Factors [3] on linear rgb that turn white into a black body's colour, 1 at 6504 K, of luminance 1; [N, 3] of N.

    The Planckian locus is the cubic spline of Kim et al. 2002 (US patent 7024034), good to 1e-3 in xy.

    Raises:
        ValueError: Not in 2000–20000 K.
    """
    kelvins = np.asarray(kelvin, float)
    if not ((kelvins >= KELVINS[0]) & (kelvins <= KELVINS[1])).all():
        raise ValueError(f"a colour temperature must be in {KELVINS[0]:g}..{KELVINS[1]:g} K, got {kelvin}")
    gains = _planckian(kelvins) / _planckian(np.asarray(NEUTRAL_KELVIN))
    return np.asarray(gains / (gains * LUMINANCE).sum(-1, keepdims=True))


# x of the locus over 1e3 / K, and y over x, in falling powers: up to 2222 K, up to 4000 K and above.
_LOCUS_X = ((-0.2661239, -0.2343589, 0.8776956, 0.179910),) * 2 + ((-3.0258469, 2.1070379, 0.2226347, 0.240390),)
_LOCUS_Y = (
    (-1.1063814, -1.34811020, 2.18555832, -0.20219683), (-0.9549476, -1.37418593, 2.09137015, -0.16748867),
    (3.0817580, -5.87338670, 3.75112997, -0.37001483),
)  # fmt: skip


def _planckian(kelvins: Floats) -> Floats:
    """Linear sRGB [..., 3] of black bodies of luminance 1; a component may be negative below 1900 K."""
    part = (kelvins > 2222).astype(int) + (kelvins > 4000)

    def cubic(table: tuple[tuple[float, ...], ...], at: Floats) -> Floats:
        a, b, c, d = np.moveaxis(np.array(table)[part], -1, 0)
        return np.asarray(a * at**3 + b * at**2 + c * at + d)

    x = cubic(_LOCUS_X, 1e3 / kelvins)
    y = cubic(_LOCUS_Y, x)
    xyz = np.stack([x / y, np.ones_like(x), (1 - x - y) / y], -1)
    return np.asarray(np.linalg.solve(SRGB_TO_XYZ, xyz[..., None])[..., 0])
