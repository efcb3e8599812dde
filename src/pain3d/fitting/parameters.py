"""Knows what is fitted: where each number stands in one vector, what it is before anything is seen, and its limits.

Shared by all pictures: six axes of identity, coordinates of its shape, coordinates of the skin. Of each moment: action
units per side and gaze. Of each picture: the camera and the light.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.facs.action_units import AU_NUMBERS, CO_OCCURRING_AUS
from pain3d.facs.pain_score import MAX_INTENSITY, PAIN_AUS
from pain3d.fitting.appearance import KEY_DEVIATION, LAMPS, TONES, LightPrior
from pain3d.fitting.shape import AXES_DEVIATION, AXES_HIGH, AXES_LOW, AXES_MEAN, COORDINATES

Doubles = npt.NDArray[np.float64]
Columns = dict[str, Doubles | float]
Block = tuple[str, int]  # what, and of which moment or picture; 0 where all share it

SHARED, OF_MOMENT, OF_PICTURE = ("axes", "shape", "tone"), ("au", "gaze"), ("camera", "light")  # what, by whose
# Camera: yaw, pitch, roll (degrees), shift of its target across and up (metres), logarithms of distance (metres) and
# focal length (millimetres of a frame 24 mm high). Around the face, as telephones and portrait lenses see it.
CAMERA_MEAN: Final = (0.0, 0.0, 0.0, 0.0, 0.0, -0.29, 3.99)  # 0.75 m, 54 mm
CAMERA_DEVIATION: Final = (25.0, 12.0, 8.0, 0.1, 0.1, 0.5, 0.35)
CAMERA_STEP: Final = (0.5, 0.5, 0.5, 5e-4, 5e-4, 0.02, 0.02)
GAZE_DEVIATION, MOST_GAZE = 5.0, 25.0  # degrees
# Action units. Those of pain may have any strength, those seen with pain rather not, all others hardly ever: sparse is
# the cost of one step, in units of half a squared deviation.
PAIN_DEVIATION, OTHER_DEVIATION = 4.0, 2.0
CO_OCCURRING_SPARSE, OTHER_SPARSE = 0.5, 1.5
SIDES_DIFFER: Final = 0.5  # steps, standard deviation of left minus right
LIDS_DIFFER: Final = 0.1  # the same of AU43, whose range is 1
# How far a number is moved to see what it does, in its own unit or in deviations: a grey level or more of the picture.
AU_STEP, LID_STEP, GAZE_STEP, KEY_STEP, COORDINATE_STEP = 0.4, 0.1, 1.0, 4.0, 0.25


class Parameters(NamedTuple):
    """A vector of P numbers, described.

    Attributes:
        slices: Where each block stands.
        moments: Of each picture, its moment.
        mean: [P] where the fit begins and what it is drawn to.
        deviation: [P] how strongly.
        low: [P] limit.
        high: [P] limit.
        sparse: [P] what a unit of it costs, of numbers that are at least 0.
        step: [P] of differences.
        ties: [R, P] rows whose products with the vector have mean 0 and deviation 1.
    """

    slices: dict[Block, slice]
    moments: tuple[int, ...]
    mean: Doubles
    deviation: Doubles
    low: Doubles
    high: Doubles
    sparse: Doubles
    step: Doubles
    ties: Doubles

    def places(self, blocks: Sequence[Block]) -> npt.NDArray[np.int64]:
        """Places of some blocks in the vector, in their order."""
        spans = [self.slices[block] for block in blocks]
        return np.concatenate([np.arange(span.start, span.stop) for span in spans] or [np.zeros(0, np.int64)])

    def length(self, block: Block) -> int:
        """How many numbers a block has."""
        return len(self.places([block]))

    def of_picture(self, picture: int) -> tuple[Block, ...]:
        """The blocks that decide a picture."""
        moment = self.moments[picture]
        named = [(name, 0) for name in SHARED] + [(name, moment) for name in OF_MOMENT]
        named += [(name, picture) for name in OF_PICTURE]
        return tuple(block for block in named if block in self.slices)

    def start(self) -> Doubles:
        """The neutral mean head before the mean camera."""
        return self.mean.copy()

    def beyond(self, values: Doubles) -> float:
        """What values [P] cost before any picture is looked at: half their squared distance from what is expected."""
        away = (values - self.mean) / self.deviation
        return float(0.5 * (away @ away + ((self.ties @ values) ** 2).sum()) + self.sparse @ values)


def numbers_of(moments: Sequence[int], still: Sequence[int], lights: LightPrior, smooth: float = 0.0) -> Parameters:
    """The numbers of some pictures.

    Args:
        moments: Of each picture, its moment, counted from 0.
        still: Moments whose face is neutral: their action units are 0 and no numbers.
        lights: For the mean elevation of the key.
        smooth: Steps by which an action unit changes from a moment to the next, standard deviation; 0 is any number.
    """
    moving = [moment for moment in dict.fromkeys(moments) if moment not in still]
    parts: list[tuple[Block, Columns]] = [
        (("axes", 0), _axes()),
        (("shape", 0), _coordinates(COORDINATES)),
        (("tone", 0), _coordinates(TONES)),
    ]
    for moment in dict.fromkeys(moments):
        if moment in moving:
            parts.append((("au", moment), _action_units()))
        parts.append((("gaze", moment), _gaze()))
    for picture in range(len(moments)):
        parts += [(("camera", picture), _camera()), (("light", picture), _light(lights))]
    slices: dict[Block, slice] = {}
    columns: dict[str, list[Doubles]] = {name: [] for name in ("mean", "deviation", "low", "high", "sparse", "step")}
    defaults = {"low": -np.inf, "high": np.inf, "sparse": 0.0}
    count = 0
    for block, given in parts:
        length = len(np.asarray(given["mean"]))
        slices[block], count = slice(count, count + length), count + length
        for name, rows in columns.items():
            rows.append(np.broadcast_to(np.asarray(given.get(name, defaults.get(name)), float), (length,)))
    joined = {name: np.concatenate(rows) for name, rows in columns.items()}
    return Parameters(slices, tuple(moments), ties=_ties(slices, moving, count, smooth), **joined)


def _axes() -> Columns:
    mean, deviation, low, high = (np.array(row) for row in (AXES_MEAN, AXES_DEVIATION, AXES_LOW, AXES_HIGH))
    return {"mean": mean, "deviation": deviation, "low": low, "high": high, "step": COORDINATE_STEP * deviation}


def _gaze() -> Columns:
    return {"mean": np.zeros(2), "deviation": GAZE_DEVIATION, "low": -MOST_GAZE, "high": MOST_GAZE, "step": GAZE_STEP}


def _camera() -> Columns:
    return {"mean": np.array(CAMERA_MEAN), "deviation": np.array(CAMERA_DEVIATION), "step": np.array(CAMERA_STEP)}


def _coordinates(count: int) -> Columns:
    return {"mean": np.zeros(count), "deviation": 1.0, "step": COORDINATE_STEP}


def _action_units() -> Columns:
    rows = []
    for number in AU_NUMBERS:
        often = number in PAIN_AUS or number in CO_OCCURRING_AUS
        sparse = 0.0 if number in PAIN_AUS else CO_OCCURRING_SPARSE if often else OTHER_SPARSE
        if number == 43:
            rows += [(1.0, 1.0, sparse, LID_STEP)] * 2
        else:
            rows += [(PAIN_DEVIATION if often else OTHER_DEVIATION, MAX_INTENSITY, sparse, AU_STEP)] * 2
    deviation, high, cost, step = np.array(rows).T
    mean = np.zeros(len(rows))
    return {"mean": mean, "deviation": deviation, "low": 0.0, "high": high, "sparse": cost, "step": step}


def _light(lights: LightPrior) -> Columns:
    height, spread = lights.elevation
    return {
        "mean": np.array([0.0] * LAMPS + [0.0, height]),
        "deviation": np.array([1.0] * LAMPS + [KEY_DEVIATION, spread]),
        "low": np.array([-np.inf] * LAMPS + [-110.0, -60.0]),
        "high": np.array([np.inf] * LAMPS + [110.0, 85.0]),
        "step": np.array([COORDINATE_STEP] * LAMPS + [KEY_STEP] * 2),
    }


def _ties(slices: dict[Block, slice], moving: Sequence[int], count: int, smooth: float) -> Doubles:
    """Left as right; with `smooth` a moment as the one before."""
    rows = []
    for place, moment in enumerate(moving):
        first = slices["au", moment].start
        for row, number in enumerate(AU_NUMBERS):
            tie = np.zeros(count)
            tie[first + 2 * row], tie[first + 2 * row + 1] = 1, -1
            rows.append(tie / (LIDS_DIFFER if number == 43 else SIDES_DIFFER))
        if smooth and place:
            before = slices["au", moving[place - 1]].start
            for side in range(2 * len(AU_NUMBERS)):
                tie = np.zeros(count)
                tie[first + side], tie[before + side] = 1, -1
                rows.append(tie / smooth)
    return np.array(rows).reshape(-1, count)
