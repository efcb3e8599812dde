"""Knows how an independent reader answers one action unit at a time: MediaPipe's blendshapes on every identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pain3d.console.progress import Progress
from pain3d.face.landmarker import LANDMARKER, Landmarker, Reading
from pain3d.judge.drawing import Tile, curves, mosaic
from pain3d.judge.extra import described
from pain3d.judge.measures import median, percent, rising
from pain3d.judge.studio import frontal, photograph
from pain3d.judge.verdict import Figure, Measure, Table, Verdict
from pain3d.pipeline.data_set import DataSet, Row, cell_name, scene_of

if TYPE_CHECKING:
    from pain3d.scene import Scene

Floats = npt.NDArray[np.float64]

LEAST_RISING = 90.0  # per cent of identities
LIGHT = "studio"
# The neutral face under other lights: what the reader says of a face that doesn't move is its noise.
NEUTRAL_LIGHTS = tuple((name, azimuth) for name in ("studio", "indoor", "outdoor") for azimuth in (-30.0, 30.0))


@dataclass(frozen=True)
class Ladder:
    """An action unit, its intensities, the blendshape that answers, and whether the judge can be held to it."""

    number: int
    steps: tuple[float, ...]
    blendshape: str
    held: bool

    @property
    def name(self) -> str:
        """``AU4 browDown``."""
        return f"AU{self.number} {self.blendshape}"


STEPS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
LADDERS = (
    Ladder(4, STEPS, "browDown", True),
    Ladder(7, STEPS, "eyeSquint", True),
    Ladder(10, STEPS, "mouthUpperUp", True),
    Ladder(43, (0.0, 1.0), "eyeBlink", True),  # eyes are open or shut
    Ladder(12, STEPS, "mouthSmile", True),
    Ladder(26, STEPS, "jawOpen", True),
    # Information only: on real faces, too, MediaPipe's scores for these two hardly leave 0.
    Ladder(6, STEPS, "cheekSquint", False),
    Ladder(9, STEPS, "noseSneer", False),
)
PICTURES = 1 + sum(len(ladder.steps) - 1 for ladder in LADDERS) + len(NEUTRAL_LIGHTS)  # of an identity


def judge_ladders(data: DataSet, most: int, quiet: bool) -> Verdict:
    """Render and read all ladders of at most so many identities."""
    people, textures = data.neutrals(most), data.textures
    answers: list[dict[str, list[float]]] = []
    noises: list[dict[str, list[float]]] = []
    tiles: list[Tile] = []
    with Landmarker() as landmarker, Progress(len(people) * PICTURES, quiet=quiet) as progress:
        for row in people:
            scene = scene_of(row)
            pictures = ladder_scenes(scene)
            seen, _ = photograph(pictures, textures)
            readings = [landmarker.read(image) for image in seen]
            answers.append({ladder.name: _answers(ladder, readings) for ladder in LADDERS})
            noises.append({ladder.name: _noise(ladder, readings) for ladder in LADDERS})
            if row is people[0]:
                tiles = _tiles(pictures, seen, readings)
            progress.add(PICTURES)
    return summarise(people, answers, noises, tiles)


def ladder_scenes(scene: Scene) -> list[Scene]:
    """The neutral face, every other step of every ladder, and the neutral face under NEUTRAL_LIGHTS, in this order."""
    from pain3d.facs.action_units import ActionUnits

    scenes = [frontal(scene, ActionUnits(), 0, LIGHT)]
    for ladder in LADDERS:
        for step in ladder.steps[1:]:
            scenes.append(frontal(scene, ActionUnits(**{f"AU{ladder.number}": step}), len(scenes), LIGHT))
    for name, azimuth in NEUTRAL_LIGHTS:
        scenes.append(frontal(scene, ActionUnits(), 0, name, azimuth=azimuth))
    return scenes


def _answers(ladder: Ladder, readings: list[Reading | None]) -> list[float]:
    """The blendshape at each step, NaN where no face was seen."""
    first = 1
    for other in LADDERS:
        if other is ladder:
            break
        first += len(other.steps) - 1
    chosen = [readings[0], *readings[first : first + len(ladder.steps) - 1]]
    return [_response(reading, ladder) for reading in chosen]


def _noise(ladder: Ladder, readings: list[Reading | None]) -> list[float]:
    return [_response(reading, ladder) for reading in readings[-len(NEUTRAL_LIGHTS) :]]


def _response(reading: Reading | None, ladder: Ladder) -> float:
    return float("nan") if reading is None else reading.response(ladder.blendshape)


def summarise(
    people: list[Row], answers: list[dict[str, list[float]]], noises: list[dict[str, list[float]]], tiles: list[Tile]
) -> Verdict:
    """Shares of identities that rise, by action unit, and the curves."""
    measures, rows, falling, panels = [], [], {}, {}
    by_cell: dict[str, list[bool]] = {}
    for ladder in LADDERS:
        curve = np.array([answer[ladder.name] for answer in answers], float).reshape(len(answers), len(ladder.steps))
        tolerance = median([np.nanstd(noise[ladder.name]) for noise in noises])
        strict, tolerant = rising(curve), rising(curve, tolerance)
        bar = LEAST_RISING if ladder.held else None
        if ladder.held:
            measures.append(Measure(f"identities on which {ladder.name} rises", percent(tolerant), "%", bar))
            for person, rises in zip(people, tolerant, strict=True):
                by_cell.setdefault(cell_name(person), []).append(bool(rises))
        rows.append(
            (
                ladder.name,
                percent(strict),
                percent(tolerant),
                tolerance,
                float(np.nanmean(curve[:, 0])),
                float(np.nanmean(curve[:, -1])),
                percent(curve[:, -1] - curve[:, 0] > 0),
            )
        )
        falling[ladder.name] = [int(p["identity_id"]) for p, r in zip(people, tolerant, strict=True) if not r]
        panels[ladder.name] = (ladder.steps, curve)
    headings = (
        "action unit, blendshape", "strictly rising %", "rising %", "tolerance", "at 0", "at the top", "top above 0 %",
    )  # fmt: skip
    tables = [
        Table("Response to each action unit", headings, tuple(rows)),
        Table(
            "Ladders that rise, by demographic cell",
            ("cell", "ladders", "rising %"),
            tuple((name, len(rises), percent(rises)) for name, rises in sorted(by_cell.items())),
        ),
    ]
    figures = [Figure("ladders", "A thin line per identity, the mean thick.", curves(panels, "intensity", "score"))]
    if tiles:
        figures.append(Figure("ladders_first", "The first identity, every second step.", mosaic(tiles)))
    return Verdict(
        "ladders",
        "Response ladders",
        f"{len(people)} identities photographed again from the front under the {LIGHT} light, one action unit at a "
        "time, and read by MediaPipe's blendshapes (mean of left and right). Rising: no step falls by more than the "
        "tolerance and the top stands above neutral by more than it. Tolerance: the reader's own noise, the median "
        f"over identities of the deviation of its score on the neutral face under {len(NEUTRAL_LIGHTS)} lights.",
        measures,
        tables,
        figures,
        {
            "identities": len(people),
            "not_rising": falling,
            "mean_curves": {n: [round(float(v), 4) for v in np.nanmean(c, 0)] for n, (_, c) in panels.items()},
            **described(LANDMARKER),
        },
    )


def _tiles(scenes: list[Scene], seen: npt.NDArray[np.uint8], readings: list[Reading | None]) -> list[Tile]:
    tiles = []
    place = 1
    for ladder in LADDERS:
        for step, number in zip(ladder.steps[1:], range(place, place + len(ladder.steps) - 1), strict=True):
            if step in (1.0, 3.0, 5.0):
                score = _response(readings[number], ladder)
                tiles.append(Tile(seen[number], f"{ladder.name} at {step:g}: {score:.2f}"))
        place += len(ladder.steps) - 1
    return tiles
