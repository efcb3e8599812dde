"""Knows how well a texture goes on where no view saw it, on people whose whole texture is known.

What some views see of a texture is given, the rest is found again and compared with the truth in sRGB. `benchmarks/
completed.py` asks so about procedural people, `teaching_run` about a user's textures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.colour import linear_to_srgb
from pain3d.head.identity import Identity
from pain3d.head.model import Head
from pain3d.kernels import backproject
from pain3d.pipeline.texture.skin_model.grid import push_pull
from pain3d.pipeline.texture.views import see, texel_surface
from pain3d.skin import Skin, surface


class Case(NamedTuple):
    """A texture that is to be found again, and the procedural person in whose stead it is worn.

    Attributes:
        number: Keys the noise.
        true: [S, S, 3] linear.
        base: [S, S, 16].
        who: Identity and skin of the base.
        skin: See who.
    """

    number: int
    true: Tensor
    base: Tensor
    who: Identity
    skin: Skin


def seen_weights(case: Case, head: Head, cameras: Camera) -> Tensor:
    """How well each camera sees each texel of the base's geometry, [N, S, S]."""
    seen = see(head, case.who, surface(head, case.skin), cameras)
    depth = seen.conditions.depth
    _, weights = backproject(
        torch.ones(*depth.shape, 1), depth, torch.ones_like(depth), cameras.world_to_clip, cameras.position,
        seen.mesh.vertices, seen.normals, head.topology.faces, *texel_surface(head, len(case.true)),
    )  # fmt: skip
    return weights


def by_push_pull(case: Case, weight: Tensor) -> Tensor:
    """Push–pull over the chart, of nothing but what was seen."""
    seen = (weight > 0).float()[None, None]
    return push_pull(case.true.permute(2, 0, 1)[None], seen)[0].permute(1, 2, 0)


def psnr(done: Tensor, true: Tensor, where: Tensor) -> float:
    """PSNR in dB of the texels `where` [S, S] bool, of textures [S, S, 3] linear that are compared in sRGB."""
    one, other = (linear_to_srgb(texture[where].numpy().astype(np.float32)) for texture in (done, true))
    return float(-10 * np.log10(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2, dtype=np.float64)))
