"""Knows what a person's surface looks like, as a handful of numbers, and how such people are drawn.

The distributions are broad and overlap; ancestry and sex are the generator's axes, not claims about people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pain3d.head.identity import MAX_AGE, MIN_AGE, SEX_AXIS
from pain3d.random import keyed_generator
from pain3d.ranges import are_numbers, check_ancestry, check_number

HAIR_STYLES = ("bald", "buzz", "short", "curly", "crop", "bun", "bob")
WOMENS_STYLES, WOMENS_SHARES = ("bob", "crop", "bun", "short"), (0.52, 0.26, 0.14, 0.08 + 1e-9)
DYED = 0.45  # share of women whose grey does not show
BEARDED = 0.28  # share of men with a full beard
Colour = tuple[float, float, float]

# Melanin (scale of `chromophores`) by axis: mean and standard deviation. The tests hold the ITA° that come of it to
# −45 to 60 degrees, each axis over more than one of Chardon's classes.
MELANIN = ((0.84, 0.075), (0.44, 0.12), (0.21, 0.13))
# Hair: eumelanin on 0 (fair) to 1 (black), mean and standard deviation by axis.
EUMELANIN = ((0.97, 0.03), (0.95, 0.05), (0.62, 0.25))
FAIR_HAIR, BROWN_HAIR, BLACK_HAIR = (0.36, 0.23, 0.115), (0.095, 0.050, 0.026), (0.013, 0.010, 0.009)  # linear
RED_HAIR, GREY_HAIR = (0.22, 0.075, 0.024), (0.39, 0.38, 0.36)
# Irises, linear: dark brown, brown, hazel, green, grey, blue.
IRISES = (
    (0.030, 0.016, 0.009), (0.075, 0.036, 0.016), (0.130, 0.085, 0.034),
    (0.115, 0.125, 0.060), (0.180, 0.205, 0.215), (0.120, 0.190, 0.280),
)  # fmt: skip
IRIS_SHARES = (
    (0.86, 0.13, 0.01, 0.0, 0.0, 0.0),
    (0.72, 0.25, 0.03, 0.0, 0.0, 0.0),
    (0.10, 0.24, 0.18, 0.13, 0.13, 0.22),
)
SHIRTS = (
    (0.045, 0.060, 0.095), (0.20, 0.22, 0.24), (0.55, 0.56, 0.56), (0.030, 0.032, 0.036), (0.16, 0.24, 0.30),
    (0.19, 0.055, 0.055), (0.085, 0.14, 0.095), (0.33, 0.29, 0.23), (0.30, 0.42, 0.52),
)  # fmt: skip
GOWNS = ((0.42, 0.47, 0.52), (0.29, 0.39, 0.50), (0.47, 0.48, 0.47), (0.34, 0.46, 0.41))  # pale, washed often


@dataclass(frozen=True)
class Skin:
    """One person's surface: JSON-able scalars. Shares and strengths lie in 0–1 where nothing else is said.

    Attributes:
        seed: Key of what is random on the skin, with `identity`.
        identity: See seed.
        age: Years, 18–95: lines, spots, mottling.
        sex: 0 (female) to 1 (male).
        melanin: Epidermal melanin on the scale of `chromophores.skin_albedo`.
        haemoglobin: Dermal blood on the same scale.
        carotene: Yellow of what is eaten, on the same scale.
        eye_colour: Linear rgb of the middle of the iris.
        hair_colour: Linear rgb of scalp hair without grey; brows and stubble follow it.
        greyness: Share of grey hair.
        hair_style: One of `HAIR_STYLES`; ``crop`` and ``bob`` lie over the ears, a ``bun`` is drawn back.
        hair_curl: 0 straight, 0.5 wavy, 1 coiled.
        hair_density: Coverage of the scalp where hair grows.
        recession: Of the hairline; above 0.6 the crown thins too.
        brow_density: Number of hairs of the brows.
        brow_thickness: Height of the brows, millimetres.
        stubble: Density of the beard's shadow.
        beard: Length and density of a full beard; 0 is none.
        freckles: Density.
        age_marks: Strength of lines and age spots.
        lip_tint: How much redder the lips are than the skin.
        lip_gloss: 0 dry to 1 moist.
        undereye: Darkness around the eyes.
        flush: Redness of cheeks, nose and ears.
        oiliness: Shine of forehead and nose.
        shirt_colour: Linear rgb.
        gown: 1 where a hospital gown is worn in place of the shirt, in the shirt's colour; else 0.
    """

    seed: int = 0
    identity: int = 0
    age: float = 35.0
    sex: float = 0.5
    melanin: float = 0.35
    haemoglobin: float = 0.42
    carotene: float = 0.25
    eye_colour: Colour = IRISES[1]
    hair_colour: Colour = BROWN_HAIR
    greyness: float = 0.0
    hair_style: str = "short"
    hair_curl: float = 0.1
    hair_density: float = 0.9
    recession: float = 0.1
    brow_density: float = 0.6
    brow_thickness: float = 6.5
    stubble: float = 0.0
    beard: float = 0.0
    freckles: float = 0.1
    age_marks: float = 0.2
    lip_tint: float = 0.5
    lip_gloss: float = 0.5
    undereye: float = 0.3
    flush: float = 0.4
    oiliness: float = 0.4
    shirt_colour: Colour = SHIRTS[0]
    gown: float = 0.0

    def __post_init__(self) -> None:
        if self.hair_style not in HAIR_STYLES:
            raise ValueError(f"hair_style must be one of {', '.join(HAIR_STYLES)}, got {self.hair_style!r}")
        for name in SHARES:
            check_number(name, getattr(self, name), 0, 1, SEX_AXIS if name == "sex" else "")
        check_number("age", self.age, MIN_AGE, MAX_AGE, "years (adults only)")
        check_number("brow_thickness", self.brow_thickness, 2, 14, "mm")
        for name in ("eye_colour", "hair_colour", "shirt_colour"):
            if not are_numbers(getattr(self, name), 3, 0, 1):
                raise ValueError(f"{name} must be three numbers in 0..1 (linear rgb), got {getattr(self, name)!r}")

    def generator(self, stage: str) -> np.random.Generator:
        """Where the random numbers of one stage of this person's painting come from."""
        return keyed_generator(self.seed, stage, self.identity)


