"""Knows the statistics of a face's skin in a picture: patches at fixed places, their contrast by scale, their colour.

A photograph and a frame go the same way: MediaPipe's points, one size, one JPEG. A statistic of a face is the median
over its patches, so that hair, glasses or a hand over one of them don't count.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pain3d.colour import linear_to_lab, srgb_to_linear
from pain3d.judge.measures import OUTER_EYES
from pain3d.kernels.compression import jpeg_loss

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

EYES: Final = 60  # pixels between the outer eye corners in a crop: 69 in the smallest photograph of the packages
SIDE: Final = 128 / 60  # of a crop, in distances of the eyes
EYE_ROW: Final = 46 / 60
PATCH: Final = 1 / 3  # side of a patch, in distances of the eyes
BAND: Final = (4, 40)  # cycles per crop of the slope: below is framing, above is JPEG and resampling, at 60 pixels
QUALITY: Final = 83  # of both JPEGs that a face goes through: the middle of those that frames are saved with
SIGMAS: Final = (0.6, 1.2, 2.4, 4.8)  # pixels; a difference of two passes periods of about 2–4, 4–9 and 9–18 pixels
OVAL: Final = (1.03, 0.6, 0.7)  # row of its middle and half axes, in distances of the eyes: a face without hair

NAMES: Final = (
    "contrast at 2–4 pixels, %", "contrast at 4–9 pixels, %", "contrast at 9–18 pixels, %",
    "contrast, coarse over fine",
    "skewness of contrast", "kurtosis of gradients", "colour at 2–4 pixels", "colour at 4–18 pixels",
    "L* with a*, r", "L* with b*, r", "light over the face, L*", "a* over the face", "b* over the face",
    "mean a*", "mean b*", "spectral slope of the face", "steepest edges, L* a pixel",
)  # fmt: skip


class Crop(NamedTuple):
    """A face upright in a square: `pixels` [S, S, 3] and iBUG `points` [68, 2] in it."""

    pixels: Pixels
    points: Floats


def crop(pixels: Pixels, points: npt.ArrayLike, eyes: int = EYES) -> Crop:
    """The face upright, its outer eye corners `eyes` pixels apart; averaged down, never sharpened."""
    spots = np.asarray(points, float)[:68]
    corners = spots[list(OUTER_EYES)]
    across = corners[1] - corners[0]
    scale = eyes / float(np.linalg.norm(across))
    cos, sin = across * scale / eyes * scale
    side = round(eyes * SIDE)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    turn[:, 2] = np.array([side / 2, EYE_ROW * eyes]) - turn[:, :2] @ corners.mean(0)
    blurred = pixels
    if scale < 1:  # what the smaller picture can't show must go before it is sampled
        sigma = 0.45 * np.sqrt(1 / scale**2 - 1)
        blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), max(sigma, 0.01)), np.uint8)
    moved = cv2.warpAffine(blurred, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Crop(np.asarray(moved, np.uint8), spots @ turn[:, :2].T + turn[:, 2])


def compressed(pixels: Pixels) -> Pixels:
    """As a JPEG of QUALITY gives it back."""
    lossy = jpeg_loss(torch.from_numpy(np.ascontiguousarray(pixels))[None], torch.tensor([QUALITY]))
    return np.asarray(lossy[0].numpy(), np.uint8)


def eyes_apart(points: npt.ArrayLike) -> float:
    """Pixels between the outer eye corners."""
    spots = np.asarray(points, float)
    return float(np.linalg.norm(spots[OUTER_EYES[0]] - spots[OUTER_EYES[1]]))


def turned_away(points: npt.ArrayLike) -> float:
    """How far the tip of the nose is from the middle of the eyes, along their line, in their distance; 0: frontal."""
    spots = np.asarray(points, float)
    first, second = spots[list(OUTER_EYES)]
    across = (second - first) / np.linalg.norm(second - first)
    return float(abs((spots[30] - (first + second) / 2) @ across) / np.linalg.norm(second - first))


def places(points: Floats) -> Floats:
    """Middles of the skin patches [11, 2]: cheeks, jaw, forehead, chin and the bridge of the nose."""
    p = points
    across = p[OUTER_EYES[1]] - p[OUTER_EYES[0]]
    up = np.array([across[1], -across[0]])
    brow = (p[21] + p[22]) / 2
    return np.array([
        (p[36] + p[48]) / 2, (p[45] + p[54]) / 2, 0.25 * p[36] + 0.5 * p[48] + 0.25 * p[3],
        0.25 * p[45] + 0.5 * p[54] + 0.25 * p[13], (p[48] + p[5]) / 2, (p[54] + p[11]) / 2, brow + 0.35 * up,
        p[19] + 0.28 * up, p[24] + 0.28 * up, (p[8] + p[57]) / 2, p[29],
    ])  # fmt: skip


def face_statistics(face: Crop, eyes: int = EYES) -> Floats:
    """The numbers of NAMES [17] for a face of a colour picture; NaN where a patch lies nowhere in the crop."""
    lab = linear_to_lab(srgb_to_linear(face.pixels / 255.0))
    smooth = [cv2.GaussianBlur(lab, (0, 0), sigma) for sigma in SIGMAS]
    fine, middle, coarse = (smooth[i] - smooth[i + 1] for i in range(3))
    wide = middle + coarse
    steps = np.diff(smooth[0][..., 0], axis=1)[:-1], np.diff(smooth[0][..., 0], axis=0)[:, :-1]
    half = round(eyes * PATCH / 2)
    of_patches, tones = [], []
    for x, y in places(face.points).round().astype(int):
        window = np.s_[y - half : y + half, x - half : x + half]
        if x < half or y < half or x + half >= lab.shape[1] or y + half >= lab.shape[0]:
            continue
        tone = lab[window].reshape(-1, 3).mean(0)
        bands = [band[window].reshape(-1, 3) for band in (fine, middle, coarse)]
        contrasts = [100 * band[:, 0].std() / max(tone[0], 5.0) for band in bands]
        texture = (bands[0] + bands[1])[:, 0]
        slopes = np.concatenate([step[window].ravel() for step in steps])
        both = wide[window].reshape(-1, 3)
        of_patches.append([
            *contrasts, np.log2(contrasts[2] / max(contrasts[0], 1e-3)), _moment(texture, 3), _moment(slopes, 4),
            float(np.hypot(*bands[0].std(0)[1:])), float(np.hypot(*both.std(0)[1:])),
            _related(both[:, 0], both[:, 1]), _related(both[:, 0], both[:, 2]),
        ])  # fmt: skip
        tones.append(tone)
    if not tones:
        return np.full(len(NAMES), np.nan)
    edges = np.hypot(*steps)[_oval(lab.shape[0], eyes)[:-1, :-1]]
    slope = spectral_slope(lab[..., 0])
    return np.array([
        *np.median(of_patches, axis=0), *np.std(tones, axis=0), *np.median(tones, axis=0)[1:], slope,
        np.percentile(edges, 99),
    ])  # fmt: skip


def spectral_slope(luma: Floats) -> float:
    """Of log10 power over log10 cycles per crop within BAND, under a Hann window; contrast, not light, counts."""
    side = len(luma)
    window = np.hanning(side)[:, None] * np.hanning(side)[None]
    power = np.abs(np.fft.fft2((luma / luma.mean() - 1) * window)) ** 2
    cycles = np.fft.fftfreq(side) * side
    radius = np.hypot(cycles[:, None], cycles[None]).round().astype(int).ravel()
    top = min(BAND[1], round(0.32 * side)) + 1
    mean = np.bincount(radius, power.ravel())[BAND[0] : top] / np.bincount(radius)[BAND[0] : top]
    return float(np.polyfit(np.log10(np.arange(BAND[0], top)), np.log10(np.maximum(mean, 1e-12)), 1)[0])


def _moment(values: Floats, order: int) -> float:
    """Standardised central moment: 3 is skewness, 4 kurtosis (3 of a normal law)."""
    spread = values.std()
    return float((((values - values.mean()) / spread) ** order).mean()) if spread > 0 else 0.0


def _related(first: Floats, second: Floats) -> float:
    """Pearson's r; 0 where one side doesn't vary."""
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _oval(side: int, eyes: int) -> npt.NDArray[np.bool_]:
    """The face without hair and background: an ellipse around eyes, nose and mouth."""
    rows, columns = (np.mgrid[:side, :side] + 0.5) / eyes
    middle, wide, high = OVAL
    return np.asarray(((columns - SIDE / 2) / wide) ** 2 + ((rows - middle) / high) ** 2 <= 1)
