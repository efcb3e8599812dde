"""Knows who is seen in training without files, and by which law: the people of a data set, or people by number."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from pain3d.console.refused import RefusedError
from pain3d.facs.action_units import ActionUnits
from pain3d.random import DrawnNumbers, keyed_uniforms
from pain3d.scene import EXPRESSION_NUMBERS, Scene, demographic_grid, drawn_expression, sample_scenes
from pain3d.setting import drawn_camera, drawn_light, drawn_pose, drawn_sensor
from pain3d.training.data.parquet import MANIFEST, ParquetPixels, subject_name
from pain3d.training.data.samples import Rows, Samples

NEUTRAL_SHARE: Final = 1 / 11  # of the pictures of a data set with ten expressions beside the neutral one
# What of a data set's configuration the law of its pictures is made of; the rest says how many there are.
LAW_FIELDS: Final = ("size", "law", "co_occurring", "asymmetry", "quality")


@dataclass(frozen=True)
class Population:
    """People, and how they are seen.

    Attributes:
        people: A scene of each: its identity, skin and number are the person; the rest is not looked at.
        size: Pixels a side of the whole pictures that the faces would be cut out of: it decides noise and sharpness.
        law: How pain is drawn, as for `sample_scenes`; also `co_occurring`, `asymmetry` and `quality`.
        neutral_share: Chance that a picture to learn from shows no pain, beside those that the law draws.
    """

    people: tuple[Scene, ...]
    size: int
    law: str = "uniform"
    co_occurring: bool = True
    asymmetry: float = 0.0
    quality: int = 95
    neutral_share: float = NEUTRAL_SHARE


def sample_population(count: int, seed: int, *, size: int = 256, **law: Any) -> Population:
    """People 0 … count − 1 of a seed, those of ``pain3d synth --identities count --seed seed``.

    Args:
        count: How many.
        seed: Whose.
        size: See `Population`.
        **law: Other fields of `Population`.
    """
    cells = demographic_grid(count, seed)
    people = (
        sample_scenes(seed=seed, identity_id=number, cell=cell, expressions=0, views=1, size=size)[0]
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        resolved = {name: manifest["resolved"][name] for name in (*LAW_FIELDS, "expressions")}
        files = sorted(
            file["path"] for shard in manifest["shards"] for file in shard["files"] if file["subset"] == "identities"
        )
    except FileNotFoundError as error:
        raise RefusedError(f"{folder}: no finished data set of pain3d, it has no {MANIFEST}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{folder / MANIFEST}: can't be read ({type(error).__name__}: {error})") from error
    people: list[Scene] = []
    for path in files:
        try:
            rows = pq.read_table(folder / path, columns=["seed", "identity_id", "split", "scene"]).to_pylist()
            for row in rows:
                name = subject_name(row["seed"], row["identity_id"])
                if split in (None, row["split"]) and (subjects is None or name in subjects):
                    people.append(Scene.from_json(row["scene"]))
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise RefusedError(f"{folder / path}: can't be read ({str(error).partition(chr(10))[0]})") from error
    if not people:
        raise RefusedError(
            f"{folder}: nobody is in it" if split is None else f"{folder}: nobody is in its split {split}"
        )
    if any(scene.texture for scene in people):
        raise RefusedError(f"{folder}: its people have textures of their own, which --online does not paint")
    people.sort(key=lambda scene: scene.identity_id)
    share = 1 / (resolved.pop("expressions") + 1)
    return Population(tuple(people), neutral_share=share, **resolved)


def population_of_rows(samples: Samples, rows: Rows) -> Population:
    """The people of some pictures of a data set of pain3d, seen by its law and at its size.

    Raises:
        RefusedError: The pictures are of another data set, which holds no scenes; or see `read_population`.
    """
    pixels = samples.pixels
    if not isinstance(pixels, ParquetPixels):
        raise RefusedError(f"{samples.name}: only people of a data set of pain3d can be rendered online")
    folder = pixels.parts[0].path.parents[2]  # FOLDER/data/frames/NAME.parquet
    names = {samples.subjects[subject] for subject in samples.subject[rows].tolist()}
    return read_population(folder, None, names)


class Draw(NamedTuple):
    """What to draw: any scene of the person; which draw, which keys all but the person; whether the face is at rest."""

    person: Scene
    number: int
    neutral: bool


def drawn_scenes(population: Population, seed: int, draws: Sequence[Draw]) -> list[Scene]:
    """Pictures of people, each drawn as `sample_scenes` with free cameras and one view draws expression `number`.

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
    sensors = keyed_uniforms(seed, "sensor", [(*each, 0) for each in numbered], 4).tolist()
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
            light=drawn_light(lights[place]),
            background_id=draw.number,
            sensor=drawn_sensor(sensors[place], population.quality),
        )
        for place, draw in enumerate(draws)
    ]
