"""Knows how far each pixel lies from an edge of the depth: a jump between neighbours, or an outline."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, check_dtypes, check_shapes


def edge_confidence(depth: Tensor, *, jump: float = 0.005, pixels: int = 8, backend: str | None = None) -> Tensor:
    """Tell how far each pixel lies from the edges of the depth: 0 on both sides of an edge, 1 from `pixels` on.

    An edge lies between two neighbours in a row or column whose depths differ by more than `jump`, or of which one is
    background; the border of the picture is none. The distance is counted in steps from neighbour to neighbour.

    Args:
        depth: [N, H, W] metres, inf on background.
        jump: Metres, at least 0. A slope as steep within one pixel is an edge, too: 5 mm is what a surface at 1 m seen
            under 80° climbs from pixel to pixel at 1100 pixels a metre; smaller pictures need more.
        pixels: At least 1: with 1 only the edge itself is 0.
        backend: ``"reference"`` or None: plain torch, on any device, without waiting for it.

    Returns:
        [N, H, W] in 0–1, of depth's dtype; 0 on background.

    Gradients: none.

    Raises:
        ValueError: The shape or dtype does not fit, or a number is out of range.
    """
    check_shapes(depth=(depth, "N H W"))
    check_dtypes(FLOATS, depth=depth)
    if not jump >= 0 or pixels < 1:
        raise ValueError(f"jump must be at least 0 and pixels at least 1, got {jump} and {pixels}")
    resolve_backend("edge_confidence", backend, ("reference",), depth, differentiable=False)
    depth = depth.detach()
    edge = ~(depth < torch.inf)
    for axis in (1, 2):
        count = max(depth.shape[axis] - 1, 0)
        one, other = depth.narrow(axis, 0, count), depth.narrow(axis, depth.shape[axis] - count, count)
        jumps = ~((one - other).abs() <= jump)  # inf beside a number, and NaN, are jumps
        edge.narrow(axis, 0, count).logical_or_(jumps)
        edge.narrow(axis, depth.shape[axis] - count, count).logical_or_(jumps)
    steps = torch.where(edge, 0.0, float(pixels)).to(depth.dtype)
    for axis in (1, 2):  # by the axes apart, a distance of k steps as the sum of powers of two
        reach = 1
        while reach < min(pixels, depth.shape[axis]):
            count = depth.shape[axis] - reach
            one, other = steps.narrow(axis, 0, count), steps.narrow(axis, reach, count)
            nearer = torch.minimum(one, other + reach), torch.minimum(other, one + reach)
            steps = steps.clone()
            steps.narrow(axis, 0, count).copy_(nearer[0])
            far = steps.narrow(axis, reach, count)
            far.copy_(torch.minimum(far, nearer[1]))
            reach *= 2
    return steps / pixels
