"""Knows the arithmetic of texels: on the planes of one person (NumPy, OpenCV) or of many on a device (torch).

What paints is written once. A plane is an array [h, w] of one person or a tensor [K, h, w] of K people; a number is a
float of one person or a tensor [K, 1, 1]. What belongs to the head alone has no K, and broadcasts.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from pain3d.skin.maps import Plane

Number = Any  # float, or Tensor [K, 1, 1]


def exp(values: Plane) -> Plane:
    """E to the power of a plane."""
    return torch.exp(values) if isinstance(values, Tensor) else np.exp(values)


def sin(values: Plane) -> Plane:
    """Sine of a plane."""
    return torch.sin(values) if isinstance(values, Tensor) else np.sin(values)


def cos(values: Plane) -> Plane:
    """Cosine of a plane."""
    return torch.cos(values) if isinstance(values, Tensor) else np.cos(values)


def sqrt(values: Plane) -> Plane:
    """Square root of a plane."""
    return torch.sqrt(values) if isinstance(values, Tensor) else np.sqrt(values)


def mod(values: Plane, period: int) -> Plane:
    """What is left of a plane beyond whole periods, from 0 up; with a power of two no bit differs from `numpy.mod`."""
    turns = torch.floor(values / period) if isinstance(values, Tensor) else np.floor(values * np.float32(1 / period))
    turns *= period
    return values - turns


def ones(like: Plane) -> Plane:
    """A plane of ones."""
    return torch.ones_like(like) if isinstance(like, Tensor) else np.ones_like(like)


def zeros(like: Plane) -> Plane:
    """A plane of zeros."""
    return torch.zeros_like(like) if isinstance(like, Tensor) else np.zeros_like(like)


def full(like: Plane, number: Number) -> Plane:
    """A plane of one number, or of one for each person."""
    if isinstance(like, Tensor):
        return torch.zeros_like(like).add_(number)
    return np.full_like(like, np.float32(number))


def single(plane: Plane) -> Plane:
    """A plane of bytes, or a number, as float32."""
    if isinstance(plane, Tensor):
        return plane.float()
    return np.float32(plane) if isinstance(plane, float) else plane.astype(np.float32)


def minimum(one: Plane, other: Plane) -> Plane:
    """The lesser of two planes or numbers."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return _with(torch.minimum, torch.clamp_max, one, other)
    return min(one, other) if _numbers(one, other) else np.minimum(one, other)


