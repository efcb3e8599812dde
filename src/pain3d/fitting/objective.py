"""Knows how far a face is from its pictures, and in which direction it comes nearer: a cost, its slope, its curvature.

What is seen of each picture is in `look`; here it is added up over pictures and with what is expected beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.facs.action_units import AU_NUMBERS, SIDES
from pain3d.facs.rig import action_weights
from pain3d.fitting.appearance import LightPrior, SkinPrior
from pain3d.fitting.look import Look
from pain3d.fitting.parameters import Block, Parameters
from pain3d.fitting.picture import Picture, behind
from pain3d.fitting.shape import ShapePrior
from pain3d.fitting.viewpoint import cameras
from pain3d.head.identity import Identity
from pain3d.head.model import Head
from pain3d.head.surface_detail import detail
from pain3d.kernels.texturing import Mipmaps
from pain3d.light import Light
from pain3d.mesh import Mesh
from pain3d.rendering.view import render

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]

FACE = ((0.015, 1.0), (-0.092, 0.075))  # metres of z and of y between which a vertex is compared
NOT_COMPARED: Final = ("neck", "tongue")


@dataclass(frozen=True)
class Slope:
    """A quadratic that touches the objective: cost, gradient [P] and Gauss–Newton matrix [P, P].

    Attributes:
        cost: Value.
        gradient: [P].
        matrix: [P, P], priors included.
        shown: [S, S, 3] of each picture, sRGB 0–1.
        residual: Of each picture, sRGB levels: root of the mean square over what is compared.
        missed: Of each picture, root of the mean square distance of its points, shares of the picture's side.
    """

    cost: float
    gradient: Doubles
    matrix: Doubles
    shown: list[Tensor]
    residual: list[float]
    missed: list[float]


class Objective:
    """The distance of a face from its pictures.

    Args:
        head: Whose.
        numbers: What is fitted.
        pictures: Of it.
        priors: Shapes, skins and lights that may be.
        size: Pixels a side at which pictures are compared; 0 compares points alone.
        doubt: Factor on the deviation of points.
    """

    def __init__(
        self,
        head: Head,
        numbers: Parameters,
        pictures: Sequence[Picture],
        priors: tuple[ShapePrior, SkinPrior, LightPrior],
        size: int,
        doubt: float = 1.0,
    ) -> None:
        self.head, self.numbers, self.pictures, self.size, self.doubt = head, numbers, tuple(pictures), size, doubt
        self.shapes, self.skins, self.lights = priors
        self._kept: tuple[Doubles, Mipmaps] | None = None
        self.seen = [picture.seen(size) for picture in pictures] if size else []
        self.behind = behind(self.seen) if size else None
        template, parts = head.template, [head.part_names.index(name) for name in NOT_COMPARED]
        (near, far), (low, high) = FACE
        compared = (template[:, 2] > near) & (template[:, 2] < far) & (template[:, 1] > low) & (template[:, 1] < high)
        compared &= ~torch.isin(head.vertex_parts, torch.tensor(parts))
        self.carried = torch.stack([compared.float(), self.skins.deviation], 1)[None]

    def cost(self, values: Doubles) -> float:
        """The objective at values [P]."""
        total = self.numbers.beyond(values)
        for place in range(len(self.pictures)):
            total += Look(self, values, place).cost
        return total

    def slope(self, values: Doubles, free: Sequence[Block]) -> Slope:
        """The objective at values [P] and how it changes with the numbers of free blocks."""
        numbers = self.numbers
        away = (values - numbers.mean) / numbers.deviation**2
        gradient = away + numbers.sparse + numbers.ties.T @ (numbers.ties @ values)
        matrix = np.diag(1 / numbers.deviation**2) + numbers.ties.T @ numbers.ties
        looks = [Look(self, values, place) for place in range(len(self.pictures))]
        for look in looks:
            blocks = [block for block in numbers.of_picture(look.place) if block in free]
            places = numbers.places(blocks)
            for residual, jacobian in look.jacobians(blocks):
                gradient[places] += jacobian.T @ residual
                matrix[np.ix_(places, places)] += jacobian.T @ jacobian
        cost = numbers.beyond(values) + sum(look.cost for look in looks)
        shown = [look.shown for look in looks if look.shown is not None]
        return Slope(cost, gradient, matrix, shown, [k.residual for k in looks], [k.missed for k in looks])

    def meshes(self, values: Doubles, moment: int) -> Mesh:
        """The faces of values [B, P] in a moment."""
        at = self.numbers.slices
        who = np.concatenate([values[:, at["axes", 0]], values[:, at["shape", 0]]], 1)
        _, first, which = np.unique(who, axis=0, return_index=True, return_inverse=True)
        people = [self.person(row) for row in values[first]]
        au = np.zeros((len(values), len(AU_NUMBERS), len(SIDES)), np.float32)
        if ("au", moment) in at:
            au = values[:, at["au", moment]].reshape(au.shape).astype(np.float32)
        yaw, pitch = torch.deg2rad(torch.from_numpy(values[:, at["gaze", moment]])).float().T
        gaze = torch.stack([pitch, yaw, 0 * yaw], 1)
        units = torch.from_numpy(au)
        bare = self.head(people, units, leye_pose=gaze, reye_pose=gaze, person_index=torch.from_numpy(which.ravel()))
        surface = self.skins.surface(values[:, at["axes", 0].start])  # the first axis is the age
        _, wrinkles = detail(self.skins.creases, self.head.occlusion, action_weights(units), surface)
        return replace(bare, wrinkles=wrinkles)  # nothing grows: normals of each person need not be made

    def person(self, values: Doubles) -> Identity:
        """Whom values [P] mean."""
        at = self.numbers.slices
        return self.shapes.person(values[at["axes", 0]], values[at["shape", 0]])

    def light(self, values: Doubles, picture: int) -> Light:
        """The lights of values [B, P] in a picture."""
        return self.lights.lights(values[:, self.numbers.slices["light", picture]])

    def camera(self, values: Doubles, picture: int) -> Doubles:
        """The cameras [B, 7] of values [B, P]."""
        return values[:, self.numbers.slices["camera", picture]]

    def texture(self, values: Doubles) -> Mipmaps:
        """The skin of values [1, P]; that of the last call is kept."""
        tones = values[:, self.numbers.slices["tone", 0]]
        if self._kept is None or not np.array_equal(self._kept[0], tones):
            self._kept = tones, self.skins.textures(tones)
        return self._kept[1]

    def rendered(
        self, mesh: Mesh, values: Doubles, place: int, light: Light, texture: Mipmaps, index: Tensor
    ) -> Floats:
        """Pictures [B, S, S, 3] 0–1 of meshes by index [B], from the cameras of values [B, P], of one skin."""
        assert self.behind is not None
        view = render(
            mesh, cameras(self.camera(values, place), self.pictures[place].part, self.size), light=light,
            texture=texture, background=self.behind[place : place + 1], mesh_index=index,
            texture_index=torch.zeros_like(index), outputs=("image",),
        )  # fmt: skip
        assert view.image is not None
        return np.asarray(view.image.numpy() / np.float32(255))
