"""Knows how the statistics of rendered faces lie beside those of a photograph: spectrum, contrast, colour.

The reference is one picture: NASA's portrait of Eileen Collins in scikit-image (public domain). One person, one camera,
one light: a sanity check of orders of magnitude, not a distribution. No other photograph of a face with a clear licence
was found inside wheels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.colour import linear_to_lab, srgb_to_linear
from pain3d.console.progress import Progress
from pain3d.doors.pictures import read_picture
from pain3d.face.landmarker import Landmarker
from pain3d.judge.drawing import Tile, mosaic, new_plot, saved
from pain3d.judge.extra import ASTRONAUT, described
from pain3d.judge.measures import OUTER_EYES, median
from pain3d.judge.verdict import Figure, Measure, Table, Verdict
from pain3d.pipeline.contact_sheet import picture_of
from pain3d.pipeline.data_set import DataSet

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

SIDE = 128  # pixels of the face crop
EYE_DISTANCE = 60.0  # pixels in the crop, of the outer eye corners: 69 in the photograph, so nothing is enlarged
EYE_ROW = 46.0
BAND = (4, 40)  # cycles per crop over which the slope is fitted: below is framing, above is JPEG and resampling
WINDOW = 9  # pixels a side of a local contrast
MOST_YAW = 20.0
COLUMNS = ("sample_id", "image", "landmarks_2d", "yaw_degrees", "PSPI")


@dataclass(frozen=True)
class Statistics:
    """Of one face crop: `spectrum` [SIDE/2] log10 power by cycles per crop; `contrast` [n] local; `lab` [m, 3]."""

    slope: float
    spectrum: Floats
    contrast: Floats
    lab: Floats

    def row(self) -> tuple[float, ...]:
        """Slope, median and 95th percentile of contrast, mean a*, b*, spread of L*, a*, b* over the skin."""
        low, high = np.percentile(self.contrast, (50, 95))
        mean, spread = self.lab.mean(0), self.lab.std(0)
        return (self.slope, low, high, mean[1], mean[2], spread[0], spread[1], spread[2])


NAMES = (
    "spectral slope", "local contrast, median", "local contrast, 95 %", "mean a*", "mean b*", "spread of L*",
    "spread of a*", "spread of b*",
)  # fmt: skip


def judge_photo(data: DataSet, most: int, quiet: bool) -> Verdict:
    """Compare at most so many near-frontal frames with the photograph."""
    photograph = read_picture(ASTRONAUT.find())
    with Landmarker() as landmarker:
        reading = landmarker.read(photograph)
    assert reading is not None, "MediaPipe sees the face in the photograph"
    reference_crop = crop(photograph, reading.ibug)
    keep = data.spread(most)
    crops: list[Pixels] = []
    with Progress(len(keep), quiet=quiet) as progress:
        for row in data.rows("frames", COLUMNS, keep):
            points = np.asarray(row["landmarks_2d"], float)[:68]
            wide = float(np.linalg.norm(points[OUTER_EYES[0]] - points[OUTER_EYES[1]]))
            if abs(row["yaw_degrees"]) <= MOST_YAW and wide >= EYE_DISTANCE:  # nothing is enlarged
                crops.append(crop(picture_of(row), points))
            progress.add(1)
    return summarise(statistics(reference_crop), [statistics(c) for c in crops], reference_crop, crops)


def crop(pixels: Pixels, points: npt.ArrayLike) -> Pixels:
    """The face upright, SIDE × SIDE, its outer eye corners EYE_DISTANCE apart; averaged down, never sharpened."""
    corners = np.asarray(points, float)[list(OUTER_EYES)]
    across = corners[1] - corners[0]
    scale = EYE_DISTANCE / float(np.linalg.norm(across))
    cos, sin = across * scale / EYE_DISTANCE * scale
    middle = corners.mean(0)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    turn[:, 2] = np.array([SIDE / 2, EYE_ROW]) - turn[:, :2] @ middle
    blurred = pixels
    if scale < 1:  # what the smaller picture can't show must go before it is sampled
        sigma = 0.45 * np.sqrt(1 / scale**2 - 1)
        blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), max(sigma, 0.01)), np.uint8)
    return np.asarray(cv2.warpAffine(blurred, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)


def statistics(pixels: Pixels) -> Statistics:
    """Spectrum, contrast and colour of a crop."""
    linear = srgb_to_linear(pixels / 255.0)
    lab = linear_to_lab(linear)
    luma = lab[..., 0]
    spectrum = radial_spectrum(luma)
    cycles = np.arange(len(spectrum))
    band = slice(BAND[0], BAND[1] + 1)
    slope = float(np.polyfit(np.log10(cycles[band]), spectrum[band], 1)[0])
    inside = _oval()
    mean = cv2.blur(luma, (WINDOW, WINDOW))
    variance = np.maximum(cv2.blur(luma**2, (WINDOW, WINDOW)) - mean**2, 0)
    contrast = (np.sqrt(variance) / np.maximum(mean, 5.0))[inside]
    return Statistics(slope, spectrum, np.asarray(contrast), lab[inside])


def radial_spectrum(luma: Floats) -> Floats:
    """log10 of the mean power by whole cycles per crop, from 0, under a Hann window; contrast, not light, counts."""
    window = np.hanning(SIDE)[:, None] * np.hanning(SIDE)[None]
    power = np.abs(np.fft.fft2((luma / luma.mean() - 1) * window)) ** 2
    cycles = np.fft.fftfreq(SIDE) * SIDE
    radius = np.hypot(cycles[:, None], cycles[None]).round().astype(int).ravel()
    total = np.bincount(radius, power.ravel())[: SIDE // 2]
    return np.asarray(np.log10(np.maximum(total / np.bincount(radius)[: SIDE // 2], 1e-12)))


def _oval() -> npt.NDArray[np.bool_]:
    """The face without hair and background: an ellipse around eyes, nose and mouth."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.asarray(((columns - SIDE / 2) / 36) ** 2 + ((rows - 62) / 42) ** 2 <= 1)


