"""Knows what a painter is asked for: a text filled from a person's axes, in words among which is no name.

Who is painted must be nobody. A file of prompts may hold fields, numbers, and words of a list that ships with pain3d
(`data/prompt_words.txt`): words for photographs, light, rooms and what adults look like. A name is not on it, written
small or large, nor is a word for a child. Ages come from the person, who is 18 or older.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Any, Final

import numpy as np

from pain3d.background import BACKGROUNDS
from pain3d.colour import typology_angle
from pain3d.console.refused import RefusedError, hint, one_line, quoted
from pain3d.doors.text import parse_yaml, read_yaml
from pain3d.head.identity import ANCESTRIES, SEXES
from pain3d.pipeline.texture.painter import Prompt
from pain3d.run_folder import settings_hash
from pain3d.scene import Scene
from pain3d.skin import Skin
from pain3d.skin.appearance import BLACK_HAIR, BROWN_HAIR, FAIR_HAIR, HAIR_STYLES, IRISES
from pain3d.skin.chromophores import skin_albedo

FIELDS: Final = ("person", "age", "ancestry", "skin", "eyes", "hair", "beard", "marks")
HAIR_FIELDS: Final = ("curl", "colour")
HAIRS: Final = {"fair": FAIR_HAIR, "brown": BROWN_HAIR, "black": BLACK_HAIR}
REDDEST: Final = 0.44  # green over red: 0.34 of red hair, at least 0.52 of any between fair, brown and black
MOSTLY: Final = 0.6  # share of one axis from which a person is said to be of it
GREY: Final = 0.5  # share of grey hair from which hair is said to be grey
LADDERS: Final = ("skin", "hair_curl", "beard", "stubble", "freckles", "age_marks")
CHOICES: Final = {
    "person": (*SEXES, "between"),
    "ancestry": (*ANCESTRIES, "mixed"),
    "hair_colour": (*HAIRS, "red", "grey"),
    "hair_style": HAIR_STYLES,
    "background": BACKGROUNDS,
}


@dataclass(frozen=True)
class Prompts:
    """Texts with fields, and the words that fill them.

    Attributes:
        positive: What is asked for, with `FIELDS` in braces.
        negative: What to keep away from.
        nobody: What to keep away from behind a head.
        words: By name of a choice (one of `CHOICES`), ladder (`LADDERS`) or ``eyes``, as in `data/prompts.yaml`.
    """

    positive: str
    negative: str
    nobody: str
    words: dict[str, Any]

    def prompt_for(self, scene: Scene) -> Prompt:
        """Of the person of a scene; a function of identity and skin alone."""
        identity, skin = scene.identity, scene.skin
        colours = {"curl": self._rung("hair_curl", skin.hair_curl), "colour": self._hair_colour(skin)}
        share = max(identity.ancestry)
        axis = ANCESTRIES[identity.ancestry.index(share)] if share >= MOSTLY else "mixed"
        sex = "between" if 0.35 < identity.sex < 0.65 else SEXES[round(identity.sex)]
        hairs = [self._rung("beard", skin.beard) or self._rung("stubble", skin.stubble), self._style(skin)]
        beard, hair = (text.format_map(colours) for text in hairs)
        filled = {
            "person": self.words["person"][sex],
            "age": str(int(identity.age)),
            "ancestry": self.words["ancestry"][axis],
            "skin": self._rung("skin", _tone(skin)),
            "eyes": self.words["eyes"][_nearest(skin.eye_colour, IRISES)],
            "hair": hair,
            "beard": beard,
            "marks": self._rung("freckles", skin.freckles) + self._rung("age_marks", skin.age_marks),
        }
        return Prompt(self.positive.format_map(filled), self.negative)

    def background_for(self, scene: Scene) -> Prompt:
        """Of what stands behind the person of a scene: a place of the kind of its background."""
        return Prompt(str(self.words["background"][scene.background]), self.nobody)

    @property
    def person_hash(self) -> str:
        """Of the words that `prompt_for` may say of anybody."""
        words = {name: entry for name, entry in self.words.items() if name != "background"}
        return settings_hash({"positive": self.positive, "negative": self.negative, **words})

    @property
    def background_hash(self) -> str:
        """Of the words that `background_for` may say of anything."""
        return settings_hash({"background": self.words["background"], "nobody": self.nobody})

    def _rung(self, name: str, value: float) -> str:
        """The first words of a ladder whose bound a value reaches; nothing below all of them."""
        return next((str(text) for bound, text in self.words[name] if value >= bound), "")

    def _style(self, skin: Skin) -> str:
        return str(self.words["hair_style"][skin.hair_style])

    def _hair_colour(self, skin: Skin) -> str:
        red, green, _ = skin.hair_colour
        name = list(HAIRS)[_nearest(skin.hair_colour, tuple(HAIRS.values()))]
        name = "grey" if skin.greyness >= GREY else "red" if green < REDDEST * red else name
        return str(self.words["hair_colour"][name])


def load_prompts(path: Path | None = None) -> Prompts:
    """Prompts from a YAML file: pain3d's own, or the user's, who may leave out what stays as it is.

    Raises:
        RefusedError: It can't be read, has a field that is not known, or a word that is not on the list; names it.
    """
    own: dict[str, Any] = parse_yaml(_data("prompts.yaml"), "prompts.yaml")
    held = own
    if path is not None:
        held = read_yaml(path, f"prompts {path}")
        if not isinstance(held, dict):
            raise RefusedError(f"prompts {path}: no table; known are {', '.join(own)}")
        for name in held:
            if name not in own:
                raise RefusedError(f"prompts {path}: unknown entry {quoted(name)}{hint(str(name), tuple(own))}")
    where = f"prompts {path}" if path else "prompts"
    merged = own | held
    for name, entry in merged.items():
        _check_form(where, name, entry)
        for text in _texts(entry):
            inside = FIELDS if name == "positive" else HAIR_FIELDS if name in ("hair_style", "beard") else ()
            _check_text(where, text, inside)
    return Prompts(merged.pop("positive"), merged.pop("negative"), merged.pop("nobody"), merged)


def _check_form(where: str, name: str, entry: Any) -> None:
    """See that an entry has the form of the shipped one."""
    if name in CHOICES:
        good = isinstance(entry, dict) and set(entry) == set(CHOICES[name])
        form = f"a table of {', '.join(CHOICES[name])}"
    elif name in LADDERS:
        good = isinstance(entry, list) and all(
            isinstance(rung, list) and len(rung) == 2 and isinstance(rung[0], int | float) for rung in entry
        )
        form = "a list of [lower bound, words]"
    elif name == "eyes":
        good, form = isinstance(entry, list) and len(entry) == len(IRISES), f"a list of {len(IRISES)} colours"
    else:
        good, form = isinstance(entry, str), "a text"
    if not good or not all(isinstance(text, str) for text in _texts(entry)):
        raise RefusedError(f"{where}: {name} must be {form}")


def _texts(entry: Any) -> list[Any]:
    """The texts of an entry, whatever its form."""
    if isinstance(entry, dict):
        return list(entry.values())
    return (
        [part[1] if isinstance(part, list) and len(part) == 2 else part for part in entry]
        if isinstance(entry, list)
        else [entry]
    )


def _check_text(where: str, text: str, fields: tuple[str, ...]) -> None:
    """See that a text holds known fields and words of the list alone."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise RefusedError(f"{where}: {one_line(error)}: {quoted(text)}") from error
    for literal, field, form, conversion in parts:
        if field is not None and (field not in fields or form or conversion):
            known = f"; known are {', '.join(fields)}" if fields else ""
            raise RefusedError(f"{where}: no field {{{field}}} can stand in {quoted(text)}{known}")
        for word in re.findall(r"[^\W\d_]+", literal):
            if word not in allowed_words():
                raise RefusedError(
                    f"{where}: {quoted(word)} is not on the list of words, which has no names of people and no children"
                    f"{_small(word)}"
                )


def _small(word: str) -> str:
    return f" (it has {quoted(word.lower())})" if word.lower() in allowed_words() else ""


@cache
def allowed_words() -> frozenset[str]:
    """All words that a prompt may hold beside its fields."""
    return frozenset(_data("prompt_words.txt").split())


def _data(name: str) -> str:
    return files("pain3d.pipeline.texture").joinpath("data", name).read_text()


def _tone(skin: Skin) -> float:
    """Individual typology angle in degrees, of the flat skin without what lies on it."""
    melanin, blood = (np.full((1, 1), value, np.float32) for value in (skin.melanin, skin.haemoglobin))
    return float(typology_angle(skin_albedo(melanin, blood, skin.carotene))[0, 0])


def _nearest(colour: tuple[float, ...], known: tuple[tuple[float, ...], ...]) -> int:
    """Which of some linear colours is most alike, by their cube roots: about as the eye sees distances."""
    far = np.abs(np.cbrt(np.array(known)) - np.cbrt(np.array(colour))).sum(1)
    return int(far.argmin())
