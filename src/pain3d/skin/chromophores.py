"""Knows what colour skin is: from the share of melanin in its epidermis and of blood in its dermis to linear sRGB.

Two layers. The epidermis returns a little light before it meets melanin and absorbs the rest on the way in and out
(Beer–Lambert). The dermis below returns light by the total diffuse reflectance of a half space (Jensen & Buhler, "A
rapid hierarchical rendering technique for translucent materials", 2002, eq. 6), as in Donner & Jensen, "A spectral
BSSRDF for shading human skin" (2006). Optical coefficients of melanin, bloodless skin and scattering are the fits of
Jacques, "Optical properties of biological tissues" (2013); haemoglobin is the table compiled by Prahl (1998); the
observer is the analytic fit of Wyman, Sloan & Shirley (2013). Carotene is beta-carotene (Prahl's table, PhotochemCAD
1998) in all layers, as in BioSpec (Krishnaswamy & Baranoski 2004); that it yellows skin, and how much of it there is:
Alaluf, Heinrich, Stahl, Tronnier & Wiseman, "Dietary carotenoids contribute to normal human skin color" (2002).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pain3d.colour import SRGB_TO_XYZ
from pain3d.skin.appearance import Skin
from pain3d.skin.crowd import Crowd
from pain3d.skin.maps import Plane
from pain3d.skin.planes import looked_up

Floats = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.float64]

WAVELENGTHS = np.arange(400.0, 701.0, 10.0)  # nm
# Molar extinction (1/cm per mol/l) of oxygenated and deoxygenated haemoglobin, every 10 nm (Prahl 1998).
OXYGENATED = np.array([
    266232, 466840, 480360, 246072, 102580, 62816, 44480, 33209.2, 26629.2, 23684.4, 20932.8, 20035.2, 24202.4, 39956.8,
    53236, 43016, 32613.2, 44496, 50104, 14400.8, 3200, 1506, 942, 610, 442, 368, 319.6, 294, 277.6, 276, 290,
])  # fmt: skip
DEOXYGENATED = np.array([
    223296, 303956, 407560, 528600, 413280, 103292, 23388.8, 16156.4, 14550, 16684, 20862, 25773.6, 31589.6, 39036.4,
    46592, 53412, 53788, 45072, 37020, 28324.4, 14677.2, 9443.6, 6509.6, 5148.8, 4345.2, 3750.12, 3226.56, 2795.12,
    2407.92, 2051.96, 1794.28,
])  # fmt: skip
D65 = np.array([
    82.75, 91.49, 93.43, 86.68, 104.86, 117.01, 117.81, 114.86, 115.92, 108.81, 109.35, 107.80, 104.79, 107.69, 104.41,
    104.05, 100.0, 96.33, 95.79, 88.69, 90.01, 89.60, 87.70, 83.29, 83.70, 80.03, 80.21, 82.28, 78.28, 69.72, 71.61,
])  # fmt: skip
# Molar extinction of beta-carotene: 139,500 at its peak of 450 nm, a second one at 478 nm and a shoulder at 425 nm,
# drawn as three Gaussians (peak nm, standard deviation nm, share of the extinction at 450 nm).
CAROTENE_EXTINCTION = 139500.0
CAROTENE_BANDS = ((425.0, 15.0, 0.62), (451.0, 12.5, 0.82), (479.0, 12.0, 0.80))
CAROTENE_MOLAR = 3.0e-6  # mol/l at carotene 1: about three times the mean of Alaluf et al.
SATURATION = 0.82  # of the blood with oxygen: that of the small vessels of a warm face
BLOOD_GRAMS_PER_LITRE = 150.0
HAEMOGLOBIN_GRAMS_PER_MOL = 64500.0
# Jacques' 3.33 holds for melanin in suspension; packed into melanosomes it screens itself and the slope is flatter
# (sieve effect). With 3.33 tan skin comes out mustard, with 2.4 its b* is 23 at L* 54 and 21 at L* 40; measured cheeks
# have 19 and 15 (Xiao et al., "Characterising the variations in ethnic skin colours", 2017), as 1.8 gives.
MELANIN_SLOPE = 1.8
EPIDERMIS_CM = 0.006  # 60 micrometres
DIFFUSE_PATH = 2.0  # mean length of a diffuse ray through a layer, in thicknesses (Kubelka & Munk)
# Share returned above the basal layer, where the melanin is: without it dark skin comes out orange-black, with it ITA°
# of −50 lies at linear (0.10, 0.05, 0.03), as in photographs.
EPIDERMIS_RETURN = 0.032
# Volume shares at melanin 0 and 1, within Jacques' 1.3–43 % but for the lightest, whose ITA° of 60 needs less.
MELANOSOMES = (0.002, 0.34)
SCATTERING = 54.0  # 1/cm at 500 nm: Jacques' mean is 46, his samples of skin have 30 to 69
MELANIN_STEP = 0.8  # exponent of the scale between them, so that ITA° falls evenly along it
BLOOD = (0.0012, 0.12)  # volume shares at haemoglobin 0 and 1: pale skin to lips; between them geometrically
TABLE = 64  # cells a side: bilinear lookup is within 0.3 % of the model


def skin_spectrum(melanosomes: float, blood: float | Spectrum, carotene: float = 0.0) -> Spectrum:
    """Diffuse reflectance at `WAVELENGTHS` of skin with these volume shares of melanosomes and of blood.

    `blood` may be a column [N, 1]: then [N, 31]. `carotene` is on the scale of `Skin.carotene`, 0–1.
    """
    melanin = 6.6e11 * 550**-3.33 * (550 / WAVELENGTHS) ** MELANIN_SLOPE
    bloodless = 0.244 + 85.3 * np.exp(-(WAVELENGTHS - 154) / 66.2)
    molar = BLOOD_GRAMS_PER_LITRE / HAEMOGLOBIN_GRAMS_PER_MOL * np.log(10)
    haemoglobin = molar * (SATURATION * OXYGENATED + (1 - SATURATION) * DEOXYGENATED)
    bands = [share * np.exp(-0.5 * ((WAVELENGTHS - peak) / width) ** 2) for peak, width, share in CAROTENE_BANDS]
    yellow = carotene * CAROTENE_MOLAR * np.log(10) * CAROTENE_EXTINCTION * np.sum(bands, 0)
    bloodless = bloodless + yellow
    epidermis = melanosomes * melanin + (1 - melanosomes) * bloodless
    passed = np.exp(-2 * DIFFUSE_PATH * epidermis * EPIDERMIS_CM)
    absorption = blood * haemoglobin + (1 - blood) * bloodless
    scattering = SCATTERING * (WAVELENGTHS / 500) ** -1.421
    albedo = scattering / (scattering + absorption)
    root = np.sqrt(3 * (1 - albedo))
    index = 1.4  # of refraction
    fresnel = -1.440 / index**2 + 0.710 / index + 0.668 + 0.0636 * index
    boundary = (1 + fresnel) / (1 - fresnel)
    diffuse = albedo / 2 * (1 + np.exp(-4 / 3 * boundary * root)) * np.exp(-root)
    return np.asarray(EPIDERMIS_RETURN + passed * diffuse, np.float64)


def spectrum_to_linear(reflectance: Spectrum) -> Spectrum:
    """Linear sRGB [..., 3] of reflectances [..., 31] under D65; white is (1, 1, 1), some are negative."""
    observed = reflectance @ (D65[:, None] * _observer())
    white = D65 @ _observer()
    return np.asarray(observed / white * SRGB_TO_XYZ.sum(1) @ np.linalg.inv(SRGB_TO_XYZ).T, np.float64)


def _observer() -> Spectrum:
    def lobe(peak: float, below: float, above: float) -> Spectrum:
        width = np.where(peak > WAVELENGTHS, below, above)
        return np.asarray(np.exp(-0.5 * ((WAVELENGTHS - peak) / width) ** 2))

    x = 1.056 * lobe(599.8, 37.9, 31.0) + 0.362 * lobe(442.0, 16.0, 26.7) - 0.065 * lobe(501.1, 20.4, 26.2)
    y = 0.821 * lobe(568.8, 46.9, 40.5) + 0.286 * lobe(530.9, 16.3, 31.1)
    z = 1.217 * lobe(437.0, 11.8, 36.0) + 0.681 * lobe(459.0, 26.0, 13.8)
    return np.stack([x, y, z], 1)


@lru_cache(maxsize=2)
def skin_table(carotene: float = 0.0) -> Floats:
    """Linear albedo [TABLE + 1, TABLE + 1, 3] at even steps of melanin (rows) and haemoglobin (columns) in 0–1."""
    steps = np.linspace(0, 1, TABLE + 1)
    rows = []
    for melanin in steps:
        melanosomes = MELANOSOMES[0] * (MELANOSOMES[1] / MELANOSOMES[0]) ** melanin**MELANIN_STEP
        blood = BLOOD[0] * (BLOOD[1] / BLOOD[0]) ** steps[:, None]
        rows.append(spectrum_to_linear(skin_spectrum(melanosomes, blood, carotene)))
    return np.maximum(np.stack(rows), 0.01).astype(np.float32)  # 0.01: nothing on a body is blacker


def skin_albedo(melanin: Floats, haemoglobin: Floats, carotene: float = 0.0) -> Floats:
    """Linear albedo [H, W, 3] of skin with melanin and haemoglobin [H, W] on 0–1 scales; values outside are clamped.

    Carotene, 0–1, mixes the tables of none and of most by their logarithms: within 0.2 % of the model.
    """
    table = skin_table()
    if carotene > 0:
        table = np.asarray(table * (skin_table(1.0) / table) ** np.float32(carotene), np.float32)
    return np.asarray(looked_up(table, haemoglobin * np.float32(TABLE), melanin * np.float32(TABLE)))


def skin_planes(melanin: Plane, haemoglobin: Plane, skin: Skin | Crowd) -> list[Plane]:
    """Planes of red, green and blue of one person's skin, or with a leading axis of many people's: `skin_albedo`."""
    if not isinstance(skin, Crowd):
        return [np.asarray(p, np.float32) for p in cv2.split(skin_albedo(melanin, haemoglobin, skin.carotene))]
    plain, yellow = (np.ascontiguousarray(skin_table(most).transpose(2, 0, 1)) for most in (0.0, 1.0))
    tables = torch.from_numpy(np.stack([plain, yellow / plain])).to(skin.device)
    sheets = tables[0] * tables[1] ** skin.carotene[:, None]
    return list(looked_up(sheets, haemoglobin * TABLE, melanin * TABLE).unbind(1))
