"""Knows how far a face is from its pictures, and in which direction it comes nearer: residuals and their differences.

A residual of a pixel is (rendered − seen) in sRGB over what skin, noise and quantisation may differ by; of a point, its
distance over the finder's deviation. Both count by a Student distribution (Lange, Little & Taylor 1989): hair over a
brow or a beard over a landmark pulls with bounded force. Derivatives are differences: every number is moved by a grey
level or so and everything is rendered again, some 200 pictures of 112² a step, a quarter of a second on two cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from pain3d.facs.action_units import AU_NUMBERS, SIDES
from pain3d.fitting.appearance import LightPrior, SkinPrior
from pain3d.fitting.cameras import cameras, projected
from pain3d.fitting.parameters import Block, Parameters
from pain3d.fitting.picture import Picture, behind, model_points
from pain3d.fitting.shape import ShapePrior
from pain3d.head.identity import Identity
from pain3d.head.model import Head
from pain3d.kernels.texturing import Mipmaps
from pain3d.light import Light
from pain3d.mesh import Mesh
from pain3d.rendering.view import render

Doubles = npt.NDArray[np.float64]

FREEDOM: Final = 4.0  # of the Student distribution: 3 deviations count as much as 1.9 do in a normal one
NEIGHBOURS: Final = 6.0  # pixels that err together: a residual of skin spans two or three
NOISE: Final = 0.02  # of a pixel, sRGB 0–1: sensor, quantisation, and what the reflectance model leaves out
RELATIVE: Final = 0.06  # the same in proportion to the value
CURVE: Final = 0.45  # d log(sRGB) / d log(linear) over the tones of skin
EDGE: Final = 5  # pixels: a window around each that must hold nothing but the face
TOGETHER: Final = 64  # pictures in a call
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
            total += _Look(self, values, place).cost
        return total

    def slope(self, values: Doubles, free: Sequence[Block]) -> Slope:
        """The objective at values [P] and how it changes with the numbers of free blocks."""
        numbers = self.numbers
        away = (values - numbers.mean) / numbers.deviation**2
        gradient = away + numbers.sparse + numbers.ties.T @ (numbers.ties @ values)
        matrix = np.diag(1 / numbers.deviation**2) + numbers.ties.T @ numbers.ties
        looks = [_Look(self, values, place) for place in range(len(self.pictures))]
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
        return self.head(
            people, torch.from_numpy(au), leye_pose=gaze, reye_pose=gaze, surface=self.skins.surface,
            person_index=torch.from_numpy(which.ravel()),
        )  # fmt: skip

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
        """The skins of values [B, P]."""
        return self.skins.textures(values[:, self.numbers.slices["tone", 0]])

    def rendered(
        self, mesh: Mesh, values: Doubles, place: int, light: Light, texture: Mipmaps, index: tuple[Tensor, Tensor]
    ) -> Doubles:
        """Pictures [B, S, S, 3] 0–1 of meshes and textures by index, from the cameras of values [B, P]."""
        assert self.behind is not None
        view = render(
            mesh, cameras(self.camera(values, place), self.pictures[place].part, self.size), light=light,
            texture=texture, background=self.behind[place : place + 1], mesh_index=index[0], texture_index=index[1],
            outputs=("image",),
        )  # fmt: skip
        assert view.image is not None
        return np.asarray(view.image.double().numpy() / 255)


class _Look:
    """A picture looked at with certain values [P]: what of it is compared, and by how much it differs."""

    def __init__(self, objective: Objective, values: Doubles, place: int) -> None:
        self.objective, self.values, self.place = objective, values, place
        self.picture, self.moment = objective.pictures[place], objective.numbers.moments[place]
        self.mesh = objective.meshes(values[None], self.moment)
        self.points = model_points(objective.head, self.mesh.vertices)
        self.at = projected(objective.camera(values[None], place), self.points)[0]
        trust = self.picture.trust / objective.doubt
        apart = (self.at - self.picture.points) * trust[:, None]
        squared = (apart**2).sum(1)
        self.pull = trust * np.sqrt((FREEDOM + 2) / (FREEDOM + squared))  # of a point, after the Student weight
        self.cost = float(0.5 * (FREEDOM + 2) * np.log1p(squared / FREEDOM).sum())
        known = trust > 0
        self.missed = (
            float(np.sqrt(((self.at - self.picture.points)[known] ** 2).sum(1).mean())) if known.any() else 0.0
        )
        self.shown: Tensor | None = None
        self.residual = 0.0
        if objective.size:
            self._compare()

    def _compare(self) -> None:
        """Render once, and weigh each pixel that shows nothing but the face."""
        objective, seen = self.objective, self.objective.seen[self.place]
        assert objective.behind is not None
        self.lamp, self.chain = objective.light(self.values[None], self.place), objective.texture(self.values[None])
        view = render(
            self.mesh, cameras(objective.camera(self.values[None], self.place), self.picture.part, objective.size),
            light=self.lamp, texture=self.chain, background=objective.behind[self.place : self.place + 1],
            attributes=objective.carried, outputs=("image", "alpha", "attributes"),
        )  # fmt: skip
        assert view.image is not None and view.alpha is not None and view.attributes is not None
        self.shown = view.image[0].float() / 255
        open_ = (view.alpha != 255).float()[:, None]
        inside = (max_pool2d(open_, EDGE, 1, EDGE // 2)[0, 0] == 0) & (view.attributes[0, ..., 0] > 0.98)
        brighter = torch.maximum(seen, self.shown)
        skin = CURVE * brighter * view.attributes[0, ..., 1:]
        deviation = (skin**2 + NOISE**2 + (RELATIVE * brighter) ** 2).sqrt()
        self.inside = inside.numpy()
        apart = ((self.shown - seen) / deviation)[inside].double().numpy()
        squared = (apart**2).sum(1)
        weight = np.sqrt((FREEDOM + 3) / (FREEDOM + squared) / NEIGHBOURS)
        self.cost += float(0.5 * (FREEDOM + 3) * np.log1p(squared / FREEDOM).sum() / NEIGHBOURS)
        self.scale = (weight[:, None] / deviation[inside].double().numpy()).ravel()
        self.base = self.shown[inside].double().numpy().ravel()
        self.apart = (apart * weight[:, None]).ravel()
        plain = (self.shown - seen)[inside]
        self.residual = float(255 * plain.square().mean().sqrt()) if len(plain) else 0.0

    def jacobians(self, blocks: Sequence[Block]) -> list[tuple[Doubles, Doubles]]:
        """Residuals and their derivatives by the numbers of blocks: of the points, and where compared of the pixels."""
        objective, numbers, place = self.objective, self.objective.numbers, self.place
        places = numbers.places(blocks)
        step = np.where(self.values + numbers.step > numbers.high, -numbers.step, numbers.step)[places]
        moved = np.repeat(self.values[None], len(places), 0)
        moved[np.arange(len(places)), places] += step
        kinds = np.array([block[0] for block in blocks for _ in _span(numbers.slices[block])])
        bent = np.flatnonzero(np.isin(kinds, ("axes", "shape", "au", "gaze")))
        meshes = objective.meshes(moved[bent], self.moment) if len(bent) else self.mesh
        points = (model_points(objective.head, meshes.vertices) - self.points) if len(bent) else self.points[:0]
        at = np.repeat(self.at[None], len(places), 0)
        if len(bent):
            at[bent] = projected(objective.camera(self.values[None], place), self.points + points)
        turned = np.flatnonzero(kinds == "camera")
        if len(turned):
            at[turned] = projected(objective.camera(moved[turned], place), self.points)
        pull = self.pull[:, None]
        found = [(
            ((self.at - self.picture.points) * pull).ravel(),
            ((at - self.at) * pull).reshape(len(places), -1).T / step,
        )]  # fmt: skip
        if objective.size:
            columns = np.empty((len(self.base), len(places)))
            own = {kind: np.flatnonzero(kinds == kind) for kind in ("camera", "light", "tone")}
            for kind, chosen in (own | {"mesh": bent}).items():
                for start in range(0, len(chosen), TOGETHER):
                    some = chosen[start : start + TOGETHER]
                    columns[:, some] = self._seen_moved(kind, moved[some], meshes, start).T
            found.append((self.apart, (columns - self.base[:, None]) * self.scale[:, None] / step))
        return found

    def _seen_moved(self, kind: str, values: Doubles, meshes: Mesh, start: int) -> Doubles:
        """Pixels [B, N] that are compared, of values [B, P] in which one kind of number was moved."""
        count, objective = len(values), self.objective
        none, each = torch.zeros(count, dtype=torch.int64), torch.arange(count)
        light = objective.light(values, self.place) if kind == "light" else _repeated(self.lamp, count)
        texture = objective.texture(values) if kind == "tone" else self.chain
        mesh, index = (meshes, each + start) if kind == "mesh" else (self.mesh, none)
        pictures = objective.rendered(
            mesh, values, self.place, light, texture, (index, each if kind == "tone" else none)
        )
        return np.asarray(pictures[:, self.inside].reshape(count, -1))


def _span(span: slice) -> range:
    return range(span.start, span.stop)


def _repeated(light: Light, count: int) -> Light:
    parts = (light.sh, light.key_direction, light.key_colour, light.exposure)
    return Light(*(part.expand(count, *part.shape[1:]) for part in parts))
