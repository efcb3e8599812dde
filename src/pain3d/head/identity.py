"""Who a head is: age, sex, ancestry mixture, build, and bounded coefficients of the local shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pain3d.head.ageing import AGED, pair_name
from pain3d.random import keyed_generator
from pain3d.ranges import check_ancestry, check_kind, check_number, check_whole

MIN_AGE, MAX_AGE = 18.0, 95.0  # adults only
YOUNG_AGE, OLD_AGE = 25.0, 90.0  # years at which the young and the old shapes hold; between them they mix linearly
ANCESTRIES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
SEX_AXIS = "(0 female shapes, 1 male shapes)"
MAX_COEFFICIENT = 2.2  # standard deviations of one local shape
MOST_LOCAL = 10.0  # standard deviations that are taken at all: a coefficient beyond it is a slip, and moves centimetres
MAX_MAHALANOBIS = 1.0  # of the whole vector, in units of the square root of its length (the typical value is 1)
SIDE_CORRELATION = 0.97  # of a left shape with its right twin: faces are nearly symmetric
# Faces lie 0.67 mm from their mirror image in young women, 0.74 in young men, 0.85 and 0.97 in old ones, on average of
# the surface and with its scanning (Skomina, Verdenik & Hren 2020). Shapes of asymmetry are drawn so many times their
# standard deviation for that, but not those of the eyes, whose lids would seem to droop; men and the old have more.
UNEVEN, UNEVEN_MEN, UNEVEN_OLD, MOST_UNEVEN = 4.2, 0.10, 0.32, 8.0
# How far somebody's ageing is ahead of the years or behind, as a share of all ageing: 0.09 is six years.
PACE = 0.09


@dataclass(frozen=True)
class Identity:
    """One person's parameters; words are generator axes, not claims about people.

    Attributes:
        age: Years, 18–95.
        sex: 0 (female shapes) to 1 (male shapes).
        ancestry: Mixture of the african, asian and caucasian shapes; sums to 1.
        muscle: 0–1, the average is 0.5.
        weight: 0–1, the average is 0.5.
        local: Coefficients of the head's local shapes in standard deviations; empty means all 0.
    """

    age: float = 35.0
    sex: float = 0.5
    ancestry: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    muscle: float = 0.5
    weight: float = 0.5
    local: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_number("age", self.age, MIN_AGE, MAX_AGE, "years (adults only)")
        check_number("sex", self.sex, 0, 1, SEX_AXIS)
        for name in ("muscle", "weight"):
            check_number(name, getattr(self, name), 0, 1, "(the average is 0.5)")
        check_ancestry(self.ancestry)
        check_kind("local", self.local, tuple, list)
        for coefficient in self.local:
            check_number("local", coefficient, -MOST_LOCAL, MOST_LOCAL, "standard deviations")

    def coefficients(
        self, names: Sequence[str], macro_count: int, sigma: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.float32]:
        """Coefficients [S] of a head's identity shapes: the product weights of the macro shapes, then the local ones.

        Args:
            names: The head's identity shapes; the first `macro_count` are ``african-female-young`` (ancestry, sex, age)
                or ``female-young-minmuscle-averageweight`` (sex, age, muscle, weight).
            macro_count: How many of them are macro shapes.
            sigma: [L] weight of one standard deviation of each local shape.
        """
        old = float(np.clip((self.age - YOUNG_AGE) / (OLD_AGE - YOUNG_AGE), 0, 1))
        share = {
            "female": 1 - self.sex, "male": self.sex, "young": 1 - old, "old": old,
            **dict(zip(ANCESTRIES, self.ancestry, strict=True)),
            **_three_way("muscle", self.muscle), **_three_way("weight", self.weight),
        }  # fmt: skip
        macro = [float(np.prod([share[word] for word in name.split("-")])) for name in names[:macro_count]]
        local = np.zeros(len(sigma))
        if self.local:
            if len(self.local) != len(sigma):
                raise ValueError(f"local must have {len(sigma)} coefficients for this head, got {len(self.local)}")
            local = np.array(self.local) * sigma
        return np.concatenate([macro, local]).astype(np.float32)


def _three_way(word: str, value: float) -> dict[str, float]:
    return {
        f"min{word}": max(0, 1 - 2 * value),
        f"average{word}": 1 - abs(2 * value - 1),
        f"max{word}": max(0, 2 * value - 1),
    }


def sample_local(
    generator: np.random.Generator, names: Sequence[str], age: float = YOUNG_AGE, male: float = 0.5
) -> tuple[float, ...]:
    """Draw local coefficients [L] in standard deviations: left and right nearly alike, each and all together bounded.

    Each coefficient is bounded by `MAX_COEFFICIENT`; the vector is shrunk until its Mahalanobis length (with the
    left–right correlation taken out) is at most `MAX_MAHALANOBIS` · √L, so that no draw piles up extremes. To that
    come, by age (years) and share of male shapes, the asymmetry of faces and a pace of ageing, both bounded likewise.
    """
    draws = np.array([_normal(generator) for _ in names])
    length = float(np.sqrt((draws**2).mean()))
    draws *= min(1.0, MAX_MAHALANOBIS / length)
    place = {name: index for index, name in enumerate(names)}
    mixed = draws.copy()
    for name, index in place.items():
        twin = place.get("l-" + name[2:]) if name.startswith("r-") else None
        if twin is not None:
            mixed[index] = SIDE_CORRELATION * draws[twin] + np.sqrt(1 - SIDE_CORRELATION**2) * draws[index]
    old = float(np.clip((age - YOUNG_AGE) / (OLD_AGE - YOUNG_AGE), 0, 1))
    mixed = np.clip(mixed, -MAX_COEFFICIENT, MAX_COEFFICIENT)
    sides = UNEVEN * (1 + UNEVEN_MEN * (2 * male - 1)) * (1 + UNEVEN_OLD * old)
    uneven = np.array([one_sided(name) for name in names], bool)
    mixed[uneven] = np.clip(sides * mixed[uneven], -MOST_UNEVEN, MOST_UNEVEN)
    ahead = PACE * (0.3 + 0.7 * old) * float(np.clip(_normal(generator), -MAX_COEFFICIENT, MAX_COEFFICIENT))
    for index, name in enumerate(names):
        amount = AGED.get(pair_name(name))
        if amount is not None:
            mixed[index] += ahead * ((1 - male) * amount.women + male * amount.men)
    return tuple(float(c) for c in np.round(mixed, 3))


def one_sided(name: str) -> bool:
    """Whether a local shape makes the sides differ beyond the eyes, and nothing else."""
    return name.startswith("asym-") and not name.startswith("asym-eye")


def _normal(generator: np.random.Generator) -> float:
    """Standard normal from two uniforms (Box–Muller): the same on every version of numpy."""
    first, second = generator.random(2)
    return float(np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second))


def sample_identity(
    seed: int,
    identity_id: int,
    local_names: Sequence[str],
    *,
    age: tuple[float, float] = (MIN_AGE, MAX_AGE),
    sex: str | None = None,
    ancestry: str | None = None,
) -> Identity:
    """Draw one person by key; `age` is a range of years, `sex` and `ancestry` name an axis or None for any mixture."""
    check_whole("identity_id", identity_id, 0, 2**63 - 1)
    generator = keyed_generator(seed, "identity", identity_id)
    years = age[0] + (age[1] - age[0]) * generator.random()
    u = generator.random(8)
    male = {"female": 0.15 * u[0], "male": 1 - 0.15 * u[0], None: u[0]}[sex]
    mixture = -np.log1p(-u[1:4])  # a uniform draw from the simplex
    mixture /= mixture.sum()
    if ancestry is not None:
        main = np.array([float(name == ancestry) for name in ANCESTRIES])
        mixture = 0.8 * main + 0.2 * mixture  # 80 % of the named axis at least
    weights = [round(float(m), 4) for m in mixture]
    weights[2] = round(1 - weights[0] - weights[1], 4)
    return Identity(
        age=round(float(years), 2),
        sex=round(float(male), 4),
        ancestry=(weights[0], weights[1], weights[2]),
        muscle=round(float(0.3 + 0.4 * u[4]), 3),
        weight=round(float(np.clip(0.5 + 0.45 * (u[5] + u[6] - 1), 0, 1)), 3),
        local=sample_local(generator, local_names, years, male),
    )
