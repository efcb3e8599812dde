"""Knows how a batch is varied on its way to the net: on the device, and keyed by seed and step.

Everything that is drawn per picture is drawn on the CPU, a few numbers each: so it is the same on every device, and a
GPU is never waited for. Only the grain of the noise is drawn where it is added. Plain torch: a chain of kornia's
augmentations costs more than a step of the tiny net on a CPU; the tests hold these against kornia's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from pain3d.device import constant
from pain3d.random import keyed_number
from pain3d.records import HEATMAP_UNIT_MM
from pain3d.training.data.batch import Batch, Labels, RawBatch, leaders
from pain3d.training.data.style import NO_STYLES, Styles, draw_styles, restyle

MEAN: Final = (0.485, 0.456, 0.406)  # of ImageNet, what timm's weights expect
STD: Final = (0.229, 0.224, 0.225)
HEATMAP_TOP_MM: Final = 10.0  # shown as white: what a strong brow or lip moves; a dropped jaw moves more and is clipped
GRAIN_SHARED: Final = 8  # pictures that share a draw of noise: drawing it costs more than all else on a CPU
BLUR_TAPS: Final = 7  # of the Gaussian: 3 standard deviations of 1 pixel to each side
ERASED: Final = (0.02, 0.10)  # share of the picture that an erased rectangle covers


@dataclass(frozen=True)
class Augmentation:
    """How much a batch is varied; 0 everywhere changes nothing.

    Attributes:
        flip: Chance that a picture is mirrored, together with its neutral pictures.
        scale: Face larger or smaller by up to this share.
        shift: Moved by up to this share of half the crop, each way.
        roll_degrees: Turned in the picture by up to so much.
        brightness: Gain of all channels, up to ± this share.
        colour: Gain of each channel.
        contrast: Around the picture's mean.
        noise: Standard deviation at most, of 0–1.
        blur: Chance of a Gaussian blur of 0.4 to 1 pixel.
        erase: Chance of a grey rectangle.
    """

    flip: float = 0.5
    scale: float = 0.06
    shift: float = 0.06
    roll_degrees: float = 3.0
    brightness: float = 0.20
    colour: float = 0.08
    contrast: float = 0.25
    noise: float = 0.03
    blur: float = 0.1
    erase: float = 0.1


@torch.no_grad()
def augment(
    raw: RawBatch,
    size: int,
    seed: int,
    step: int,
    device: torch.device | str,
    strength: Augmentation,
    styles: Styles = NO_STYLES,
) -> Batch:
    """A batch as the net sees it while it learns.

    Args:
        raw: Crops and labels.
        size: Pixels a side that the net sees, S; at most that of the crops.
        seed: With `step` the key of all that is drawn.
        step: Number of the batch.
        device: Where the net is.
        strength: How much is varied.
        styles: Which styles pictures and neutral pictures are given, together or apart.
    """
    _check_size(raw, size)
    key = keyed_number(seed, "augment", step)
    count = len(raw)
    crops = _crops(raw, device)
    share = raw.whole
    drawn = torch.rand(share.count + share.known, 16, generator=torch.Generator().manual_seed(key))  # named below
    mirrored = _mirrored(drawn[:, 0] < strength.flip, share.count, share.neutral_of)
    places = torch.cat([share.pictures, share.count + share.neutrals])  # of these pictures in the whole batch
    drawn, mirrored = drawn[places], mirrored[places]
    turns = _turns(drawn[:, 1:5] * 2 - 1, mirrored, size / crops.shape[1], strength).to(device, non_blocking=True)
    grid = F.affine_grid(turns, [len(crops), 3, size, size], align_corners=False)
    seen = _sampled(crops.permute(0, 3, 1, 2), grid)
    blurred = torch.nonzero(drawn[:, 5] < strength.blur)[:, 0]
    if len(blurred):
        there = blurred.to(device, non_blocking=True)
        sigma = (0.4 + 0.6 * drawn[blurred, 6]).to(device, non_blocking=True)
        seen[there] = _blurred(seen[there], sigma)
    _relight(seen, drawn[:, 7:12] * 2 - 1, strength)
    if strength.noise:
        generator = torch.Generator(device).manual_seed(key)
        _add_grain(seen, drawn[:, 12] * strength.noise, generator, places, share.count + share.known)
    seen.clamp_(0, 1)
    if styles.families and styles.strength:
        restyle(seen, draw_styles(share, seed, step, styles), styles)
    seen = _normalised(seen)
    for place in torch.nonzero(drawn[:, 13] < strength.erase)[:, 0].tolist():
        _erase(seen[place], keyed_number(seed, "erase", step, int(places[place])))
    heatmap = None
    if raw.heatmap is not None:
        heatmap = _as_image(_sampled(raw.heatmap.to(device, non_blocking=True)[:, None], grid[:count]))
    sides = torch.where(mirrored[:count, None, None], raw.labels.sides.flip(2), raw.labels.sides)
    return _batch(raw, seen, heatmap, raw.labels._replace(sides=sides), device)


@torch.no_grad()
def centre_crop(raw: RawBatch, size: int, device: torch.device | str) -> Batch:
    """A batch as the net sees it when it is asked: the middle `size` × `size` of each crop."""
    _check_size(raw, size)
    crops = _crops(raw, device)
    edge = (crops.shape[1] - size) // 2
    inside = slice(edge, edge + size)
    seen = crops[:, inside, inside].permute(0, 3, 1, 2).float().div_(255).contiguous()
    heatmap = None
    if raw.heatmap is not None:
        heatmap = _as_image(raw.heatmap[:, None, inside, inside].to(device).float().div_(255))
    return _batch(raw, _normalised(seen), heatmap, raw.labels, device)


def _crops(raw: RawBatch, device: torch.device | str) -> Tensor:
    """Pictures and, behind them, neutral pictures, on the device."""
    image = raw.image.to(device, non_blocking=True)
    return image if raw.neutral is None else torch.cat([image, raw.neutral.to(device, non_blocking=True)])


def _check_size(raw: RawBatch, size: int) -> None:
    if size > raw.image.shape[1]:
        raise ValueError(f"size must be at most the crops' {raw.image.shape[1]}, got {size}")


def _batch(raw: RawBatch, seen: Tensor, heatmap: Tensor | None, labels: Labels, device: torch.device | str) -> Batch:
    count = len(raw)
    return Batch(
        image=seen[:count],
        heatmap=heatmap,
        neutral=None if raw.neutral is None else seen[count:],
        neutral_of=None if raw.neutral_of is None else raw.neutral_of.to(device, non_blocking=True),
        labels=labels.to(device),
    )


def _mirrored(drawn: Tensor, count: int, neutral_of: Tensor | None) -> Tensor:
    """Which of the pictures and, behind them, neutral pictures are mirrored: those that are compared, alike."""
    if neutral_of is None:
        return drawn
    neutral = drawn[count:][leaders(neutral_of, len(drawn) - count)]
    return torch.cat([neutral[neutral_of[:, 0].cpu()], neutral])


def _turns(drawn: Tensor, mirrored: Tensor, share: float, strength: Augmentation) -> Tensor:
    """Matrices [N, 2, 3] from the net's picture to the crop, both on −1–1; `drawn` [N, 4] on −1–1."""
    scale = share * (1 + strength.scale * drawn[:, 0])
    roll = math.radians(strength.roll_degrees) * drawn[:, 1]
    sign = torch.where(mirrored, -1.0, 1.0)
    cos, sin = scale * roll.cos(), scale * roll.sin()
    across, down = strength.shift * drawn[:, 2], strength.shift * drawn[:, 3]
    return torch.stack([cos * sign, -sin, across, sin * sign, cos, down], 1).reshape(-1, 2, 3)