def people_of(skin: Skin | Sequence[Skin]) -> list[Skin]:
    """The people that a public function was given: one, or several in their order.

    Raises:
        ValueError: Nobody is given, or something else than a `Skin`.
    """
    people = [skin] if isinstance(skin, Skin) else list(skin)
    wrong = next((one for one in people if not isinstance(one, Skin)), None)
    if not people or wrong is not None:
        got = "none" if wrong is None else type(wrong).__name__
        raise ValueError(f"skin must be a Skin or a sequence of them, got {got}")
    return people


SHARES = (
    "sex", "melanin", "haemoglobin", "carotene", "greyness", "hair_curl", "hair_density", "recession", "brow_density",
    "stubble", "beard", "freckles", "age_marks", "lip_tint", "lip_gloss", "undereye", "flush", "oiliness", "gown",
)  # fmt: skip


def sample_skin(seed: int, identity_id: int, age: float, sex: float, ancestry: tuple[float, float, float]) -> Skin:
    """Draw one person's surface by key.

    Args:
        seed: The data set's seed.
        identity_id: Which identity of it.
        age: Years, 18–95.
        sex: 0 (female) to 1 (male); stubble and a receding hairline need more than 0.5.
        ancestry: Shares of the african, asian and caucasian axes; sum to 1.

    Raises:
        ValueError: A value is out of range.
    """
    check_ancestry(ancestry)
    check_number("sex", sex, 0, 1, SEX_AXIS)
    check_number("age", age, MIN_AGE, MAX_AGE, "years (adults only)")
    generator = keyed_generator(seed, "skin/appearance", identity_id)
    normal = np.clip(generator.standard_normal(12), -2.3, 2.3)
    u = generator.random(24)
    share = np.array(ancestry)
    old = how_old(age)
    male = sex > 0.5

    main = share**2 / (share**2).sum()  # dark hair and eyes are dominant
    (melanin, melanin_spread), (eumelanin, eumelanin_spread) = share @ np.array(MELANIN), main @ np.array(EUMELANIN)
    melanin = float(np.clip(melanin + melanin_spread * normal[0], 0.02, 0.97))
    # One tone runs through skin, hair and eyes.
    eumelanin = float(np.clip(eumelanin + eumelanin_spread * (0.5 * normal[0] + 0.85 * normal[1]), 0, 1))
    ginger = share[2] > 0.6 and u[0] < 0.06
    if ginger:
        melanin *= 0.5
    hair = (
        _mix(FAIR_HAIR, BROWN_HAIR, eumelanin / 0.7)
        if eumelanin < 0.7
        else _mix(BROWN_HAIR, BLACK_HAIR, eumelanin / 0.3 - 7 / 3)
    )
    onset = 36 + 5 * (share[0] + share[1]) + 5 * normal[2]
    greyness = float(np.clip((age - onset) / 34, 0, 1) ** 0.9 * np.clip(1 + 0.2 * normal[3], 0.4, 1.3))
    if not male and u[17] < DYED:
        greyness *= 0.12
    recession = float(np.clip((0.10 + 0.75 * old) * u[1] * 1.3, 0, 1)) if male else 0.15 * u[1] + 0.15 * old * u[1]
    style = HAIR_STYLES[int(u[2] < 0.93) + int(u[2] < 0.62)]
    if male and recession > 0.75 and u[3] < 0.6:
        style = "bald"
    if not male:
        style = WOMENS_STYLES[int(np.searchsorted(np.cumsum(WOMENS_SHARES), u[2]))]
    curl = float(np.clip(0.12 + 0.25 * u[20] + (0.75 if share[0] > 0.5 else 0.0), 0, 1))
    if curl > 0.7 and style in ("short", "crop", "bob"):
        style = "curly" if style == "short" or u[21] < 0.75 else style
    beard = float(np.clip(0.25 + 0.75 * u[23], 0, 1)) if male and u[22] < BEARDED else 0.0
    shadow = (0.12 + 0.88 * u[4] ** 1.6) * (1 - 0.45 * share[1]) if male and u[5] < 0.85 else 0.06 * float(male)

    return Skin(
        seed=seed,
        identity=identity_id,
        age=round(float(age), 2),
        sex=round(float(sex), 4),
        melanin=_round(melanin),
        carotene=_round(0.08 + 0.42 * u[16] ** 1.5),
        haemoglobin=_round(0.41 + 0.10 * melanin + 0.045 * normal[4] + 0.04 * float(male) + 0.03 * old),
        eye_colour=_tint(IRISES[_choose(main @ np.array(IRIS_SHARES), u[6])], 0.14 * normal[5]),
        hair_colour=_tint(RED_HAIR if ginger else hair, 0.10 * normal[6]),
        greyness=_round(greyness),
        hair_style=style,
        hair_curl=_round(curl),
        hair_density=_round((0.86 if style in ("buzz", "bald") else 0.94) - 0.25 * old * u[7] + 0.05 * normal[7]),
        recession=_round(recession),
        brow_density=_round(0.48 + 0.14 * float(male) + 0.12 * normal[8] - 0.18 * old * (1 - 0.5 * float(male))),
        brow_thickness=round(float(np.clip((7.0 if male else 5.2) + 0.9 * normal[9] - 0.6 * old, 3.2, 10.5)), 3),
        stubble=_round(shadow),
        beard=_round(beard),
        freckles=_round(
            (0.85 if ginger else 0.45 * u[8] ** 2) * (share[2] + 0.25 * (1 - share[2])) * (1 - 0.8 * melanin)
        ),
        age_marks=_round(old * (0.65 + 0.35 * u[9]) + 0.06 * u[10]),
        lip_tint=_round(0.50 - 0.12 * float(male) - 0.18 * old + 0.12 * normal[10]),
        lip_gloss=_round(0.55 - 0.3 * old + 0.3 * (u[11] - 0.5)),
        undereye=_round(0.15 + 0.35 * u[12] + 0.30 * old),
        flush=_round(0.25 + 0.45 * u[13]),
        oiliness=_round(0.55 * u[14] + 0.25 * (1 - old)),
        shirt_colour=_tint(SHIRTS[int(u[15] * len(SHIRTS))], 0.15 * normal[11]),
    )


def how_old(age: float) -> float:
    """0 up to 30 years, 1 from 85 on: what `Skin.age_marks` and other signs of age grow with."""
    return min(max((age - 30) / 55, 0.0), 1.0)


def in_gown(skin: Skin) -> Skin:
    """The same person in a hospital gown, of a colour by key."""
    generator = skin.generator("skin/gown/colour")
    return replace(skin, gown=1.0, shirt_colour=GOWNS[int(generator.integers(len(GOWNS)))])


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    """Between two colours in the logarithm, as pigment mixes."""
    red, green, blue = (float(a ** (1 - share) * b**share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _tint(colour: Colour, stops: float) -> Colour:
    red, green, blue = (_round(c * float(np.exp(stops))) for c in colour)
    return red, green, blue


def _choose(shares: npt.NDArray[np.float64], u: float) -> int:
    return int(min(np.searchsorted(np.cumsum(shares), u * shares.sum(), side="right"), len(shares) - 1))


def _round(value: float) -> float:
    """Four digits, so that a scene stays short; within 0–1."""
    return round(float(np.clip(value, 0, 1)), 4)
