"""A scene is everything that one image is made of: a small record that can be stored, sampled, changed and rendered.

Longer than others, because what a scene holds, how it is written and the law that draws it are changed together.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from pain3d.background import BACKGROUNDS, ENVIRONMENT_SHARE, SURROUNDINGS
from pain3d.camera import MOST_PIXELS
from pain3d.console.refused import one_line
from pain3d.doors.text import parse_json
from pain3d.environment.embedded import ENVIRONMENTS
from pain3d.facs.action_units import CO_OCCURRING_AUS, ActionUnits
from pain3d.facs.pain_score import MAX_INTENSITY, PAIN_AUS, sample_pain_units
from pain3d.head.identity import ANCESTRIES, SEXES, Identity, sample_identity
from pain3d.head.model import Head
from pain3d.light import INFRARED
from pain3d.optics import (
    DEFOCUSED,
    NEAREST_FOCUS,
    NO_OPTICS,
    SHAKEN,
    Optics,
    backdrop_blur,
    night_sensor,
    sample_f_number,
    sample_infrared,
    sample_shake,
)
from pain3d.random import MAX_SEED, DrawnNumbers, keyed_generator
from pain3d.ranges import check_kind, check_number, check_whole, told
from pain3d.setting import (
    CameraSetting,
    LightSetting,
    Pose,
    Sensor,
    at_bedside,
    sample_background,
    sample_camera,
    sample_environment,
    sample_key_size,
    sample_light,
    sample_pose,
    sample_sensor,
)
from pain3d.skin import Skin, sample_skin
from pain3d.worn.choice import BED, check_worn, sample_worn

__all__ = [
    "AGE_GROUPS", "CAMERAS", "CELLS", "CameraSetting", "DemographicCell", "LightSetting", "Pose", "Scene", "Sensor",
    "demographic_grid", "sample_expression", "sample_scenes",
]  # fmt: skip

AGE_GROUPS = {"18-34": (18.0, 34.99), "35-54": (35.0, 54.99), "55-74": (55.0, 74.99), "75-95": (75.0, 95.0)}

# Numbers that an expression is drawn from, at most: six units, two a co-occurring one, two a unit that moves.
EXPRESSION_NUMBERS = 6 + 4 * len(CO_OCCURRING_AUS) + 12
CO_OCCURRENCE = 0.2  # chance of each of AU12, 20, 25, 26, 27 beside a pain expression
CAMERAS = ("fixed", "free")  # how long a camera stays: for all expressions of a view, or for one picture
HAIR = (PAINTED, GROWN) = ("painted", "grown")
NO_SENSOR = Sensor()  # metered, neutral, without noise
MILLI = 1000  # local shapes are rounded to thousandths, at most 2.2 in size: whole numbers of 16 bits


NUMBERS = ("identity_id", "expression_id", "view_id", "background_id")
MOST_OF_A_KIND = 2**31 - 1  # as a column of a data set counts them
MOST_EXPRESSIONS, MOST_VIEWS = 10_000, 1_000  # of one identity: all their scenes are drawn at once, 1 KB each
KINDS: dict[str, type] = {
    "identity": Identity, "skin": Skin, "au": ActionUnits, "pose": Pose, "camera": CameraSetting,
    "light": LightSetting, "sensor": Sensor, "wrinkles": bool, "texture": str, "hair": str,
    "optics": Optics,
}  # fmt: skip


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
    check_whole("identities", identities, 1, MOST_OF_A_KIND)
    rounds = range(-(-identities // len(CELLS)))
    return tuple(cell for number in rounds for cell in round_of_cells(seed, number))[:identities]


def round_of_cells(seed: int, number: int) -> tuple[DemographicCell, ...]:
    """The cells of identities 24 · number to 24 · number + 23 of `demographic_grid`."""
    pairs, ages = list(product(SEXES, ANCESTRIES)), list(AGE_GROUPS)
    generator = keyed_generator(seed, "cells", number)
    order = np.argsort(generator.random(len(pairs)), kind="stable")
    # Ages step on by one from six to six, from a first age per pair of which none occurs more than twice.
    first = np.argsort(generator.random(2 * len(ages)), kind="stable")[: len(pairs)] % len(ages)
    return tuple(
        DemographicCell(ages[(six + first[place]) % len(ages)], *pairs[order[place]])
        for six, place in product(range(len(ages)), range(len(pairs)))
    )


@dataclass(frozen=True)
class Scene:
    """Everything that one image is made of; `render_scenes` makes the image.

    `seed`, `identity_id`, `expression_id` and `view_id` key what is random inside the skin, the background and the
    sensor's noise. Expression 0 is the neutral one.

    Attributes:
        background: Name, see `paint_background`; or ``environment``: what the camera sees of the place that lights it.
        background_blur: Radius of its disc of confusion, as a share of the picture's height.
        background_id: Which of the backgrounds of that name is painted, beside seed, identity and view.
        sensor: What the camera does with the light.
        wrinkles: Whether expression and age wrinkle the skin; False leaves the geometry alone to show them.
        texture: Name of an albedo that takes the place of the skin's own, see `render_scenes`; empty is none.
        worn: What the person wears or lies in, of `pain3d.worn.THINGS` in their order.
        hair: ``painted`` on a shell that stands off the head, or ``grown`` as ribbons (`pain3d.hair`).
        optics: Aperture and shake; by default everything is sharp and still.
        noise_id: Of which expression its sensor's noise is; None is its own.
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
    background_blur: float = 0.02
    background_id: int = 0
    sensor: Sensor = NO_SENSOR
    wrinkles: bool = True
    texture: str = ""
    worn: tuple[str, ...] = ()
    hair: str = PAINTED
    optics: Optics = NO_OPTICS
    noise_id: int | None = None

    def __post_init__(self) -> None:
        check_whole("seed", self.seed, 0, MAX_SEED)
        check_whole("size", self.size, 1, MOST_PIXELS)
        for name in NUMBERS:
            check_whole(name, getattr(self, name), 0, MOST_OF_A_KIND)
        if self.noise_id is not None:
            check_whole("noise_id", self.noise_id, 0, MOST_OF_A_KIND)
        check_number("background_blur", self.background_blur, 0, 1, "of the picture's height")
        if self.background not in (*BACKGROUNDS, SURROUNDINGS):
            known = ", ".join((*BACKGROUNDS, SURROUNDINGS))
            raise ValueError(f"background must be one of {known}, got {told(self.background)}")
        for name, kind in KINDS.items():
            check_kind(name, getattr(self, name), kind)
        check_kind("worn", self.worn, tuple)
        check_worn(self.worn)
        if self.hair not in HAIR:
            raise ValueError(f"hair must be one of {', '.join(HAIR)}, got {told(self.hair)}")
        nearest = NEAREST_FOCUS * self.camera.focal_length_mm * 1e-3
        if self.optics.f_number and self.camera.distance < nearest:
            raise ValueError(
                f"distance must be {nearest:g} metres or more with an f_number, got {self.camera.distance:g}"
            )
        if self.background == SURROUNDINGS and not self.light.is_place:
            raise ValueError(f"background must be no environment where the light is the preset {self.light.name}")

    @property
    def effects(self) -> tuple[str, ...]:
        """What else the camera does, of `pain3d.optics.EFFECTS` in their order."""
        done = {SHAKEN: self.optics.shake > 0, DEFOCUSED: self.optics.f_number > 0, INFRARED: self.is_night}
        return tuple(name for name, does in done.items() if does)

    @property
    def is_night(self) -> bool:
        """Whether it is seen by infrared lamps."""
        return self.light.name == INFRARED

    def to_json(self) -> str:
        """One line of JSON, at most 2 KB; `from_json` gives an equal scene back."""
        # vars, not asdict: its deep copies took most of the time of making a row.
        local = np.rint(np.array(self.identity.local) * MILLI).astype("<i2")
        records = ("pose", "camera", "light", "sensor", "optics")
        fields = vars(self) | {name: vars(getattr(self, name)) for name in records}
        fields |= {"identity": vars(self.identity) | {"local": base64.b64encode(local.tobytes()).decode()}}
        later = {"texture": "", "worn": (), "hair": PAINTED, "optics": vars(NO_OPTICS), "noise_id": None}
        for name, nothing in later.items():
            if fields[name] == nothing:  # as scenes were written before there was any
                del fields[name]
        for kind, name in (("light", "size"), ("camera", "distortion")):  # likewise
            if not fields[kind][name]:
                fields[kind] = {own: value for own, value in fields[kind].items() if own != name}
        fields |= {"skin": self._key_of_skin(vars(self.skin)), "au": self.au.nonzero()}
        return json.dumps(fields, separators=(",", ":"))

    def _key_of_skin(self, skin: dict[str, Any]) -> dict[str, Any]:
        """The skin without the key that it shares with the scene."""
        shared = {"seed": self.seed, "identity": self.identity_id}
        return {name: value for name, value in skin.items() if name not in shared or shared[name] != value}

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """The scene of `to_json`. Raises ValueError in one line if it is not one."""
        try:
            fields = parse_json(text, "JSON")
            person = fields.pop("identity")
            local = np.frombuffer(base64.b64decode(person["local"], validate=True), "<i2")
            person["local"] = tuple(c / MILLI for c in local.tolist())
            person["ancestry"] = tuple(person["ancestry"])
            camera = fields.pop("camera")
            camera["target"] = tuple(camera["target"])
            skin: dict[str, Any] = {"seed": fields["seed"], "identity": fields["identity_id"]}
            fields["worn"] = check_worn(fields.pop("worn", ()))
            skin |= {k: tuple(v) if isinstance(v, list) else v for k, v in fields.pop("skin").items()}
            return cls(
                identity=Identity(**person),
                skin=Skin(**skin),
                au=ActionUnits(**fields.pop("au")),
                pose=Pose(**fields.pop("pose")),
                camera=CameraSetting(**camera),
                light=LightSetting(**fields.pop("light")),
                sensor=Sensor(**fields.pop("sensor")),
                optics=Optics(**fields.pop("optics", {})),
                **fields,
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a scene: {one_line(error)}") from error


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
    cameras: str = "fixed",
    bedside: float = 0.0,
    distortion: float = 0.0,
    quality: int = 95,
    wrinkles: bool = True,
    hair: str = PAINTED,
    environments: float = ENVIRONMENT_SHARE,
    places: Sequence[str] = ENVIRONMENTS,
    clinical: float = 0.0,
    glasses: float = 0.0,
    scarf: float = 0.0,
    shadows: bool = True,
    shake: float = 0.0,
    defocus: float = 0.0,
    infrared: float = 0.0,
) -> tuple[Scene, ...]:
    """All scenes of one identity: (expressions + 1) × views, expression-major; expression 0 is neutral.

    With `fixed` cameras the camera and the background belong to a view, the light, the pose and the gaze to an
    expression: as if one moment were filmed by several cameras on stands. With `free` ones, camera, background and
    light are drawn anew for every picture, each camera within its view's share of yaws, so an expression and the
    neutral of the same view differ in more than the face. Where a place is drawn (`Light.environment`), it is light and
    background in one: of all pictures of the identity with fixed cameras, of one with free ones. Exposure, white
    balance, sharpness, tone, noise and JPEG quality belong to the picture in both. Pure: the same arguments give the
    same scenes, in any order or batch.

    Args:
        seed: The data set's seed.
        identity_id: Which identity of it.
        cell: Its place in the demographic grid.
        head: Whose local shapes the identity draws; None is the default head.
        expressions: Pain expressions, 0 or more.
        views: Cameras, 1 or more; their yaws are spread over ±34.5° in equal strata, and the neck adds up to 10°.
        size: Pixels a side.
        law: ``uniform``, ``independent`` or ``clinical`` (`sample_pain_units`).
        co_occurring: Whether AU12, 20, 25, 26 and 27, which leave PSPI unchanged, may join.
        asymmetry: 0–1, how much weaker one side of an action unit may be; PSPI counts the stronger.
        cameras: ``fixed`` or ``free``, see above.
        bedside: Share of views, or with free cameras of pictures, that are taken at a bed, on a pillow: the head up to
            90° rolled and 30° seen from above or below; 0–1.
        distortion: Share of views, or with free cameras of pictures, whose lens distorts (`drawn_distortion`); 0–1.
        quality: Best JPEG quality, 1–100; a picture's own lies between 70 and this, or is this where it is below 70.
        wrinkles: See `Scene`.
        hair: See `Scene`.
        environments: Share of identities, or with free cameras of pictures, that a place lights; 0–1.
        places: Of which places; see `pain3d.environment.own` for one's own.
        clinical: Share of identities in care, 0–1: who they are and what they wear in all their pictures says
            `pain3d.worn.sample_worn`.
        glasses: Share of identities with glasses, 0–1.
        scarf: Share of identities with a headscarf, 0–1, whatever their sex, age and ancestry.
        shadows: Whether the key light casts any: `LightSetting.size` is drawn, or 0.
        shake: Share of pictures that a hand smeared while they were taken, 0–1; see `Optics`.
        defocus: Share of views, or with free cameras of pictures, that are taken with an open lens, 0–1: the eyes are
            in focus, and what stands behind is never sharper than that lens draws it.
        infrared: Share of views, or with free cameras of pictures, that are taken at night by the camera's own lamps at
            850 nm, 0–1; no other light is on, so no place lights them.
    """
    check_number("asymmetry", asymmetry, 0, 1)
    check_number("bedside", bedside, 0, 1)
    check_number("distortion", distortion, 0, 1)
    check_number("environments", environments, 0, 1)
    check_whole("seed", seed, 0, MAX_SEED)
    check_whole("identity_id", identity_id, 0, MOST_OF_A_KIND)
    check_whole("expressions", expressions, 0, MOST_EXPRESSIONS)
    check_whole("views", views, 1, MOST_VIEWS)
    check_whole("quality", quality, 1, 100)
    check_kind("cell", cell, DemographicCell)
    check_kind("co_occurring", co_occurring, bool)
    check_kind("shadows", shadows, bool)
    if head is not None:
        check_kind("head", head, Head)
    if cameras not in CAMERAS:
        raise ValueError(f"cameras must be one of {', '.join(CAMERAS)}, got {told(cameras)}")
    local_names = (head or Head.default()).local_names
    person = sample_identity(
        seed, identity_id, local_names, age=AGE_GROUPS[cell.age_group], sex=cell.sex, ancestry=cell.ancestry
    )
    skin = sample_skin(seed, identity_id, age=person.age, sex=person.sex, ancestry=person.ancestry)
    free, worn = cameras == "free", sample_worn(seed, identity_id, clinical, glasses, scarf)

    @cache
    def lies(*place: int) -> tuple[str, ...]:
        return (BED, *worn) if at_bedside(seed, identity_id, *place, share=bedside) else worn

    @cache
    def stand(*place: int) -> tuple[CameraSetting, tuple[str, float]]:
        """Camera and background of a view, or of a view and an expression."""
        view, moment = place[0], place[1] if len(place) > 1 else None
        camera = sample_camera(seed, identity_id, view, views, moment, bedside, distortion)
        return camera, sample_background(seed, identity_id, *place)

    def sized(light: LightSetting, *place: int) -> LightSetting:
        """With a key that casts shadows, if any does."""
        return replace(light, size=sample_key_size(light.name, seed, identity_id, *place)) if shadows else light

    @cache
    def lamp(*place: int) -> LightSetting:
        """Light of an expression, or of an expression and a view."""
        return sized(sample_light(seed, identity_id, *place), *place)

    @cache
    def lamps(*place: int) -> LightSetting | None:
        """Of the camera of a view, or of a view and an expression, where it sees by them."""
        drawn = sample_infrared(seed, identity_id, *place, share=infrared)
        return drawn if drawn is None or shadows else replace(drawn, size=0.0)

    @cache
    def surroundings(*place: int) -> LightSetting | None:
        """Of the identity, or of an expression and a view."""
        drawn = sample_environment(seed, identity_id, *place, share=environments, names=places)
        return sized(drawn, *place) if drawn else None

    scenes = []
    for expression in range(expressions + 1):
        au = ActionUnits()
        if expression > 0:
            au = sample_expression(seed, identity_id, expression, law, co_occurring, asymmetry)
        pose = sample_pose(seed, identity_id, expression)
        for view in range(views):
            stands = (view, expression) if free else (view,)
            camera, (name, blur) = stand(*stands)
            dark = lamps(*stands)
            place = None if dark else surroundings(expression, view) if free else surroundings()
            f_number = sample_f_number(seed, identity_id, *stands, share=defocus)
            if f_number:
                blur = max(blur, backdrop_blur(camera, f_number))
            sensor = sample_sensor(seed, identity_id, expression, view, quality, size)
            scenes.append(
                Scene(
                    seed=seed,
                    identity_id=identity_id,
                    expression_id=expression,
                    view_id=view,
                    size=size,
                    identity=person,
                    skin=skin,
                    au=au,
                    pose=pose,
                    camera=camera,
                    light=dark or place or (lamp(expression, view) if free else lamp(expression)),
                    background=SURROUNDINGS if place else name,
                    background_blur=blur,
                    background_id=expression if free else 0,
                    sensor=night_sensor(sensor) if dark else sensor,
                    wrinkles=wrinkles,
                    worn=lies(*stands),
                    hair=hair,
                    optics=Optics(f_number, *sample_shake(seed, identity_id, expression, view, shake)),
                )
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
    return drawn_expression(generator, law, co_occurring, asymmetry)


def drawn_expression(
    generator: np.random.Generator | DrawnNumbers,
    law: str = "uniform",
    co_occurring: bool = True,
    asymmetry: float = 0.0,
) -> ActionUnits:
    """Action units that a generator's next numbers tell, at most `EXPRESSION_NUMBERS`; see `sample_scenes`."""
    row = sample_pain_units(generator, law)[0].tolist()
    intensities = dict(zip(PAIN_AUS, map(float, row), strict=True))
    u = generator.random((len(CO_OCCURRING_AUS), 2)).tolist()
    if co_occurring:
        for number, (chance, strength) in zip(CO_OCCURRING_AUS, u, strict=True):
            if chance < CO_OCCURRENCE:
                intensities[number] = float(1 + math.floor(strength * MAX_INTENSITY))
    sides: dict[int, tuple[float, float]] = {}
    halves = generator.random((len(intensities), 2)).tolist()
    for (number, value), (weaker_side, loss) in zip(intensities.items(), halves, strict=True):
        share = 1.0 if number in (26, 27, 43) else 1 - asymmetry * loss
        weaker, stronger = round(value * share, 3), round(value, 3)
        sides[number] = (weaker, stronger) if weaker_side < 0.5 else (stronger, weaker)
    return ActionUnits.of_sides(sides)
