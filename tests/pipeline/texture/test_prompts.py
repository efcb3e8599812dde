"""Prompts: a text of the person's axes, the same for the same person, in words among which is no name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pain3d.console.refused import RefusedError
from pain3d.head.identity import Identity
from pain3d.pipeline.texture.prompts import Prompts, allowed_words, load_prompts
from pain3d.scene import Scene, demographic_grid, sample_scenes
from pain3d.skin.appearance import HAIR_STYLES, sample_skin

SEEN_WITH_CHILDREN = {"baby", "boy", "boys", "child", "children", "girl", "girls", "infant", "kid", "minor", "teen"}
SEEN_IN_NAMES = {"taylor", "brad", "marilyn", "barack", "elizabeth", "diana", "tom", "scarlett", "keanu", "smith"}


@pytest.fixture(scope="module")
def people() -> list[Scene]:
    cells = demographic_grid(24, 5)
    return [
        sample_scenes(seed=5, identity_id=number, cell=cell, expressions=1, views=1)[0]
        for number, cell in enumerate(cells)
    ]


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return load_prompts()


def test_people_are_told_apart(people: list[Scene], prompts: Prompts) -> None:
    told = [prompts.prompt_for(person) for person in people]
    assert len({prompt.positive for prompt in told}) == len(people)
    assert told[0] == load_prompts().prompt_for(people[0])
    for person, prompt in zip(people, told, strict=True):
        assert f"{int(person.identity.age)} years old" in prompt.positive
        assert ("a woman" if person.identity.sex < 0.35 else "a man") in prompt.positive
        assert len(prompt.positive.split()) <= 55 and len(prompt.negative.split()) <= 55  # CLIP reads 77 tokens
        assert "{" not in prompt.positive + prompt.negative


def test_each_axis_has_its_words(people: list[Scene], prompts: Prompts) -> None:
    person = people[0]

    def told(**changes: object) -> str:
        return prompts.prompt_for(replace(person, skin=replace(person.skin, **changes))).positive

    assert len({told(hair_style=style) for style in HAIR_STYLES}) == len(HAIR_STYLES)
    assert "grey hair" in told(hair_style="short", greyness=0.9)
    assert "full" in told(beard=0.9) and "stubble" in told(beard=0.0, stubble=0.9)
    assert "many freckles" in told(freckles=0.9) and "deep wrinkles" in told(age_marks=0.9)
    pale = 0.38  # blood as well says how fair somebody is
    tones = [told(melanin=m, haemoglobin=pale).split(", ")[3] for m in (0.05, 0.2, 0.3, 0.4, 0.6, 0.95)]
    assert tones[0] == "very fair skin" and tones[-1] == "dark brown skin" and len(set(tones)) >= 4
    mixed = replace(person, identity=Identity(ancestry=(0.4, 0.3, 0.3), sex=0.5))
    assert "an androgynous adult" in prompts.prompt_for(mixed).positive
    assert "of mixed descent" in prompts.prompt_for(mixed).positive


def test_who_is_drawn_is_an_adult() -> None:
    assert np.isfinite(sample_skin(1, 2, 18.0, 0.2, (0.2, 0.3, 0.5)).melanin)
    with pytest.raises(ValueError, match="adults only"):
        sample_skin(1, 2, 17.9, 0.2, (0.2, 0.3, 0.5))


def test_the_list_of_words_has_no_people() -> None:
    words = allowed_words()
    assert all(word == word.lower() and word.isalpha() for word in words)
    assert words.isdisjoint(SEEN_WITH_CHILDREN) and words.isdisjoint(SEEN_IN_NAMES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("positive: portrait of Marilyn Monroe", "'Marilyn' is not on the list of words, which has no names of people"),
        ("positive: portrait of marilyn monroe", "'marilyn' is not on the list"),
        ("positive: '{person} looks like Diana'", "'looks' is not on the list"),
        ("positive: Portrait of {person}", r"'Portrait' is not on the list .* \(it has 'portrait'\)"),
        ("positive: portrait of a child", "'child' is not on the list of words"),
        ("negative: tom", "'tom' is not on the list"),
        ("person: {female: diana, male: a man, between: an adult}", "'diana' is not on the list"),
        ("hair_style: {bald: bald}", "hair_style must be a table of bald, buzz"),
        ("eyes: [blue]", "eyes must be a list of 6 colours"),
        ("skin: [fair]", r"skin must be a list of \[lower bound, words\]"),
        ("positive: 3", "positive must be a text"),
        ("positive: '{name}'", r"no field \{name\} can stand in '\{name\}'; known are person, age"),
        ("positive: '{person.__class__}'", "no field {person.__class__} can stand"),
        ("positive: '{person!r}'", "no field {person} can stand"),
        ("positive: '{person'", "expected '}' before end of string"),
        ("negative: '{person}'", "no field {person} can stand"),
        ("positives: a man", "unknown entry 'positives', did you mean positive"),
        ("- a", "no table; known are positive"),
        ("a: [", "not YAML at line 2"),
    ],
)
def test_a_file_that_will_not_do(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.yaml"
    file.write_text(text)
    with pytest.raises(RefusedError, match=told) as refused:
        load_prompts(file)
    assert "\n" not in str(refused.value) and str(file) in str(refused.value)


def test_a_file_of_the_users(people: list[Scene], tmp_path: Path) -> None:
    file = tmp_path / "prompts.yaml"
    file.write_text("positive: 'studio portrait of {person}, {age} years, 85 mm lens'\n")
    told = load_prompts(file).prompt_for(people[0])
    assert told.positive.startswith("studio portrait of a ") and told.positive.endswith(" years, 85 mm lens")
    assert told.negative == load_prompts().negative
    with pytest.raises(RefusedError, match="No such file"):
        load_prompts(tmp_path / "none.yaml")
