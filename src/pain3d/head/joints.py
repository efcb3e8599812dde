"""Knows how a chain of joints turns what hangs on it: from axis-angle vectors to transforms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor


def joint_transforms(angles: Tensor, joints: Tensor, parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rest-to-posed transforms [B, J, 4, 4] and posed joints [B, J, 3] of a chain of rotations about joints.

    Args:
        angles: [B, J, 3] axis-angle, radians.
        joints: [B, J, 3] rest positions, metres.
        parents: Parent of each joint, -1 for the first; parents come before children.

    Gradients: to angles and joints.
    """
    rotations = axis_angle_to_matrix(angles)
    world: list[Tensor] = []  # [B, joints of a run, 3, 3]
    posed: list[Tensor] = []
    where: list[tuple[int, int]] = []  # of each joint its run, and its place there
    for parent, run in groupby(range(len(parents)), parents.__getitem__):  # joints of one parent turn together
        members = list(run)
        these = slice(members[0], members[-1] + 1)
        where += [(len(world), place) for place in range(len(members))]
        if parent < 0:
            world.append(rotations[:, these])
            posed.append(joints[:, these])
        else:
            at, place = where[parent]
            turned, from_there = world[at][:, place, None], joints[:, these] - joints[:, parent, None]
            posed.append(posed[at][:, place, None] + product(turned, from_there[..., None])[..., 0])
            world.append(product(turned, rotations[:, these]))
    turn, centres = torch.cat(world, 1), torch.cat(posed, 1)
    shift = centres - product(turn, joints[..., None])[..., 0]
    top = torch.cat([turn, shift[..., None]], 3)
    bottom = torch.zeros_like(top[:, :, :1])
    bottom[..., 3] = 1
    return torch.cat([top, bottom], 2), centres


def axis_angle_to_matrix(angles: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] (Rodrigues), smooth at zero."""
    squared = (angles**2).sum(-1, keepdim=True)
    small = squared < 1e-8
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    sine = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)[..., None]
    versine = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / angle**2)[..., None]
    x, y, z = angles.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*angles.shape[:-1], 3, 3)
    eye = torch.eye(3, dtype=angles.dtype, device=angles.device)
    return eye + sine * cross + versine * product(cross, cross)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Product of matrices [..., 3, 3] and [..., 3, N], summed from the first term to the last.

    The bits of ``left @ right`` on the CPU; on a GPU those of a product of matrices may depend on how many there are.
    """
    first, second, third = (left[..., :, :, None] * right[..., None, :, :]).unbind(-2)
    return first + second + third