def summarise(reference: Statistics, ours: list[Statistics], photograph: Pixels, crops: list[Pixels]) -> Verdict:
    """Table and figures; a measure says how many of the photograph's numbers lie within our 2.5–97.5 %."""
    wanted = reference.row()
    found = np.array([s.row() for s in ours]).reshape(-1, len(NAMES))
    rows, inside = [], []
    for place, name in enumerate(NAMES):
        column = found[:, place]
        low, high = np.percentile(column, (2.5, 97.5)) if len(column) else (np.nan, np.nan)
        inside.append(bool(low <= wanted[place] <= high))
        rows.append((name, wanted[place], median(column), float(low), float(high), "yes" if inside[-1] else "no"))
    table = Table(
        "A photograph and the frames",
        ("statistic", "photograph", "ours, median", "2.5 %", "97.5 %", "photograph inside"),
        tuple(rows),
        "Crops of 128 pixels with equal eye distance; contrast is the deviation of L* in 9 × 9 pixels over its mean.",
    )
    chosen = [crops[i] for i in np.linspace(0, len(crops) - 1, min(5, len(crops))).round().astype(int)] if crops else []
    tiles = [Tile(photograph, "the photograph"), *(Tile(c, "a frame") for c in chosen)]
    figures = [Figure("photo_crops", "What was compared.", mosaic(tiles))]
    if ours:
        figures.insert(
            0, Figure("photo", "The photograph black, frames red (median and 95 %).", _plot(reference, ours))
        )
    return Verdict(
        "photo",
        "Beside a photograph",
        f"{len(ours)} near-frontal frames (|yaw| ≤ {MOST_YAW:g}°) beside one photograph, NASA's portrait of "
        "Eileen Collins from scikit-image (public domain): one person, one light: an order of magnitude.",
        [Measure("statistics of the photograph inside our 95 %", float(sum(inside)), f"of {len(NAMES)}")],
        [table],
        figures,
        {"frames": len(ours), **described(ASTRONAUT)},
    )


def _plot(reference: Statistics, ours: list[Statistics]) -> bytes:
    figure, axes = new_plot(3, 1, 4.0, 3.2)
    cycles = np.arange(1, SIDE // 2)
    spectra = np.array([s.spectrum[1:] for s in ours])
    low, middle, high = np.percentile(spectra, (2.5, 50, 97.5), axis=0)
    first, second, third = axes[0]
    first.fill_between(cycles, low, high, color="#c2410c", alpha=0.2)
    first.plot(cycles, middle, color="#c2410c")
    first.plot(cycles, reference.spectrum[1:], color="#1c1c1e")
    first.set(xscale="log", xlabel="cycles per crop", ylabel="log10 power")
    bins = np.linspace(0, 0.4, 50)
    together = np.concatenate([s.contrast for s in ours])
    second.hist(together, bins, density=True, color="#c2410c", alpha=0.5)
    second.hist(reference.contrast, bins, density=True, histtype="step", color="#1c1c1e")
    second.set(xlabel="local contrast", ylabel="density")
    means = np.array([s.lab.mean(0) for s in ours])
    third.scatter(means[:, 1], means[:, 2], s=8, color="#c2410c", alpha=0.5)
    third.scatter(reference.lab[::9, 1], reference.lab[::9, 2], s=2, color="#6b6965", alpha=0.4)
    third.scatter(*reference.lab.mean(0)[1:], s=40, color="#1c1c1e")
    third.set(xlabel="a*", ylabel="b*")
    return saved(figure)
