"""A scene is everything that one image is made of: a small record that can be stored, sampled, changed and rendered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from pain3d.facs.action_units import CO_OCCURRING_AUS, SIDES, ActionUnits
from pain3d.facs.pspi import MAX_INTENSITY, PAIN_AUS, sample_pain_units
from pain3d.head.identity import ANCESTRIES, SEXES, Identity, sample_identity
from pain3d.head.model import Head
from pain3d.light import LIGHTS
from pain3d.random import keyed_generator
from pain3d.skin import Skin, sample_skin

AGE_GROUPS = {"18-34": (18.0, 34.99), "35-54": (35.0, 54.99), "55-74": (55.0, 74.99), "75-95": (75.0, 95.0)}

# Camera and head together stay within ±45° yaw and ±15° pitch: the camera takes the first share, the neck the second.
CAMERA_YAW, NECK_YAW = 38.0, 7.0  # degrees
CAMERA_PITCH, NECK_PITCH = 10.0, 5.0
CAMERA_ROLL = 4.0
GAZE = 6.0
DISTANCE = (0.6, 1.3)  # metres
FRAME_HEIGHT = (0.29, 0.36)  # metres of scene that the picture is high at the head: the field of view follows
FRAME_CENTRE = (0.0, 0.015, 0.02)
FRAME_JITTER = 0.012  # metres
CO_OCCURRENCE = 0.2  # chance of each of AU12, 20, 25, 26, 27 beside a pain expression
BACKGROUND_SHARES = (("plain", 0.25), ("gradient", 0.25), ("bokeh", 0.5))


@dataclass(frozen=True)
class DemographicCell:
    """One cell of the grid: a group of ages and two axes. Words are generator axes, not claims about people."""

    age_group: str
    sex: str
    ancestry: str


CELLS = tuple(DemographicCell(*cell) for cell in product(AGE_GROUPS, SEXES, ANCESTRIES))


def demographic_grid(identities: int, seed: int) -> tuple[DemographicCell, ...]:
    """The cell of each identity: all 24 cells in every 24 identities, in a keyed order; balanced to within one.

    Within that, every six identities hold each pair of sex and ancestry once and no age group more than twice, so that
    a handful of people is balanced too.

    Raises:
        ValueError: `identities` is not positive.
    """
    if identities < 1:
        raise ValueError(f"identities must be at least 1, got {identities}")
    pairs, ages = list(product(SEXES, ANCESTRIES)), list(AGE_GROUPS)
    cells: list[DemographicCell] = []
    for round_number in range(-(-identities // len(CELLS))):
        generator = keyed_generator(seed, "cells", round_number)
        order = np.argsort(generator.random(len(pairs)), kind="stable")
        # Ages step on by one from six to six, from a first age per pair of which none occurs more than twice.
        first = np.argsort(generator.random(2 * len(ages)), kind="stable")[: len(pairs)] % len(ages)
        for six, place in product(range(len(ages)), range(len(pairs))):
            cells.append(DemographicCell(ages[(six + first[place]) % len(ages)], *pairs[order[place]]))
    return tuple(cells[:identities])


@dataclass(frozen=True)
class CameraSetting:
    """Where the camera stands (degrees, metres); see `Camera.orbit`."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 0.8
    fov: float = 25.0
    target: tuple[float, float, float] = FRAME_CENTRE


@dataclass(frozen=True)
class Pose:
    """Turns of the head against the torso and of the eyes in it, degrees: yaw to the subject's left, pitch down."""

    neck_yaw: float = 0.0
    neck_pitch: float = 0.0
    neck_roll: float = 0.0
    gaze_yaw: float = 0.0
    gaze_pitch: float = 0.0


@dataclass(frozen=True)
class LightSetting:
    """A light preset and its jitter; see `Light.preset`."""

    name: str = "studio"
    azimuth: float = 0.0
    elevation: float = 0.0
    intensity: float = 1.0
    key_share: float = 1.0


@dataclass(frozen=True)
class Scene:
    """Everything that one image is made of; `render_scenes` makes the image.

    `seed`, `identity_id`, `expression_id` and `view_id` key what is random inside the skin and the background.
    Expression 0 is the neutral one.
    """

    seed: int
    identity_id: int
    expression_id: int
    view_id: int
    size: int
    identity: Identity
    skin: Skin
    au: ActionUnits
    pose: Pose
    camera: CameraSetting
    light: LightSetting
    background: str

    def to_json(self) -> str:
        """One line of JSON, at most 2 KB; `from_json` gives an equal scene back."""
        # vars, not asdict: its deep copies took most of the time of making a row.
        local = [round(c * 1000) for c in self.identity.local]  # thousandths: exact, they are rounded so
        fields = vars(self) | {name: vars(getattr(self, name)) for name in ("skin", "pose", "camera", "light")}
        fields |= {"identity": vars(self.identity) | {"local": local}, "au": self.au.nonzero()}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """The scene of `to_json`. Raises ValueError in one line if it is not one."""
        try:
            fields = json.loads(text)
            person = fields.pop("identity")
            person["local"] = tuple(c / 1000 for c in person["local"])
            person["ancestry"] = tuple(person["ancestry"])
            camera = fields.pop("camera")
            camera["target"] = tuple(camera["target"])
            skin: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.pop("skin").items()}
            return cls(
                identity=Identity(**person),
                skin=Skin(**skin),
                au=ActionUnits(**fields.pop("au")),
                pose=Pose(**fields.pop("pose")),
                camera=CameraSetting(**camera),
                light=LightSetting(**fields.pop("light")),
                **fields,
            )
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a scene: {error}") from error


