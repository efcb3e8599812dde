"""Knows the styles of pictures: what a film, a camera, a codec or a room makes of a face, without moving it.

A net that has seen one renderer's pictures takes its tones, sharpness and light for granted. Styles are drawn so that
it can't (domain randomisation, Tobin et al. 2017, arXiv 1703.06907): a face and its neutral picture have the same one
with a chance that is told, as two frames of one recording have, and else one each, so that what differs between the
two is not always pain.

A style is a row of numbers, drawn on the CPU by seed, step and place in the batch; what it makes of a picture depends
on that row alone. So the same bytes come of any number of processes, and of a run that went on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from pain3d.device import constant
from pain3d.kernels.compression.reference import quantisation_tables
from pain3d.random import keyed_number
from pain3d.training.config import STYLES
from pain3d.training.data.batch import Share, leaders

# Chance of each family at strength 1. Few families are dear where few pictures have them.
CHANCES: Final = {
    "curve": 0.5, "colour": 0.4, "grey": 0.15, "light": 0.3, "contrast": 0.3, "blur": 0.25, "fourier": 0.25,
    "jpeg": 0.2,
}  # fmt: skip
PLAIN: Final = 0.2  # chance that a picture has no style: as it was rendered stays one among them
FIELD: Final = 4  # cells a side of a field of light
POOLED: Final = 28  # pixels a side at which amplitudes are changed: beyond are edges and skin, whose amplitudes stay
SPREAD: Final = 0.35  # standard deviation of the logarithm of an amplitude's change
PIECES: Final = 8  # straight ones of a film's curve
STEEP: Final = 2.5  # logarithm, at most, of how much more or less than others a piece rises
RADII: Final = (2, 4, 8, 16)  # pixels that are one in the base of local contrast
SMALLER: Final = (1.4, 2.0, 2.8)  # times, of a blurred picture
SQUARES: Final = 0.4  # chance that its pixels stay squares
QUALITY: Final = (20, 90)  # of a JPEG
NUMBERS: Final = {  # of a style's row, by family, behind the chances
    "curve": 7 + PIECES, "colour": 9, "grey": 5, "light": FIELD**2, "contrast": 3, "blur": 2, "fourier": 0, "jpeg": 1,
}  # fmt: skip
CHANCE_COLUMNS: Final = 2 + len(STYLES)  # shared or apart, plain or not, then the families'
COLUMNS: Final = CHANCE_COLUMNS + sum(NUMBERS.values())
SPECTRUM: Final = POOLED * (POOLED // 2 + 1)  # numbers of a half spectrum
LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG has it (ITU T.871)
BLUE, RED, GREEN_OF_BLUE, GREEN_OF_RED = 1.772, 1.402, 0.344136, 0.714136  # the same: colours from differences
BLOCK: Final = 8  # samples a side of a JPEG's blocks


@dataclass(frozen=True)
class Styles:
    """Which styles are drawn.

    Attributes:
        families: Of `pain3d.training.config.STYLES`.
        strength: Times `CHANCES`; what is above 1 is 1.
        shared: Chance that a picture has the style of its neutral one.
    """

    families: tuple[str, ...] = STYLES
    strength: float = 1.0
    shared: float = 0.7


NO_STYLES: Final = Styles((), 0.0)


@dataclass(frozen=True)
class DrawnStyles:
    """The styles of N pictures, on the CPU.

    Attributes:
        numbers: [N, COLUMNS] on 0–1.
        spectra: [N, SPECTRUM] standard normal, of the family fourier; None where that isn't drawn.
    """

    numbers: Tensor
    spectra: Tensor | None

    def of(self, family: str, there: Tensor) -> Tensor:
        """The numbers of a family for some of the pictures, [n, NUMBERS] on 0–1."""
        before = sum(NUMBERS[name] for name in STYLES[: STYLES.index(family)])
        start = CHANCE_COLUMNS + before
        return self.numbers[there, start : start + NUMBERS[family]]


def draw_styles(share: Share, seed: int, step: int, styles: Styles) -> DrawnStyles:
    """Styles of a share's pictures and, behind them, its neutral pictures: those that one process would draw.

    Args:
        share: Of the step's batch.
        seed: With `step` the key.
        step: Number of the batch.
        styles: Which, and how often they are shared.
    """
    total = share.count + share.known
    generator = torch.Generator().manual_seed(keyed_number(seed, "style", step))
    numbers = torch.rand(total, COLUMNS, generator=generator)
    spectra = torch.randn(total, SPECTRUM, generator=generator) if "fourier" in styles.families else None
    places = torch.arange(total)
    if share.neutral_of is not None:  # a neutral picture follows the first of those it is compared beside
        alike = numbers[:, 0] < styles.shared
        first = share.count + leaders(share.neutral_of, share.known)
        places[share.count :] = torch.where(alike[share.count :], first, places[share.count :])
        beside = places[share.count + share.neutral_of[:, 0].cpu()]
        places[: share.count] = torch.where(alike[: share.count], beside, places[: share.count])
    places = places[torch.cat([share.pictures, share.count + share.neutrals])]
    return DrawnStyles(numbers[places], None if spectra is None else spectra[places])


def restyle(seen: Tensor, drawn: DrawnStyles, styles: Styles) -> None:
    """Give pictures their styles, in place: light first, then film, then lens, then file.

    Args:
        seen: [N, 3, S, S] on 0–1, any device, which is not waited for.
        drawn: Of these pictures.
        styles: What was drawn.
    """
    styled = drawn.numbers[:, 1] >= PLAIN
    for number, family in enumerate(STYLES):
        if family not in styles.families:
            continue
        chosen = styled & (drawn.numbers[:, 2 + number] < CHANCES[family] * styles.strength)
        there = torch.nonzero(chosen)[:, 0]
        if not len(there):
            continue
        where = there.to(seen.device, non_blocking=True)
        pictures = seen[where]
        if family == "fourier":
            assert drawn.spectra is not None
            made = _amplified(pictures, drawn.spectra[there])
        else:
            made = _MAKERS[family](pictures, drawn.of(family, there))
        seen[where] = made.clamp_(0, 1)


def _between(numbers: Tensor, least: float, most: float, pictures: Tensor) -> Tensor:
    """Numbers [n, k] from 0–1 to a range, on the device of the pictures, [n, k, 1, 1]."""
    return (least + (most - least) * numbers).to(pictures.device, non_blocking=True)[:, :, None, None]


def _amplified(pictures: Tensor, spectra: Tensor) -> Tensor:
    """Amplitudes of low frequencies changed, phases kept: texture and light of another place, the same outlines.

    Of Yang and Soatto 2020 (FDA, CVPR), but times numbers that are drawn instead of those of another picture, which
    would make a picture depend on who else is in its process. Where only frequencies below POOLED / 2 change, a picture
    of POOLED pixels a side has all that changes.
    """
    small = F.interpolate(pictures, size=(POOLED, POOLED), mode="area")
    change = (spectra * SPREAD).clamp(-1.2, 1.2).exp().reshape(-1, 1, POOLED, POOLED // 2 + 1) - 1
    change[:, :, 0, 0] = 0  # the mean is for the family light
    difference = torch.fft.irfft2(
        torch.fft.rfft2(small) * change.to(pictures.device, non_blocking=True), (POOLED, POOLED)
    )
    return pictures + _grown(difference, pictures)


def _lit(pictures: Tensor, numbers: Tensor) -> Tensor:
    """Light that falls off over the picture: a smooth field of gains from 0.6 to 1.7."""
    field = _between(numbers, math.log(0.6), math.log(1.7), pictures).reshape(-1, 1, FIELD, FIELD)
    return pictures * _grown(field, pictures).exp()


def _curved(pictures: Tensor, numbers: Tensor) -> Tensor:
    """A film's curve for each channel: bias (Schlick 1994), a bend towards or from the middle, black, white, kinks."""
    bias = (_between(numbers[:, :1], -0.9, 0.9, pictures) + _between(numbers[:, 1:4], -0.25, 0.25, pictures)).exp()
    bend = _between(numbers[:, 4:5], -0.8, 0.8, pictures)  # from −1 to 1 it rises everywhere
    black, white = _between(numbers[:, 5:6], 0, 0.12, pictures), _between(numbers[:, 6:7], 0.85, 1, pictures)
    made = pictures / (pictures * (1 - bias) + bias)
    made += bend * made * (1 - made) * (2 * made - 1)
    return _kinked(made * (white - black) + black, numbers[:, 7:])


