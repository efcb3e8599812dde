"""Knows what a fit found, in words that the rest of the house understands: a person, expressions, cameras, scenes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.facs.action_units import AU_COLUMNS, AU_NUMBERS, SIDES, ActionUnits
from pain3d.fitting.likeness import nearest_light, nearest_skin
from pain3d.fitting.objective import Objective, Slope
from pain3d.fitting.picture import Picture, behind
from pain3d.fitting.viewpoint import cameras, setting
from pain3d.head.identity import Identity
from pain3d.light import Light
from pain3d.mesh import Mesh
from pain3d.rendering.view import render
from pain3d.scene import Scene
from pain3d.setting import Pose
from pain3d.skin import Skin, surface_maps
from pain3d.skin.maps import tone_texels

Doubles = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

SHUT: Final = 0.5  # AU43 is yes or no: from here on yes
SCENE_SIZE: Final = 512  # pixels a side of the scenes
PLACES: Final = 3  # digits of an intensity: it is known to a tenth at best


class Sight(NamedTuple):
    """What one picture is rendered again from: the picture, its camera [1, 7] and the mesh."""

    picture: Picture
    camera: Doubles
    mesh: Mesh


@dataclass(frozen=True)
class Fit:
    """The face that N pictures show; a neutral picture, if one was given, is the last of them.

    Attributes:
        identity: Who.
        skin: The nearest skin that a scene can name; `texture` is the one that was found.
        au: Of each picture; AU43, which a fit moves between 0 and 1, is rounded.
        deviation: [N, A, 2] standard deviation of each action unit, left and right, in its own steps: root of the
            diagonal of the inverse Gauss–Newton matrix. 0 of a picture that was said to be neutral.
        scenes: Of each picture, on a plain ground: identity, action units, pose and camera as they were found, skin and
            light as near as a scene can say. Its picture is the square that was cut out.
        light: N lights as they were found, in the head's own frame.
        vertices: [N, V, 3] metres.
        texture: [256, 256, 16] the skin that was found, as `pain3d.render` takes it.
        squares: [N, 3] left, top and side of the square that was cut from each picture, pixels.
        residual: [N] root mean square of rendered − seen over the face, sRGB levels.
        landmark_error: [N] root mean square distance of the points, pixels of the picture.
        sights: What `render` reads.
    """

    identity: Identity
    skin: Skin
    au: tuple[ActionUnits, ...]
    deviation: Doubles
    scenes: tuple[Scene, ...]
    light: Light
    vertices: Tensor
    texture: Tensor
    squares: npt.NDArray[np.int64]
    residual: Doubles
    landmark_error: Doubles
    sights: tuple[Sight, ...]

    def __len__(self) -> int:
        return len(self.au)

    @property
    def pspi(self) -> tuple[float, ...]:
        """PSPI of each picture, 0–16."""
        return tuple(float(units.pspi()) for units in self.au)

    def render(self, picture: int = 0, size: int = 256) -> tuple[Pixels, Pixels]:
        """The part of a picture that was compared, [size, size, 3] sRGB as it was seen, and with the face over it."""
        sight = self.sights[picture]
        seen = sight.picture.seen(size)
        view = render(
            sight.mesh, cameras(sight.camera, sight.picture.part, size), light=one_light(self.light, picture),
            texture=self.texture[None], background=behind([seen]),
        )  # fmt: skip
        assert view.image is not None
        return (seen * 255).round().to(torch.uint8).numpy(), view.image[0].numpy()

    def row(self, picture: int = 0) -> dict[str, Any]:
        """A picture as ``fit.json`` tells it: columns of a data set, pose, light, residual and deviations."""
        scene, light = self.scenes[picture], one_light(self.light, picture)
        deviations: dict[str, float] = {}
        for column, sides, (left, right) in zip(
            AU_COLUMNS, self.au[picture].values, self.deviation[picture].tolist(), strict=True
        ):
            larger = left if sides[0] >= sides[1] else right
            deviations |= {column: larger, f"{column}_L": left, f"{column}_R": right}
        return {
            **self.au[picture].as_row(),
            "PSPI": round(self.pspi[picture], PLACES),
            "pose": {**vars(scene.camera), "gaze_yaw": scene.pose.gaze_yaw, "gaze_pitch": scene.pose.gaze_pitch},
            "light": {
                name: getattr(light, name)[0].tolist() for name in ("sh", "key_direction", "key_colour")
            },
            "residual": {
                "levels": round(float(self.residual[picture]), PLACES),
                "landmark_pixels": round(float(self.landmark_error[picture]), PLACES),
            },
            "deviations": {name: round(value, PLACES) for name, value in deviations.items()},
            "square": self.squares[picture].tolist(),
        }  # fmt: skip


def one_light(light: Light, place: int) -> Light:
    """One of several lights."""
    parts = (light.sh, light.key_direction, light.key_colour, light.exposure)
    return Light(*(part[place : place + 1] for part in parts))


def fit_of(
    objective: Objective, values: Doubles, slope: Slope, still: Collection[int], correction: Tensor | None
) -> Fit:
    """What values [P] mean.

    Args:
        objective: Whose values they are.
        values: [P].
        slope: There, of all blocks.
        still: Moments whose face was said to be neutral.
        correction: [N, 3] of the texture's log albedo, see `texture_correction`; None is none.
    """
    numbers, pictures, row = objective.numbers, objective.pictures, values[None]
    spread = np.sqrt(np.diag(np.linalg.inv(slope.matrix)))
    deviation = np.zeros((len(pictures), len(AU_NUMBERS), len(SIDES)))
    units, lights, sights, scenes = [], [], [], []
    texels = objective.skins.textures(row[:, numbers.slices["tone", 0]], correction).texels[0]
    size = objective.skins.size
    texture = texels[: size * size].view(size, size, -1)
    cheeks = np.concatenate(tone_texels(surface_maps(objective.head, size)))
    albedo = np.exp(np.log(texels[cheeks, :3].double().numpy()).mean(0))
    identity = objective.person(values)
    like = objective.skins.nearest(values[numbers.slices["tone", 0]])
    skin = nearest_skin(like, albedo)
    for place, picture in enumerate(pictures):
        moment = numbers.moments[place]
        units.append(ActionUnits())
        if moment not in still:
            at = numbers.slices["au", moment]
            deviation[place] = spread[at].reshape(-1, 2)
            units[-1] = _action_units(values[at].reshape(-1, 2))
        lights.append(objective.light(row, place))
        sights.append(Sight(picture, objective.camera(row, place), objective.meshes(row, moment)))
        gaze = [round(float(angle), 3) for angle in values[numbers.slices["gaze", moment]]]
        named, sensor = nearest_light(lights[-1])
        scenes.append(
            Scene(
                seed=skin.seed,
                identity_id=skin.identity,
                expression_id=moment + 1,
                view_id=place,
                size=SCENE_SIZE,
                identity=identity,
                skin=skin,
                au=units[-1],
                pose=Pose(gaze_yaw=gaze[0], gaze_pitch=gaze[1]),
                camera=setting(sights[-1].camera[0]),
                light=named,
                background="plain",
                sensor=sensor,
            )
        )
    parts = zip(*((one.sh, one.key_direction, one.key_colour, one.exposure) for one in lights), strict=True)
    sides = np.array([picture.place[2] for picture in pictures])
    return Fit(
        identity=identity,
        skin=skin,
        au=tuple(units),
        deviation=deviation,
        scenes=tuple(scenes),
        light=Light(*(torch.cat(part) for part in parts)),
        vertices=torch.cat([sight.mesh.vertices for sight in sights]),
        texture=texture,
        squares=np.array([picture.place for picture in pictures]),
        residual=np.array(slope.residual),
        landmark_error=np.array(slope.missed) * sides,
        sights=tuple(sights),
    )


def _action_units(intensities: Doubles) -> ActionUnits:
    """Action units of intensities [A, 2], AU43 rounded."""
    sides = {}
    for number, both in zip(AU_NUMBERS, intensities.tolist(), strict=True):
        left, right = (float(side >= SHUT) if number == 43 else round(side, PLACES) for side in both)
        sides[number] = (left, right)
    return ActionUnits.of_sides(sides)
