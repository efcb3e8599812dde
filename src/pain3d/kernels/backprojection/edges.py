"""Knows how far each pixel lies from an edge of the depth: a jump between neighbours, or an outline."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, check_dtypes, check_shapes

MOST_PIXELS = 127  # steps are counted in bytes: as many again are added before the smaller is taken


def edge_confidence(depth: Tensor, *, jump: float = 0.005, pixels: int = 8, backend: str | None = None) -> Tensor:
    """Tell how far each pixel lies from the edges of the depth: 0 on both sides of an edge, 1 from `pixels` on.

    An edge lies between two neighbours in a row or column whose depths differ by more than `jump`, or of which one is
    background; the border of the picture is none. The distance is counted in steps from neighbour to neighbour.

    Args:
        depth: [N, H, W] metres, inf on background.
        jump: Metres, at least 0. A slope as steep within one pixel is an edge, too: 5 mm is what a surface at 1 m seen
            under 80° climbs from pixel to pixel at 1100 pixels a metre; smaller pictures need more.
        pixels: 1 to 127; with 1 the edge itself is 0 and the rest 1.
        backend: ``"reference"`` or None: plain torch, on any device, without waiting for it.

    Returns:
        [N, H, W] in 0–1, of depth's dtype; 0 on background.

    Gradients: none.

    Raises:
        ValueError: The shape or dtype does not fit, or a number is out of range.
    """
    check_shapes(depth=(depth, "N H W"))
    check_dtypes(FLOATS, depth=depth)
    if not jump >= 0 or not 1 <= pixels <= MOST_PIXELS:
        raise ValueError(f"jump must be at least 0 and pixels in 1–{MOST_PIXELS}, got {jump} and {pixels}")
    resolve_backend("edge_confidence", backend, ("reference",), depth, differentiable=False)
    depth = depth.detach()
    edge = ~(depth < torch.inf)
    for axis in (1, 2):
        count = max(depth.shape[axis] - 1, 0)
        one, other = depth.narrow(axis, 0, count), depth.narrow(axis, depth.shape[axis] - count, count)
        jumps = ~((one - other).abs() <= jump)  # inf beside a number, and NaN, are jumps
        edge.narrow(axis, 0, count).logical_or_(jumps)
        edge.narrow(axis, depth.shape[axis] - count, count).logical_or_(jumps)
    steps = (~edge).to(torch.uint8) * pixels
    for axis in (1, 2):  # by the axes apart, a distance of k steps as the sum of powers of two
        reach = 1
        while reach < min(pixels, depth.shape[axis]):
            count = depth.shape[axis] - reach
            one, other = steps.narrow(axis, 0, count), steps.narrow(axis, reach, count)
            from_one, from_other = one + reach, other + reach  # before either is written to
            torch.minimum(one, from_other, out=one)
            torch.minimum(other, from_one, out=other)
            reach *= 2
    return steps.to(depth.dtype) / pixels
