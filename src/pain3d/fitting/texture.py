"""Knows what the skin has that no coordinate of skins has: a correction of its texture, by the renderer's gradients.

Tens of thousands of texels are too many for differences. The logarithm of the albedo is corrected on a grid, by Adam
(Kingma & Ba 2015) down the gradient of the squared difference in a root of linear light, with smoothness: what no
picture shows stays as it was.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pain3d.fitting.appearance import TEXELS
from pain3d.fitting.look import Look
from pain3d.fitting.objective import Objective
from pain3d.fitting.viewpoint import cameras
from pain3d.rendering.view import render

Doubles = npt.NDArray[np.float64]

GRID: Final = 128  # cells a side of the correction
STEPS = 12
RATE: Final = 0.05  # of a step, in the logarithm
ROOT: Final = 1 / 2.2  # of linear light: about as eyes and bytes count it
DARK: Final = 1e-3  # linear light below which the root is not followed
DEVIATION: Final = 0.02  # of the root: as far as a pixel may be off
STIFF: Final = 0.08  # change from cell to cell, standard deviation
LARGE: Final = 0.5  # of the correction itself


def texture_correction(objective: Objective, values: Doubles) -> Tensor:
    """What to add to the logarithm of the albedo, [TEXELS², 3], so that values [P] look more like the pictures."""
    grid = torch.zeros(1, 3, GRID, GRID, requires_grad=True)
    looks = [Look(objective, values, place) for place in range(len(objective.pictures))]
    tones = values[None, objective.numbers.slices["tone", 0]]
    assert objective.behind is not None
    descent = torch.optim.Adam([grid], lr=RATE)
    for _ in range(STEPS):
        texture = objective.skins.textures(tones, _texels(grid))
        loss = (grid / LARGE).square().sum() / 2
        for axis in (2, 3):
            loss = loss + (grid.diff(dim=axis) / STIFF).square().sum() / 2
        for look in looks:
            view = render(
                look.mesh, cameras(objective.camera(values[None], look.place), look.picture.part, objective.size),
                light=look.lamp, texture=texture, background=objective.behind[look.place : look.place + 1],
                outputs=("linear",),
            )  # fmt: skip
            assert view.linear is not None
            inside = torch.from_numpy(look.inside)
            apart = _root(view.linear[0, ..., :3][inside]) - _root(objective.behind[look.place][inside])
            loss = loss + (apart / DEVIATION).square().sum() / 2
        descent.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        descent.step()
    return _texels(grid.detach())


def _texels(grid: Tensor) -> Tensor:
    fine = interpolate(grid, (TEXELS, TEXELS), mode="bilinear", align_corners=False)
    return fine[0].permute(1, 2, 0).reshape(-1, 3)


def _root(linear: Tensor) -> Tensor:
    return linear.clamp(min=DARK) ** ROOT
