"""Knows who is seen in training without files, and by which law: the people of a data set, or people by number."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pain3d.console.refused import RefusedError
from pain3d.facs.action_units import ActionUnits
from pain3d.scene import Scene, demographic_grid, sample_expression, sample_scenes
from pain3d.setting import sample_camera, sample_light, sample_pose, sample_sensor
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


def drawn_scene(population: Population, person: Scene, seed: int, number: int, neutral: bool) -> Scene:
    """A picture of a person, drawn as `sample_scenes` with free cameras and one view draws expression `number`.

    Args:
        population: The law.
        person: Any scene of the person.
        seed: Of the draw.
        number: Which draw; keys everything but the person.
        neutral: Whether the face is at rest.
    """
    key = person.identity_id
    au = ActionUnits()
    if not neutral:
        au = sample_expression(seed, key, number, population.law, population.co_occurring, population.asymmetry)
    return replace(
        person,
        seed=seed,
        expression_id=number,
        view_id=0,
        size=population.size,
        au=au,
        pose=sample_pose(seed, key, number),
        camera=sample_camera(seed, key, 0, 1, number),
        light=sample_light(seed, key, number, 0),
        background_id=number,
        sensor=sample_sensor(seed, key, number, 0, population.quality),
    )