def _kinked(pictures: Tensor, numbers: Tensor) -> Tensor:
    """Tones drawn apart here and together there: PIECES straight pieces from black to white, alike for all channels."""
    rises = ((2 * numbers - 1) * STEEP).exp()
    knots = F.pad(rises.cumsum(1) / rises.sum(1, keepdim=True), (1, 0)).to(pictures.device, non_blocking=True)
    place = pictures.flatten(1) * PIECES
    piece = place.long().clamp_(max=PIECES - 1)
    low = knots.gather(1, piece)
    made = low + (knots.gather(1, piece + 1) - low) * (place - piece)
    return made.reshape(pictures.shape)


def _coloured(pictures: Tensor, numbers: Tensor) -> Tensor:
    """White balance (warmth and tint), saturation, and channels that see a little of each other."""
    warmth, tint, saturation = 0.5 * numbers[:, 0] - 0.25, 0.2 * numbers[:, 1] - 0.1, 0.4 + 1.2 * numbers[:, 2]
    gains = torch.stack([warmth, tint, -warmth], 1).exp()
    luma = torch.tensor(LUMA).expand(3, 3)
    mixed = saturation[:, None, None] * (torch.eye(3) - luma) + luma
    leaks = torch.zeros(len(numbers), 9)
    leaks[:, [1, 2, 3, 5, 6, 7]] = 0.16 * numbers[:, 3:] - 0.08
    leaks = leaks.reshape(-1, 3, 3)
    mixed = mixed + leaks - torch.diag_embed(leaks.sum(2))  # grey stays grey
    return _mixed(pictures, gains[:, :, None] * mixed)