def _sampled(crops: Tensor, grid: Tensor) -> Tensor:
    """Crops [N, c, C, C] of bytes at a grid, [N, c, S, S] on 0–1; beyond the crop its edge."""
    return F.grid_sample(crops.float().div_(255), grid, padding_mode="border", align_corners=False)


def _blurred(seen: Tensor, sigma: Tensor) -> Tensor:
    """Pictures [N, 3, S, S], each blurred by its own Gaussian; `sigma` [N] pixels."""
    count, channels, size, _ = seen.shape
    taps = torch.arange(BLUR_TAPS, device=seen.device) - BLUR_TAPS // 2
    weights = (-0.5 * (taps / sigma[:, None]) ** 2).exp()
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, :]
    edge = BLUR_TAPS // 2
    flat = F.pad(seen.reshape(1, -1, size, size), (edge, edge, edge, edge), mode="replicate")
    across = F.conv2d(flat, weights[:, :, None, :], groups=count * channels)
    return F.conv2d(across, weights[:, :, :, None], groups=count * channels).reshape(seen.shape)


def _relight(seen: Tensor, drawn: Tensor, strength: Augmentation) -> None:
    """Change contrast, brightness and colour in place; `drawn` [N, 5] on −1–1."""
    drawn = drawn.to(seen.device, non_blocking=True)[:, :, None, None]
    gain = (1 + strength.brightness * drawn[:, 0:1]) * (1 + strength.colour * drawn[:, 1:4])
    contrast = 1 + strength.contrast * drawn[:, 4:5]
    middle = seen.mean((1, 2, 3), keepdim=True)
    # ((x − m) c + m) g = x (c g) + m (1 − c) g
    seen.mul_(contrast * gain).add_(middle * (1 - contrast) * gain)


def _add_grain(seen: Tensor, amount: Tensor, generator: torch.Generator, places: Tensor, total: int) -> None:
    """Add noise in place; `amount` [N] is its standard deviation, `places` [N] are those in a batch of `total`."""
    count, channels, size, _ = seen.shape
    parts = -(-total // GRAIN_SHARED)
    grain = torch.randn(parts, channels, size, size, generator=generator, device=seen.device)
    amount = amount.to(seen.device, non_blocking=True)[:, None, None, None]
    if count < total:
        seen.addcmul_(grain[(places % parts).to(seen.device, non_blocking=True)], amount)
        return
    for start in range(0, count, parts):
        part = seen[start : start + parts]
        part.addcmul_(grain[: len(part)], amount[start : start + parts])


def _erase(picture: Tensor, key: int) -> None:
    """Set a rectangle of a normalised picture [3, S, S] to 0, the mean colour."""
    size = picture.shape[1]
    area, aspect, across, down = torch.rand(4, generator=torch.Generator().manual_seed(key)).tolist()
    least, most = ERASED
    area = size * size * (least + (most - least) * area)
    height = min(size, round(math.sqrt(area * 3 ** (2 * aspect - 1))))  # aspect from 1 : 3 to 3 : 1
    width = min(size, round(area / height))
    top, left = int(down * (size - height + 1)), int(across * (size - width + 1))
    picture[:, top : top + height, left : left + width] = 0


def _as_image(levels: Tensor) -> Tensor:
    """Heat maps [B, 1, S, S], 255 levels on 0–1, as pictures [B, 3, S, S] for the net."""
    shown = (levels * (255 * HEATMAP_UNIT_MM / HEATMAP_TOP_MM)).clamp_(0, 1)
    return _normalised(shown.expand(-1, 3, -1, -1).contiguous())


def _normalised(seen: Tensor) -> Tensor:
    """(x − MEAN) / STD, in place."""
    return seen.sub_(constant(MEAN, seen)[:, None, None]).div_(constant(STD, seen)[:, None, None])
