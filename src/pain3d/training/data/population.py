"""Knows who is seen in training without files, and by which law: the people of a data set, or people by number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from pain3d.background import BACKGROUNDS
from pain3d.console.refused import RefusedError, one_line, quoted
from pain3d.doors.parquet import open_parquet
from pain3d.doors.paths import named_file
from pain3d.facs.action_units import ActionUnits
from pain3d.facs.pain_score import LAWS
from pain3d.optics import NO_OPTICS
from pain3d.random import DrawnNumbers, keyed_uniforms
from pain3d.records import arrow_schema
from pain3d.scene import EXPRESSION_NUMBERS, PAINTED, Scene, demographic_grid, drawn_expression, sample_scenes
from pain3d.setting import (
    SENSOR_NUMBERS,
    LightSetting,
    drawn_camera,
    drawn_key_size,
    drawn_light,
    drawn_pose,
    drawn_sensor,
)
from pain3d.training.data.parquet import MANIFEST, ParquetPixels, read_manifest, subject_name
from pain3d.training.data.samples import Rows, Samples
from pain3d.worn import BED

NEUTRAL_SHARE: Final = 1 / 11  # of the pictures of a data set with ten expressions beside the neutral one
PERSON_COLUMNS: Final = ("seed", "identity_id", "split", "scene")


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


# What of a data set's configuration the law of its pictures is made of, and what each may be, as in `pain3d synth`;
# the rest says how many there are.
LAW: Final[dict[str, Callable[[Any], bool]]] = {
    "size": _whole(16, 4096),
    "law": lambda value: value in LAWS,
    "co_occurring": lambda value: type(value) is bool,
    "asymmetry": lambda value: type(value) in (int, float) and 0 <= value <= 1,
    "quality": _whole(1, 100),
    "expressions": _whole(0, 1000),
    "shadows": lambda value: type(value) is bool,
}
BEFORE: Final = {"shadows": False}  # what is said by a data set that was made before there was the setting


@dataclass(frozen=True)
class Population:
    """People, and how they are seen.

    Attributes:
        people: A scene of each: its identity, skin, kind of hair and number are the person; the rest is not looked at.
        size: Pixels a side of the whole pictures that the faces would be cut out of: it decides noise and sharpness.
        law: How pain is drawn, as for `sample_scenes`; also `co_occurring`, `asymmetry` and `quality`.
        neutral_share: Chance that a picture to learn from shows no pain, beside those that the law draws.
        shadows: Whether the key light casts any.
    """

    people: tuple[Scene, ...]
    size: int
    law: str = "uniform"
    co_occurring: bool = True
    asymmetry: float = 0.0
    quality: int = 95
    neutral_share: float = NEUTRAL_SHARE
    shadows: bool = False


def sample_population(count: int, seed: int, *, size: int = 256, hair: str = PAINTED, **law: Any) -> Population:
    """People 0 … count − 1 of a seed, those of ``pain3d synth --identities count --seed seed``.

    Args:
        count: How many.
        seed: Whose.
        size: See `Population`.
        hair: See `Scene`.
        **law: Other fields of `Population`.
    """
    cells = demographic_grid(count, seed)
    people = (
        sample_scenes(
            seed=seed, identity_id=number, cell=cell, expressions=0, views=1, size=size, environments=0, hair=hair
        )[0]
        for number, cell in enumerate(cells)
    )
    return Population(tuple(people), size, **law)


def read_population(folder: Path, split: str | None = "train", subjects: Collection[str] | None = None) -> Population:
    """The people of a data set of pain3d, seen by its law and at its size: what it would show with more pictures.

    Args:
        folder: A finished data set.
        split: Of which split; None is all.
        subjects: Of these only, as `Samples.subjects` names them; None is all.

    Raises:
        RefusedError: It can't be read, or nobody is left.
    """
    manifest = read_manifest(folder)
    law = _law(manifest.resolved, folder / MANIFEST)
    people: list[Scene] = []
    for listed in manifest.files("identities"):
        part = open_parquet(named_file(folder, listed.path, folder / MANIFEST))
        part.check(arrow_schema("identities"), PERSON_COLUMNS)
        for row in part.read(PERSON_COLUMNS).to_pylist():
            name = subject_name(row["seed"], row["identity_id"])
            if split in (None, row["split"]) and (subjects is None or name in subjects):
                try:
                    people.append(Scene.from_json(row["scene"]))
                except (ValueError, RecursionError) as error:
                    raise RefusedError(f"{part.path}: the scene of {name} is {one_line(error)}") from error
    if not people:
        raise RefusedError(
            f"{folder}: nobody is in it" if split is None else f"{folder}: nobody is in its split {split}"
        )
    if any(scene.texture for scene in people):
        raise RefusedError(f"{folder}: its people have textures of their own, which --online does not paint")
    people = [replace(scene, worn=tuple(name for name in scene.worn if name != BED)) for scene in people]
    if worn := sorted({name for scene in people for name in scene.worn}):
        raise RefusedError(f"{folder}: its people wear {', '.join(worn)}, which --online does not draw")
    people.sort(key=lambda scene: scene.identity_id)
    share = 1 / (law.pop("expressions") + 1)
    return Population(tuple(people), neutral_share=share, **law)


def _law(resolved: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What a manifest's configuration says of LAW. Raises RefusedError naming the first that isn't right."""
    law = {}
    for name, right in LAW.items():
        value = resolved.get(name, BEFORE.get(name))
        if not right(value):
            raise RefusedError(f"{path}: {name} can't be {quoted(value)}")
        law[name] = value
    return law