def _greyed(pictures: Tensor, numbers: Tensor) -> Tensor:
    """One channel, a mixture of the three as a film or an infrared camera sees them, in a toned print's colour."""
    weights = (numbers[:, :3] + 0.05) / (numbers[:, :3] + 0.05).sum(1, keepdim=True)
    toned = torch.ones(len(numbers), 3)
    toned[:, [0, 2]] += 0.16 * numbers[:, 3:5] - 0.08
    return _mixed(pictures, toned[:, :, None] * weights[:, None])


def _mixed(pictures: Tensor, matrices: Tensor) -> Tensor:
    """Pictures [n, 3, S, S] whose channels are mixed by matrices [n, 3, 3] (out, in)."""
    return torch.bmm(matrices.to(pictures.device, non_blocking=True), pictures.flatten(2)).reshape(pictures.shape)


def _contrasted(pictures: Tensor, numbers: Tensor) -> Tensor:
    """Base and detail of a picture with a gain each: flat and crisp as after local equalisation, or hard and dull."""
    base = torch.empty_like(pictures)
    for radius, there in _drawers(numbers[:, 0], RADII):
        there = there.to(pictures.device, non_blocking=True)
        coarse = max(2, round(pictures.shape[2] / radius))
        base[there] = _grown(F.interpolate(pictures[there], size=(coarse, coarse), mode="area"), pictures)
    of_base, of_detail = _between(numbers[:, 1:2], 0.5, 1.1, pictures), _between(numbers[:, 2:3], 0.4, 2.8, pictures)
    middle = pictures.mean((1, 2, 3), keepdim=True)
    # m + (b − m) B + (x − b) D
    return pictures * of_detail + base * (of_base - of_detail) + middle * (1 - of_base)


