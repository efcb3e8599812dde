"""Action units: which there are, their names elsewhere, what they move, and the record of one face's intensities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pain3d.facs.pain_score import MAX_INTENSITY, PAIN_AUS, check_intensity, pspi
from pain3d.ranges import told

SIDES = ("L", "R")  # the subject's own left and right

# Action unit → face units (ARKit blendshape stems) and the weight each takes at intensity 5. AU26 and AU27 turn the jaw
# joint instead (JAW), by that share of the head's jaw angle; AU25 parts the lips without the jaw.
MOVES: dict[int, tuple[tuple[str, float], ...]] = {
    1: (("browInnerUp", 1.0),),
    2: (("browOuterUp", 1.0),),
    4: (("browDown", 1.0),),
    5: (("eyeWide", 1.0),),
    6: (("cheekSquint", 1.0),),
    7: (("eyeSquint", 1.0),),
    9: (("noseSneer", 1.0),),
    10: (("mouthUpperUp", 1.0),),
    12: (("mouthSmile", 1.0),),
    14: (("mouthDimple", 1.0),),
    15: (("mouthFrown", 1.0),),
    16: (("mouthLowerDown", 1.0),),
    17: (("mouthShrugLower", 1.0),),
    18: (("mouthPucker", 1.0),),
    20: (("mouthStretch", 1.0),),
    22: (("mouthFunnel", 1.0),),
    23: (("mouthPress", 0.6), ("mouthRollLower", 0.25), ("mouthRollUpper", 0.25)),
    24: (("mouthPress", 1.0),),
    25: (("mouthLowerDown", 0.55), ("mouthUpperUp", 0.25)),
    26: (),
    27: (),
    28: (("mouthRollLower", 1.0), ("mouthRollUpper", 1.0)),
    34: (("cheekPuff", 1.0),),
    43: (("eyeBlink", 1.0),),
}
JAW = {26: 0.4, 27: 1.0}
AU_NUMBERS = tuple(MOVES)
AU_COLUMNS = tuple(f"AU{number:02d}" for number in AU_NUMBERS)
FACS_NAMES = {
    1: "inner brow raiser", 2: "outer brow raiser", 4: "brow lowerer", 5: "upper lid raiser", 6: "cheek raiser",
    7: "lid tightener", 9: "nose wrinkler", 10: "upper lip raiser", 12: "lip corner puller", 14: "dimpler",
    15: "lip corner depressor", 16: "lower lip depressor", 17: "chin raiser", 18: "lip pucker", 20: "lip stretcher",
    22: "lip funneler", 23: "lip tightener", 24: "lip pressor", 25: "lips part", 26: "jaw drop", 27: "mouth stretch",
    28: "lip suck", 34: "cheek puff", 43: "eyes closed",
}  # fmt: skip
CO_OCCURRING_AUS = (12, 20, 25, 26, 27)  # seen with pain, and not in the PSPI

# The blend shapes of a face in ARKit, all 52, as developer.apple.com lists them (ARFaceAnchor.BlendShapeLocation).
# MediaPipe's face landmarker gives 51 of them, without the tongue, and `_neutral`.
ARKIT_NAMES = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp",
    "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)  # fmt: skip
ARKIT_NEUTRAL = "_neutral"  # MediaPipe's: how likely the face is at rest, no movement
# ARKit blendshape names, both ways. The units that ARKit does not split by side answer for both sides.
ARKIT_UNSPLIT = (
    "browInnerUp", "cheekPuff", "jawOpen", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower",
)  # fmt: skip
ARKIT_OF_AU: dict[int, str] = {n: moves[0][0] for n, moves in MOVES.items() if moves and n not in (23, 25)}
ARKIT_OF_AU[27] = "jawOpen"
AU_OF_ARKIT: dict[str, int] = {stem: n for n, stem in ARKIT_OF_AU.items()}
AU_OF_ARKIT["mouthRollUpper"] = 28  # lip suck rolls both lips, see `MOVES`

# FACS intensity → weight of the shape. The scale is not linear: A is a trace and B slight, C and D span most of the
# movement (FACS manual, 2002). Weights between whole intensities are interpolated.
CURVE_INTENSITIES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
CURVE_WEIGHTS = (0.0, 0.15, 0.32, 0.56, 0.80, 1.0)


def intensity_to_weight(intensity: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Weight 0–1 of the full displacement for a FACS intensity 0–5 (A–E), piecewise linear through `CURVE_WEIGHTS`."""
    return np.asarray(np.interp(np.asarray(intensity, float), CURVE_INTENSITIES, CURVE_WEIGHTS))


