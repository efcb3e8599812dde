"""Knows how one picture differs from what is rendered, and how the difference changes: residuals and their derivatives.

A residual of a pixel is (rendered − seen) in sRGB over what skin, noise and quantisation may differ by; of a point, its
distance over the finder's deviation. Both count by a Student distribution (Lange, Little & Taylor 1989): hair over a
brow or a beard over a landmark pulls with bounded force. Derivatives are differences: every number is moved by a grey
level or so and everything is rendered again, some 160 pictures of 112² a step. The skin's alone are products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from pain3d.device import map_tensors
from pain3d.fitting.parameters import Block
from pain3d.fitting.picture import model_points
from pain3d.fitting.viewpoint import cameras, projected
from pain3d.kernels import interpolate, rasterize
from pain3d.kernels.deformation.reference import to_clip
from pain3d.light import Light
from pain3d.mesh import Mesh
from pain3d.rendering.view import render

if TYPE_CHECKING:
    from pain3d.fitting.objective import Objective

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]

FREEDOM: Final = 4.0  # of the Student distribution: 3 deviations count as much as 1.9 do in a normal one
NEIGHBOURS: Final = 6.0  # pixels that err together: a residual of skin spans two or three
NOISE: Final = 0.02  # of a pixel, sRGB 0–1: sensor, quantisation, and what the reflectance model leaves out
RELATIVE: Final = 0.06  # the same in proportion to the value
CURVE: Final = 0.45  # d log(sRGB) / d log(linear) over the tones of skin
EDGE: Final = 5  # pixels: a window around each that must hold nothing but the face
TOGETHER: Final = 64  # pictures in a call
LIGHTER: Final = 0.1  # of the logarithm of the albedo, to see what it does


class Look:
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
        self.scale = (weight[:, None] / deviation[inside].double().numpy()).ravel().astype(np.float32)
        self.base = self.shown[inside].numpy().ravel()
        self.apart = (apart * weight[:, None]).ravel().astype(np.float32)
        plain = (self.shown - seen)[inside]
        self.residual = float(255 * plain.square().mean().sqrt()) if len(plain) else 0.0

    def jacobians(self, blocks: Sequence[Block]) -> list[tuple[Floats, Floats]]:
        """Residuals and their derivatives by the numbers of blocks: of the points, and where compared of the pixels."""
        objective, numbers, place = self.objective, self.objective.numbers, self.place
        places = numbers.places(blocks)
        step = np.where(self.values + numbers.step > numbers.high, -numbers.step, numbers.step)[places]
        moved = np.repeat(self.values[None], len(places), 0)
        moved[np.arange(len(places)), places] += step
        kinds = np.array([name for name, which in blocks for _ in range(numbers.length((name, which)))])
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
            columns = np.empty((len(self.base), len(places)), np.float32)
            lit, toned = np.flatnonzero(kinds == "light"), np.flatnonzero(kinds == "tone")
            for kind, chosen in {"mesh": bent, "camera": turned, "light": lit}.items():
                for start in range(0, len(chosen), TOGETHER):
                    some = chosen[start : start + TOGETHER]
                    columns[:, some] = (self._seen_moved(kind, moved[some], meshes, start) - self.base).T / step[some]
            if len(toned):
                columns[:, toned] = self._tones()
            columns *= self.scale[:, None]
            found.append((self.apart, columns))
        return found

    def _seen_moved(self, kind: str, values: Doubles, meshes: Mesh, start: int) -> Floats:
        """Pixels [B, N] that are compared, of values [B, P] in which one kind of number was moved."""
        count, objective = len(values), self.objective
        none, each = torch.zeros(count, dtype=torch.int64), torch.arange(count)
        light = objective.light(values, self.place) if kind == "light" else _repeated(self.lamp, count)
        mesh, index = (meshes, each + start) if kind == "mesh" else (self.mesh, none)
        pictures = objective.rendered(mesh, values, self.place, light, self.chain, index)
        return pictures[:, self.inside].reshape(count, -1)

    def _tones(self) -> Floats:
        """Derivatives [N, D] of the compared pixels by the coordinates of the skin.

        A pixel's channel depends on the albedo of that channel there: one rendering of a skin that is a little lighter
        everywhere tells by how much, and each coordinate by how much it lightens the skin there.
        """
        objective, values = self.objective, self.values[None]
        skins, camera = objective.skins, objective.camera(values, self.place)
        lighter = skins.textures(values[:, objective.numbers.slices["tone", 0]], torch.tensor(LIGHTER))
        none = torch.zeros(1, dtype=torch.int64)
        brighter = objective.rendered(self.mesh, values, self.place, self.lamp, lighter, none)[0][self.inside]
        slope = (brighter - self.base.reshape(-1, 3)) / LIGHTER
        head, size = objective.head, (objective.size, objective.size)
        transform = cameras(camera, self.picture.part, objective.size).world_to_clip
        seen = rasterize(to_clip(self.mesh.vertices, transform).float(), head.faces, size)
        uv = interpolate(head.uvs[None], head.uv_faces, seen.face_ids, seen.barycentrics)[0]
        added = skins.looked_up(uv[torch.from_numpy(self.inside)]).numpy()
        return np.asarray((added * slope[:, None]).transpose(0, 2, 1).reshape(len(self.base), -1), np.float32)


def _repeated(light: Light, count: int) -> Light:
    return map_tensors(light, lambda part: part.expand(count, *part.shape[1:]))