def population_of_rows(samples: Samples, rows: Rows) -> Population:
    """The people of some pictures of a data set of pain3d, seen by its law and at its size.

    Raises:
        RefusedError: The pictures are of another data set, which holds no scenes; or see `read_population`.
    """
    pixels = samples.pixels
    if not isinstance(pixels, ParquetPixels):
        raise RefusedError(f"{samples.name}: only people of a data set of pain3d can be rendered online")
    names = {samples.subjects[subject] for subject in samples.subject[rows].tolist()}
    return read_population(pixels.folder, None, names)


class Draw(NamedTuple):
    """What to draw: any scene of the person; which draw, which keys all but the person; whether the face is at rest."""

    person: Scene
    number: int
    neutral: bool


def drawn_scenes(population: Population, seed: int, draws: Sequence[Draw]) -> list[Scene]:
    """Pictures of people, each as `sample_scenes` draws expression `number` with free, plain cameras and no places.

    Args:
        population: The law.
        seed: Of the draws.
        draws: Which.
    """
    numbered = [(draw.person.identity_id, draw.number) for draw in draws]
    moved = [place for place, draw in enumerate(draws) if not draw.neutral]
    numbers = keyed_uniforms(seed, "expression", [numbered[place] for place in moved], EXPRESSION_NUMBERS)
    law = (population.law, population.co_occurring, population.asymmetry)
    faces = dict(zip(moved, (drawn_expression(DrawnNumbers(row), *law) for row in numbers), strict=True))
    poses = keyed_uniforms(seed, "pose", numbered, 5).tolist()
    cameras = keyed_uniforms(seed, "camera", [(who, 0, number) for who, number in numbered], 7).tolist()
    lights = keyed_uniforms(seed, "light", [(*each, 0) for each in numbered], 6).tolist()
    sizes = keyed_uniforms(seed, "light/size", [(*each, 0) for each in numbered], 1)[:, 0].tolist()
    sensors = keyed_uniforms(seed, "sensor", [(*each, 0) for each in numbered], SENSOR_NUMBERS).tolist()
    still = ActionUnits()
    return [
        replace(
            draw.person,
            seed=seed,
            expression_id=draw.number,
            view_id=0,
            size=population.size,
            au=faces.get(place, still),
            pose=drawn_pose(poses[place]),
            camera=drawn_camera(cameras[place]),
            light=_lamp(lights[place], sizes[place] if population.shadows else None),
            background=BACKGROUNDS[0],  # of a kind that goes with any light; who renders draws what is seen
            background_id=draw.number,
            sensor=drawn_sensor(sensors[place], population.quality, population.size),
            optics=NO_OPTICS,
        )
        for place, draw in enumerate(draws)
    ]


def _lamp(numbers: Sequence[float], size: float | None) -> LightSetting:
    """The light that 6 numbers tell; with a key that casts shadows where another one tells how large it is."""
    light = drawn_light(numbers)
    return light if size is None else replace(light, size=drawn_key_size(light.name, size))
