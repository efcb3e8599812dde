"""Knows how strongly each action unit and age bring the wrinkles of each vertex of a head."""

from __future__ import annotations

import threading
import weakref
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.facs.action_units import AU_NUMBERS, SIDES
from pain3d.head.model import Head
from pain3d.skin.smooth_step import ramp
from pain3d.skin.wrinkle_patterns import KINDS, REGIONS, Region

Floats = npt.NDArray[np.float64]

LAYERS = 2
REACH, FADE = 3.2, 7.0  # mm from a stroke: weight 1, then 0; a stroke wanders by 1.6 mm, vertices are 2 to 4 mm apart
WIDEST = 3.6  # mm: profiles up to this wide lie within the reach
MIDLINE = 5.0  # mm on either side over which the left's share turns into the right's
FACING = (5.0, 30.0)  # mm of z between which the face begins

_cache: weakref.WeakKeyDictionary[Head, Creases] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class Creases(NamedTuple):
    """Wrinkle weights of a head's vertices, which all its people share.

    Attributes:
        brought: [A, 2, V, 2] per action unit at full intensity and side (left, right).
        none: [A, 2, V, 2] zeros, of a skin that nothing wrinkles: the head keeps what it makes of either.
        resting: [V, 2] of everybody.
        aged: [V, 2] what `Skin.age_marks` 1 adds.
    """

    brought: Tensor
    none: Tensor
    resting: Tensor
    aged: Tensor


def creases(head: Head) -> Creases:
    """The wrinkle weights of a head, made once, on its device."""
    with _lock:
        if head not in _cache:
            brought, resting, aged = (torch.from_numpy(t).float().to(head.device) for t in _build(head))
            _cache[head] = Creases(brought, torch.zeros_like(brought), resting, aged)
        return _cache[head]


def _build(head: Head) -> tuple[Floats, Floats, Floats]:
    points = head.template.double().cpu().numpy() * 1000
    skin = head.topology.vertex_parts.cpu().numpy() == head.topology.part_names.index("skin")
    x, y, z = points.T
    facing = ramp(z, *FACING) * skin
    side = np.abs(x)
    left = ramp(x, -MIDLINE, MIDLINE)
    brought = np.zeros((len(AU_NUMBERS), len(SIDES), len(points), LAYERS))
    resting, aged = np.zeros((2, len(points), LAYERS))
    for region in REGIONS.values():
        mask = facing * region_mask(region, side, y)
        layer = region.layer
        for number, weight in region.brought.items():
            for number_of_side, share in enumerate((left, 1 - left)):
                place = brought[AU_NUMBERS.index(number), number_of_side, :, layer]
                larger = np.abs(place) < np.abs(weight * mask * share)
                place[larger] = (weight * mask * share)[larger]
        np.maximum(resting[:, layer], region.rest * mask, out=resting[:, layer])
        np.maximum(aged[:, layer], region.aged * mask, out=aged[:, layer])
    return brought, resting, aged


def region_mask(region: Region, side: Floats, height: Floats) -> Floats:
    """Weight [N] of a region at frontal positions |x| and y [N], mm: 1 on and near its strokes."""
    nearest = np.full(len(side), np.inf)
    for stroke in region.strokes:
        points = np.array(stroke.points, float)
        wide = stroke.thick / 2 + max(0.0, 1.5 * (KINDS[stroke.kind].width - WIDEST))
        for start, end in pairwise(points):
            nearest = np.minimum(nearest, _distance(side, height, start, end) - wide)
    mask = 1 - ramp(nearest, REACH, FADE)
    if region.across is not None:
        low, high = region.across
        mask *= ramp(side, low, high) if low < high else 1 - ramp(side, high, low)
    return np.asarray(mask)


def _distance(x: Floats, y: Floats, start: Floats, end: Floats) -> Floats:
    along = end - start
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along), 0, 1)
    return np.asarray(np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1]))
