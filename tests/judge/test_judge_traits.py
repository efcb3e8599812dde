"""The probe of traits learns what is there to be learnt, from people whom it is not asked about."""

import numpy as np
import pytest

from pain3d.judge.measures import correlation, ranking
from pain3d.judge.traits import SIDE, STRAY, Faces, draw_line, inner_face, summarise, teach

PEOPLE, VIEWS = 48, 2


def toy(told: bool) -> tuple[Faces, np.ndarray]:
    """Pictures whose stripes are as strong as people are old, and slant if they are men; or tell nothing."""
    generator = np.random.default_rng(0)
    side = SIDE + 2 * STRAY
    age, man = generator.uniform(18, 95, PEOPLE), np.arange(PEOPLE) % 2 == 1
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    crops = []
    for number in np.repeat(np.arange(PEOPLE), VIEWS):
        years, slanted = (age[number], man[number]) if told else (50.0, False)
        lines = np.sin(x / 2 + generator.uniform(0, 6)) * years + 40 * np.sin((y + slanted * x) / 3)
        crops.append((128 + 0.5 * lines)[..., None] + generator.normal(0, 10, (side, side, 3)))
    every = np.repeat(np.arange(PEOPLE), VIEWS)
    shape = generator.normal(0, 1, (PEOPLE, 6))
    if told:
        shape[:, 0], shape[:, 1] = (age - 50) / 20, man
    faces = Faces(np.array(crops).clip(0, 255).astype(np.uint8), every, age[every], man[every], shape[every])
    return faces, every % 4 < 2


def test_it_learns_and_says_so() -> None:
    faces, teaches = toy(told=True)
    said, line = teach(faces, teaches, 40, quiet=True), draw_line(faces, teaches)
    asked = ~teaches
    assert correlation(said.age[asked], faces.age[asked]) > 0.85  # seen 0.98
    assert ranking(said.man[asked], faces.man[asked]) > 0.9  # seen 1.0
    assert correlation(line.age[asked], faces.age[asked]) > 0.95
    verdict = summarise(faces, asked, said, line, 40)
    assert verdict.measures[0].value == correlation(said.age[asked], faces.age[asked])
    assert sum(int(row[1]) for row in verdict.tables[0].rows if isinstance(row[1], int)) == asked.sum()


def test_nothing_to_learn() -> None:
    faces, teaches = toy(told=False)
    line = draw_line(faces, teaches)
    assert abs(correlation(line.age[~teaches], faces.age[~teaches])) < 0.6  # seen 0.2: 24 people by chance


@pytest.mark.parametrize("shift", [0, 40])
def test_it_sees_the_face_alone(shift: int) -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    marks = np.full((68, 2), 100.0) + shift
    marks[17:68, 0] = np.linspace(60, 140, 51) + shift
    marks[8] = 100 + shift, 150 + shift
    picture[55 + shift : 195 + shift, 55 + shift : 145 + shift] = 200
    seen = inner_face(picture, marks)
    assert seen.shape == (SIDE + 2 * STRAY, SIDE + 2 * STRAY, 3)
    assert seen[len(seen) // 2, len(seen) // 2].min() == 200