def weight_to_intensity(weight: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Inverse of `intensity_to_weight`."""
    return np.asarray(np.interp(np.asarray(weight, float), CURVE_WEIGHTS, CURVE_INTENSITIES))


@dataclass(frozen=True)
class ActionUnits:
    """FACS intensities of one face: 0–5 (AU43: 0 or 1), left and right apart.

    ``ActionUnits(AU4=4, AU6_L=3, AU43=1)``: a name without a side sets both. Names may be padded (``AU04``).
    `values` is [A, 2], rows in the order of `AU_NUMBERS`, columns left and right of the subject.
    """

    values: tuple[tuple[float, float], ...]

    def __init__(self, **intensities: float) -> None:
        rows = {number: [0.0, 0.0] for number in AU_NUMBERS}
        seen: set[tuple[int, int]] = set()
        for name, value in intensities.items():
            number, sides = parse_name(name)
            if np.ndim(value):
                raise ValueError(f"{name} must be one number, got {value!r:.60}")
            check_intensity(number, value)
            for side in sides:
                if (number, side) in seen:
                    raise ValueError(f"{name} is given twice")
                seen.add((number, side))
                rows[number][side] = float(value)
        object.__setattr__(self, "values", tuple((rows[n][0], rows[n][1]) for n in AU_NUMBERS))

    @classmethod
    def of_sides(cls, intensities: Mapping[int, tuple[float, float]]) -> ActionUnits:
        """The face of these units by number, left and right; what nobody checks: they are intensities."""
        made = object.__new__(cls)
        object.__setattr__(made, "values", tuple(intensities.get(number, (0.0, 0.0)) for number in AU_NUMBERS))
        return made

    def __repr__(self) -> str:
        return f"ActionUnits({', '.join(f'{k}={v:g}' for k, v in self.nonzero().items())})"

    def __getitem__(self, number: int) -> float:
        """Intensity of one action unit: the larger of its sides, as UNBC codes it."""
        if number not in MOVES:
            raise KeyError(f"there is no AU{number} here; known: {', '.join(map(str, AU_NUMBERS))}")
        return max(self.values[AU_NUMBERS.index(number)])

    def pspi(self) -> float:
        """PSPI 0–16 (Prkachin & Solomon 2008) of the larger sides; whole numbers come back as int."""
        score = pspi(*(self[number] for number in PAIN_AUS))
        return int(score) if score == int(score) else score

    def nonzero(self) -> dict[str, float]:
        """The intensities that are not 0 by name: ``AU4`` where both sides agree, else ``AU4_L`` and ``AU4_R``."""
        named: dict[str, float] = {}
        for number, (left, right) in zip(AU_NUMBERS, self.values, strict=True):
            if left == right:
                named |= {f"AU{number}": left} if left else {}
            else:
                named |= {f"AU{number}_{s}": v for s, v in zip(SIDES, (left, right), strict=True) if v}
        return named

    def as_row(self) -> dict[str, float]:
        """Every column of a data set: ``AU04`` (the larger side), ``AU04_L``, ``AU04_R``, for all action units."""
        row: dict[str, float] = {}
        for column, (left, right) in zip(AU_COLUMNS, self.values, strict=True):
            row |= {column: max(left, right), f"{column}_L": left, f"{column}_R": right}
        return row

    def as_array(self) -> npt.NDArray[np.float64]:
        """Intensities [A, 2]."""
        return np.array(self.values)

    def to_arkit(self) -> dict[str, float]:
        """All 52 ARKit blendshape coefficients 0–1 (``browDownLeft`` …), 0 where no action unit moves them.

        AU23, AU25 and AU26 share their shapes with others: AU23 and AU25 have no coefficient of their own, AU26 and
        AU27 both open ``jawOpen``.
        """
        coefficients = dict.fromkeys(ARKIT_NAMES, 0.0)
        for stem, number in AU_OF_ARKIT.items():
            sides = self.values[AU_NUMBERS.index(number)]
            left, right = sides if number == 43 else intensity_to_weight(sides)
            if stem in ARKIT_UNSPLIT:
                coefficients[stem] = float(max(left, right))
            else:
                coefficients |= {stem + "Left": float(left), stem + "Right": float(right)}
        drop = float(intensity_to_weight(self[26])) * JAW[26]
        coefficients["jawOpen"] = max(coefficients["jawOpen"], drop)
        return coefficients

    @classmethod
    def from_arkit(cls, coefficients: Mapping[str, float | str], *, strict: bool = True) -> ActionUnits:
        """The action units of ARKit coefficients 0–1, or of MediaPipe's; ``eyeBlink`` of 0.5 and more is AU43.

        Args:
            coefficients: Any of the 52 names, also with a capital (``BrowDownLeft``), a name of two sides without
                its side for both, and MediaPipe's ``_neutral``, which says nothing. Blanks around a name don't count.
            strict: Whether a coefficient that no action unit answers for (the gaze, the jaw's turn, ``mouthClose``,
                …) must be 0; False leaves it out.

        Raises:
            ValueError: No name is ARKit's, one without an action unit is not 0, or a coefficient is outside 0..1.
        """
        values: dict[str, float] = {}
        _check_names("coefficients", coefficients)
        for blank, value in coefficients.items():
            given = blank.strip()
            name = given[:1].lower() + given[1:]
            stem, suffixes = name, tuple(f"_{side}" for side in SIDES)
            for ending, suffix in (("Left", "_L"), ("Right", "_R")):
                if name.endswith(ending) and name.removesuffix(ending) in AU_OF_ARKIT:
                    stem, suffixes = name.removesuffix(ending), (suffix,)
            if stem not in AU_OF_ARKIT:
                if strict and name != ARKIT_NEUTRAL and foreign_number(given, value) != 0:
                    raise ValueError(
                        f"ARKit name {given!r} has no action unit here and is {value}: strict=False leaves it out"
                    )
                continue
            number = foreign_number(given, value)
            if not 0 <= number <= 1:
                raise ValueError(f"ARKit coefficient {given} must be in 0..1, got {number:g}")
            unit = AU_OF_ARKIT[stem]
            intensity = float(number >= 0.5) if unit == 43 else float(weight_to_intensity(number))
            for suffix in suffixes:  # of both lips' roll the larger
                values[f"AU{unit}{suffix}"] = max(values.get(f"AU{unit}{suffix}", 0.0), intensity)
        if not values:
            raise ValueError(f"no name of ARKit such as browDownLeft, got {_listed(coefficients)}")
        return cls(**values)

    def to_openface(self) -> dict[str, float]:
        """OpenFace-style columns: ``AU04_r`` (intensity 0–5) and ``AU04_c`` (0 or 1); AU45 (blink) for AU43."""
        row: dict[str, float] = {}
        for number in AU_NUMBERS:
            name = _openface_name(number)
            row |= {
                f"{name}_r": self[number] * (MAX_INTENSITY if number == 43 else 1),
                f"{name}_c": float(self[number] > 0),
            }
        return row

    @classmethod
    def from_openface(cls, row: Mapping[str, float | str], *, wanted: Iterable[int] = PAIN_AUS) -> ActionUnits:
        """The action units of OpenFace's ``AUxx_r`` columns (others are ignored); AU45 of 2.5 and more is AU43.

        Args:
            row: Name → number, or its text; OpenFace writes blanks before its names (``" AU04_r"``), which don't count.
            wanted: Units that the row must tell, here those of PSPI: a score without one of them would be too low.
                ``()`` takes what there is, if it is any.

        Raises:
            ValueError: No column is OpenFace's, a wanted one is missing, or a value is no number in 0..5.
        """
        values: dict[int, float] = {}
        _check_names("row", row)
        for name, value in row.items():
            column = name.strip()
            number = column.removesuffix("_r").removeprefix("AU")
            if not column.endswith("_r") or not column.startswith("AU") or not number.isdigit():
                continue
            if int(number) == 45:
                values[43] = float(foreign_number(column, value) >= MAX_INTENSITY / 2)
            elif int(number) in MOVES:
                values[int(number)] = foreign_number(column, value)
        if not values:
            raise ValueError(f"no column of OpenFace such as AU04_r, got {_listed(row)}")
        missing = [number for number in wanted if number not in values]
        if missing:
            names = ", ".join(_openface_name(number) + "_r" for number in missing)
            raise ValueError(f"columns must hold {names}, got {_listed(row)}; wanted=() takes what there is")
        return cls(**{f"AU{number}": value for number, value in values.items()})


def _openface_name(number: int) -> str:
    return "AU45" if number == 43 else f"AU{number:02d}"  # a blink is all that OpenFace has of shut eyes


def _check_names(what: str, given: object) -> None:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{what} must hold names and their numbers, got {told(given)}")


def _listed(names: Iterable[str]) -> str:
    """Some of the names, for an error."""
    given = list(names)
    return ", ".join(map(repr, given[:4])) + (f", … ({len(given)})" if len(given) > 4 else "") if given else "nothing"


def foreign_number(name: str, value: float | str) -> float:
    """The number that another program wrote, finite, maybe as text.

    Raises:
        ValueError: It is none; names the column.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return number


def units_of(au: ActionUnits | Mapping[str, float]) -> ActionUnits:
    """The action units that a public function was given, also by name: ``{"AU4": 3, "AU6_L": 2}``.

    Raises:
        ValueError: Something else, an unknown name, or an intensity out of range.
    """
    if isinstance(au, ActionUnits):
        return au
    if not isinstance(au, Mapping) or not all(isinstance(name, str) for name in au):
        raise ValueError(f"au must be ActionUnits or a dictionary such as {{'AU4': 3}}, got {au!r:.60}")
    return ActionUnits(**au)


def parse_name(name: str) -> tuple[int, tuple[int, ...]]:
    """``AU4``, ``AU04``, ``AU04_L`` → its number and the sides it means (0 left, 1 right). Raises ValueError."""
    stem, _, side = name.partition("_")
    digits = stem.removeprefix("AU")
    if not stem.startswith("AU") or not digits.isdigit() or int(digits) not in MOVES or side not in ("", *SIDES):
        raise ValueError(
            f"unknown action unit {name!r}; known: {', '.join(f'AU{n}' for n in AU_NUMBERS)}, with _L or _R"
        )
    return int(digits), (0, 1) if not side else (SIDES.index(side),)


def stack(faces: Iterable[ActionUnits]) -> npt.NDArray[np.float64]:
    """Intensities of several faces, [B, A, 2]."""
    return np.stack([face.as_array() for face in faces])