def _blurred(pictures: Tensor, numbers: Tensor) -> Tensor:
    """A smaller picture at the old size: little resolution, and a lens out of focus or pixels that are squares."""
    made = torch.empty_like(pictures)
    squares = (numbers[:, 1] < SQUARES).to(pictures.device, non_blocking=True)[:, None, None, None]
    for times, there in _drawers(numbers[:, 0], SMALLER):
        there = there.to(pictures.device, non_blocking=True)
        side = max(2, round(pictures.shape[2] / times))
        small = F.interpolate(pictures[there], size=(side, side), mode="area")
        made[there] = torch.where(
            squares[there], F.interpolate(small, size=pictures.shape[2:]), _grown(small, pictures)
        )
    return made


def _drawers(numbers: Tensor, choices: tuple[float, ...]) -> list[tuple[float, Tensor]]:
    """Each choice and the places of the numbers [n] on 0–1 that fall to it, where there are any."""
    fallen = (numbers * len(choices)).long()
    found = [(choice, torch.nonzero(fallen == number)[:, 0]) for number, choice in enumerate(choices)]
    return [(choice, there) for choice, there in found if len(there)]


def _grown(small: Tensor, pictures: Tensor) -> Tensor:
    """Small pictures at the size of the others."""
    return F.interpolate(small, size=pictures.shape[2:], mode="bilinear", align_corners=False)


def _compressed(pictures: Tensor, numbers: Tensor) -> Tensor:
    """What a JPEG of some quality leaves, chroma halved.

    In floats, in a third of the time that `pain3d.kernels.jpeg_loss` takes on a CPU: nobody compares it with a file.
    """
    least, most = QUALITY
    tables = quantisation_tables(least + (most - least) * numbers[:, 0]).float() / 255
    tables = tables.to(pictures.device, non_blocking=True)
    size = pictures.shape[2]
    missing = -size % (2 * BLOCK)
    padded = F.pad(pictures, (0, missing, 0, missing), mode="replicate")
    luma = (padded * constant(LUMA, padded)[:, None, None]).sum(1, keepdim=True)
    differences = (padded[:, [2, 0]] - luma) / constant((BLUE, RED), padded)[:, None, None]
    seen = _quantised(luma, tables[:, 0])
    halves = _grown(_quantised(F.avg_pool2d(differences, 2), tables[:, 1]), padded)
    blue, red = halves[:, :1], halves[:, 1:]
    colours = torch.cat([seen + RED * red, seen - GREEN_OF_BLUE * blue - GREEN_OF_RED * red, seen + BLUE * blue], 1)
    return colours[:, :, :size, :size].contiguous()


def _quantised(planes: Tensor, tables: Tensor) -> Tensor:
    """Planes [n, c, H, W] as the steps [n, 8, 8] of their blocks' cosine transforms leave them (ITU T.81, A.3.3)."""
    count, channels, height, width = planes.shape
    frequency = torch.arange(BLOCK, device=planes.device, dtype=planes.dtype)
    cosines = torch.cos(math.pi / BLOCK * frequency[:, None] * (frequency + 0.5)) * math.sqrt(2 / BLOCK)
    cosines[0] *= math.sqrt(0.5)
    blocks = planes.reshape(count, channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(3, 4)
    steps = tables[:, None, None, None]
    kept = (cosines @ blocks @ cosines.T / steps).round() * steps
    return (cosines.T @ kept @ cosines).transpose(3, 4).reshape(planes.shape)


_MAKERS: Final = {
    "light": _lit, "colour": _coloured, "grey": _greyed, "curve": _curved, "contrast": _contrasted, "blur": _blurred,
    "jpeg": _compressed,
}  # fmt: skip
