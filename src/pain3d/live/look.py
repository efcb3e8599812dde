"""Knows what a look at a face is made of: who, which action units, pose, camera, light; and the scene that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pain3d.facs.action_units import ActionUnits
from pain3d.facs.pain_score import PAIN_AUS, solutions
from pain3d.head.identity import MAX_AGE, MIN_AGE, Identity, sample_identity
from pain3d.head.model import Head
from pain3d.light import key_azimuth
from pain3d.random import keyed_generator
from pain3d.scene import AGE_GROUPS, GROWN, CameraSetting, DemographicCell, LightSetting, Pose, Scene
from pain3d.setting import drawn_key_size
from pain3d.skin import Skin, sample_skin

DISTANCE, FOCAL_LENGTH = 1.0, 72.0  # metres and mm: a portrait lens, as the gallery's sheets have it
NEUTRAL, STRAIGHT = ActionUnits(), Pose()


@dataclass(frozen=True)
class Person:
    """Whom one looks at: axes of the generator, not claims about people.

    Attributes:
        age: Years, 18–95.
        sex: ``female`` or ``male``.
        ancestry: ``african``, ``asian`` or ``caucasian``, four fifths of the mixture at least.
        seed: Draws everything else of face and skin.
    """

    age: float = 60.0
    sex: str = "female"
    ancestry: str = "caucasian"
    seed: int = 0

    @property
    def cell(self) -> DemographicCell:
        """Where the person belongs in the demographic grid."""
        years = min(max(self.age, MIN_AGE), MAX_AGE)
        group = next(name for name, (_, last) in AGE_GROUPS.items() if years <= last)
        return DemographicCell(group, self.sex, self.ancestry)


@dataclass(frozen=True)
class Look:
    """What is looked at, and how; the same look gives the same scene.

    Attributes:
        person: Who.
        au: The face.
        pose: Of neck and gaze.
        camera_yaw: Degrees around the head, positive sees the subject's left cheek.
        camera_pitch: Degrees, positive looks down from above.
        light: A preset of `pain3d.light.LIGHTS`.
        light_azimuth: Degrees of its key, positive towards the subject's left; None leaves the preset as it is.
        background: See `pain3d.background.paint_background`.
    """

    person: Person = Person()
    au: ActionUnits = NEUTRAL
    pose: Pose = STRAIGHT
    camera_yaw: float = 0.0
    camera_pitch: float = 0.0
    light: str = "studio"
    light_azimuth: float | None = None
    background: str = "gradient"

    def scene(self, size: int) -> Scene:
        """The scene, `size` pixels a side: hair grown, shadows of a middling lamp, no noise, exposed as metered.

        Raises:
            ValueError: A number is out of range, or a name unknown.
        """
        identity, skin = people(self.person)
        turn = 0.0 if self.light_azimuth is None else self.light_azimuth - key_azimuth(self.light)
        return Scene(
            seed=self.person.seed,
            identity_id=0,
            expression_id=int(self.au != NEUTRAL),
            view_id=0,
            size=size,
            identity=identity,
            skin=skin,
            au=self.au,
            pose=self.pose,
            camera=CameraSetting(self.camera_yaw, self.camera_pitch, distance=DISTANCE, focal_length_mm=FOCAL_LENGTH),
            light=LightSetting(self.light, azimuth=turn, size=drawn_key_size(self.light, 0.5)),
            background=self.background,
            hair=GROWN,
        )


@lru_cache(maxsize=8)
def people(person: Person) -> tuple[Identity, Skin]:
    """Shape and skin of a person, as a data set of that seed draws its first one of that age, sex and ancestry."""
    identity = sample_identity(
        person.seed,
        0,
        Head.default().local_names,
        age=(person.age, person.age),
        sex=person.sex,
        ancestry=person.ancestry,
    )
    return identity, sample_skin(person.seed, 0, age=identity.age, sex=identity.sex, ancestry=identity.ancestry)


def solution(score: int, number: int, seed: int = 0) -> dict[int, int]:
    """One of the faces with a PSPI: intensity of each of `PAIN_AUS`, the same on both sides.

    Solutions come in an order drawn by the seed; `number` says which, and starts over after the last.

    Raises:
        ValueError: The score is no whole number from 0 to 16.
    """
    every = solutions(score)
    order = keyed_generator(seed, "view/solutions", score).permutation(len(every))
    row = every[order[number % len(every)]]
    return dict(zip(PAIN_AUS, row.tolist(), strict=True))


def formula(au: ActionUnits) -> str:
    """How the PSPI of a face comes about, in a line."""
    a, b, c, d, e, f = (au[number] for number in PAIN_AUS)
    return f"PSPI {au.pspi():g} = {a:g} (AU4) + {max(b, c):g} (AU6, AU7) + {max(d, e):g} (AU9, AU10) + {f:g} (AU43)"