def sample_scenes(
    *,
    seed: int,
    identity_id: int,
    cell: DemographicCell,
    head: Head | None = None,
    expressions: int = 10,
    views: int = 3,
    size: int = 512,
    law: str = "uniform",
    co_occurring: bool = True,
    asymmetry: float = 0.0,
) -> tuple[Scene, ...]:
    """All scenes of one identity: (expressions + 1) × views, expression-major; expression 0 is neutral.

    The camera and the background belong to a view, the light, the pose and the gaze to an expression: as if one moment
    were filmed by several fixed cameras. Pure: the same arguments give the same scenes, in any order or batch.

    Args:
        seed: The data set's seed.
        identity_id: Which identity of it.
        cell: Its place in the demographic grid.
        head: Whose local shapes the identity draws; None is the default head.
        expressions: Pain expressions, 0 or more.
        views: Cameras, 1 or more; their yaws are spread over ±38° in equal strata.
        size: Pixels a side.
        law: ``uniform``, ``independent`` or ``clinical`` (`sample_pain_units`).
        co_occurring: Whether AU12, 20, 25, 26 and 27, which leave PSPI unchanged, may join.
        asymmetry: 0–1, how much weaker one side of an action unit may be; PSPI counts the stronger.
    """
    if not 0 <= asymmetry <= 1:
        raise ValueError(f"asymmetry must be in 0..1, got {asymmetry}")
    local_names = (head or Head.default()).local_names
    person = sample_identity(
        seed, identity_id, local_names, age=AGE_GROUPS[cell.age_group], sex=cell.sex, ancestry=cell.ancestry
    )
    skin = sample_skin(seed, identity_id, age=person.age, sex=person.sex, ancestry=person.ancestry)
    cameras = [_sample_camera(seed, identity_id, view, views) for view in range(views)]
    scenes = []
    for expression in range(expressions + 1):
        au = ActionUnits()
        if expression > 0:
            au = sample_expression(seed, identity_id, expression, law, co_occurring, asymmetry)
        pose = _sample_pose(seed, identity_id, expression)
        light = _sample_light(seed, identity_id, expression)
        for view, (camera, background) in enumerate(cameras):
            scenes.append(
                Scene(seed, identity_id, expression, view, size, person, skin, au, pose, camera, light, background)
            )
    return tuple(scenes)


def sample_expression(
    seed: int,
    identity_id: int,
    expression_id: int,
    law: str = "uniform",
    co_occurring: bool = True,
    asymmetry: float = 0.0,
) -> ActionUnits:
    """Action units of one expression by key; see `sample_scenes`."""
    generator = keyed_generator(seed, "expression", identity_id, expression_id)
    row = sample_pain_units(generator, law)[0]
    intensities = {number: float(value) for number, value in zip(PAIN_AUS, row, strict=True)}
    u = generator.random((len(CO_OCCURRING_AUS), 2))
    if co_occurring:
        for number, (chance, strength) in zip(CO_OCCURRING_AUS, u, strict=True):
            if chance < CO_OCCURRENCE:
                intensities[number] = float(1 + np.floor(strength * MAX_INTENSITY))
    named: dict[str, float] = {}
    for number, value in intensities.items():
        weaker_side, loss = generator.random(2)
        share = 1.0 if number in (26, 27, 43) else 1 - asymmetry * loss
        sides = (value * share, value) if weaker_side < 0.5 else (value, value * share)
        named |= {f"AU{number}_{side}": round(v, 3) for side, v in zip(SIDES, sides, strict=True)}
    return ActionUnits(**named)


def _spread(u: float, reach: float) -> float:
    return round((2 * u - 1) * reach, 3)


def _sample_camera(seed: int, identity_id: int, view: int, views: int) -> tuple[CameraSetting, str]:
    u = keyed_generator(seed, "camera", identity_id, view).random(9)
    yaw = round(CAMERA_YAW * (2 * (view + float(u[0])) / views - 1), 3)
    distance = round(DISTANCE[0] + (DISTANCE[1] - DISTANCE[0]) * float(u[1]), 4)
    height = FRAME_HEIGHT[0] + (FRAME_HEIGHT[1] - FRAME_HEIGHT[0]) * u[2]
    x, y, z = FRAME_CENTRE
    camera = CameraSetting(
        yaw=yaw,
        pitch=_spread(u[3], CAMERA_PITCH),
        roll=_spread(u[4], CAMERA_ROLL),
        distance=distance,
        fov=round(float(np.degrees(2 * np.arctan(height / 2 / distance))), 4),
        target=(round(x + _spread(u[5], FRAME_JITTER), 5), round(y + _spread(u[6], FRAME_JITTER), 5), z),
    )
    shares = np.cumsum([share for _, share in BACKGROUND_SHARES])
    return camera, BACKGROUND_SHARES[int(np.searchsorted(shares, u[7]).clip(0, len(shares) - 1))][0]


def _sample_pose(seed: int, identity_id: int, expression: int) -> Pose:
    u = keyed_generator(seed, "pose", identity_id, expression).random(5)
    reach = (NECK_YAW, NECK_PITCH, CAMERA_ROLL, GAZE, GAZE / 2)
    return Pose(*(_spread(float(v), r) for v, r in zip(u, reach, strict=True)))


def _sample_light(seed: int, identity_id: int, expression: int) -> LightSetting:
    u = keyed_generator(seed, "light", identity_id, expression).random(5)
    return LightSetting(
        name=LIGHTS[min(int(u[0] * len(LIGHTS)), len(LIGHTS) - 1)],
        azimuth=_spread(u[1], 40.0),
        elevation=_spread(u[2], 12.0),
        intensity=round(0.95 + 0.45 * float(u[3]), 4),
        key_share=round(0.5 + 0.7 * float(u[4]), 4),
    )