def maximum(one: Plane, other: Plane) -> Plane:
    """The greater of two planes or numbers."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return _with(torch.maximum, torch.clamp_min, one, other)
    return max(one, other) if _numbers(one, other) else np.maximum(one, other)


def _numbers(one: Plane, other: Plane) -> bool:
    return isinstance(one, float | int) and isinstance(other, float | int)


def _with(both: Any, scalar: Any, one: Plane, other: Plane) -> Tensor:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        made: Tensor = both(one, other)
    else:
        made = scalar(one, other) if isinstance(one, Tensor) else scalar(other, one)
    return made


def clip(values: Plane, low: float, high: float) -> Plane:
    """A plane or number within low … high."""
    if isinstance(values, Tensor):
        return torch.clamp(values, low, high)
    return float(min(max(values, low), high)) if isinstance(values, float | int) else np.clip(values, low, high)


def clip_(plane: Plane, low: float, high: float) -> None:
    """Hold a plane within low … high, in place."""
    if isinstance(plane, Tensor):
        plane.clamp_(low, high)
    else:
        np.clip(plane, np.float32(low), np.float32(high), out=plane)


def maximum_(plane: Plane, other: Plane) -> None:
    """Raise a plane to another one, or to a number, in place."""
    if isinstance(plane, Tensor):
        torch.maximum(plane, other, out=plane) if isinstance(other, Tensor) else plane.clamp_(min=other)
    else:
        np.maximum(plane, np.float32(other) if isinstance(other, float) else other, out=plane)


def add_(plane: Plane, mask: Plane, weight: Number) -> None:
    """Add a weighted mask to a plane, in place: a pass over the texture costs more than the arithmetic."""
    if isinstance(plane, Tensor):
        plane.addcmul_(mask, weight) if isinstance(weight, Tensor) else plane.add_(mask, alpha=weight)
    elif plane.size:
        cv2.scaleAdd(mask, float(weight), plane, dst=plane)


def multiply_into(target: Plane, one: Plane, other: Plane) -> None:
    """Write the product of two planes to a third."""
    torch.mul(one, other, out=target) if isinstance(target, Tensor) else np.multiply(one, other, out=target)


def towards_(plane: Plane, value: Plane, alpha: Plane) -> None:
    """Bring a plane nearer to a value (number or plane) by the share alpha, in place."""
    if isinstance(plane, Tensor):
        plane.lerp_(value, alpha) if isinstance(value, Tensor) else plane.addcmul_(alpha, value - plane)
        return
    step = np.subtract(np.float32(value) if isinstance(value, float) else value, plane)
    step *= alpha
    plane += step


def put_(plane: Plane, values: Plane, where: Plane) -> None:
    """Write values into a plane where a mask is true, in place."""
    if isinstance(plane, Tensor):
        plane.copy_(torch.where(where, values, plane))
    else:
        np.copyto(plane, values, where=where)


def smoothstep(values: Plane, low: Number, high: Number) -> Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    if isinstance(values, Tensor):
        share = (values - low).mul_(1 / (high - low)).clamp_(0, 1)
        return torch.rsub(share, 3, alpha=2).mul_(share).mul_(share)
    t = np.asarray(values - np.float32(low), np.float32)
    t *= np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    rest = t * np.float32(-2)
    rest += np.float32(3)
    t *= t
    t *= rest
    return t


def looked_up(sheet: Plane, columns: Plane, rows: Plane, *, wrap: bool = False) -> Plane:
    """A sheet at places in its texels, bilinear; beyond its edges these go on, or with `wrap` it repeats.

    Args:
        sheet: [h, w] or [h, w, C] in NumPy; in torch [h, w] for everybody or [K, C, h, w].
        columns: Where, a plane; rows alike.
        rows: See columns.
        wrap: See above.

    Returns:
        A plane; with channels [h, w, C] in NumPy, [K, C, h, w] in torch.
    """
    if not isinstance(columns, Tensor):
        border = cv2.BORDER_WRAP if wrap else cv2.BORDER_REPLICATE
        return cv2.remap(
            sheet, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=border
        )
    columns, rows = columns + torch.zeros_like(rows), rows + torch.zeros_like(columns)
    if not isinstance(sheet, Tensor):
        sheet = _shared(sheet, columns.device)
    plain = sheet.dim() == 2
    if plain:
        sheet = sheet[None, None]
    if wrap:
        columns, rows = mod(columns, sheet.shape[3]), mod(rows, sheet.shape[2])
        sheet = torch.cat([sheet, sheet[:, :, :1]], 2)
        sheet = torch.cat([sheet, sheet[..., :1]], 3)
    many = columns.dim() == 3
    across, down = (
        (place if many else place[None]) * (2 / (side - 1)) - 1
        for place, side in ((columns, sheet.shape[3]), (rows, sheet.shape[2]))
    )
    people = max(len(sheet), len(across))
    grid = torch.stack([across, down], -1).expand(people, -1, -1, -1)
    seen = torch.nn.functional.grid_sample(
        sheet.expand(people, -1, -1, -1), grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    if plain:
        seen = seen[:, 0]
        return seen if many else seen[0]
    return seen


_sheets: dict[tuple[int, torch.device], tuple[Any, Tensor]] = {}


def _shared(sheet: Plane, device: torch.device) -> Tensor:
    """A sheet that is made once and never freed, on a device, once."""
    key = id(sheet), device
    if key not in _sheets:
        _sheets[key] = sheet, torch.from_numpy(sheet).to(device)
    return _sheets[key][1]


def blurred_plane(plane: Plane, sigma: float, taps: int = 0) -> Plane:
    """A plane after a Gaussian blur of `sigma` texels, over 4 sigma either side or so many taps; edges mirror."""
    if not isinstance(plane, Tensor):
        return np.asarray(cv2.GaussianBlur(plane, (taps, taps), sigma), np.float32)
    taps = taps or round(sigma * 8 + 1) | 1
    reach = taps // 2
    weights = np.asarray(cv2.getGaussianKernel(taps, sigma, cv2.CV_32F)).ravel().tolist()
    for axis in (-1, -2):  # sums of shifted planes: their order, and so their bits, depend on nothing else
        size = plane.shape[axis]
        pads = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        wide = torch.nn.functional.pad(plane, pads, mode="reflect")
        plane = wide.narrow(axis, reach, size) * weights[reach]
        for step in range(1, reach + 1):
            pair = wide.narrow(axis, reach - step, size) + wide.narrow(axis, reach + step, size)
            plane.add_(pair, alpha=weights[reach + step])
    return plane


def doubled(plane: Plane) -> Plane:
    """A plane of twice the sides, bilinear between texel centres."""
    if not isinstance(plane, Tensor):
        height, width = plane.shape
        return cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    grown = torch.nn.functional.interpolate(plane[:, None], scale_factor=2.0, mode="bilinear", align_corners=False)
    return grown[:, 0]


def differences(plane: Plane) -> tuple[Plane, Plane]:
    """Central differences [h, w] per texel along columns and rows; the borders repeat."""
    if isinstance(plane, Tensor):
        wide = torch.nn.functional.pad(plane, (1, 1, 1, 1), mode="replicate")
        beside = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]).mul_(0.5)
        return beside, (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]).mul_(0.5)
    kernel = np.array([[-0.5, 0.0, 0.5]], np.float32)
    one = np.ones((1, 1), np.float32)
    across = cv2.sepFilter2D(plane, cv2.CV_32F, kernel, one, borderType=cv2.BORDER_REPLICATE)
    down = cv2.sepFilter2D(plane, cv2.CV_32F, one, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(across, np.float32), np.asarray(down, np.float32)
