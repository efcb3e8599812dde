"""Knows the AU probe: half of a data set's people teach a small network, the others ask it; what wrinkle maps add.

The data should be drawn by the independent law, with a camera, light and background of its own for every picture: where
action units come together, a network that knows only how bad it is looks as if it knew each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.face.square import SQUARE_COLUMNS, cut, face_square
from pain3d.judge.drawing import new_plot, saved
from pain3d.judge.measures import correlation, partial_correlation, ranking, yaw_bin
from pain3d.judge.verdict import Cell, Figure, Measure, Table, Verdict
from pain3d.pipeline.contact_sheet import decode
from pain3d.pipeline.data_set import DataSet

if TYPE_CHECKING:
    from pain3d.judge.probe_net import Pool

Floats = npt.NDArray[np.float64]

UNITS = ("AU04", "AU06", "AU07", "AU09", "AU10", "AU43")  # AU43 last: open or shut
LEAST_R, LEAST_AUC = 0.80, 0.99
CROP = 128  # pixels a side that are kept of a face; the net sees 112 of them
GRID = 24  # identities that hold each demographic cell once: halves are taken in such blocks where there are enough
LEAST_PEOPLE = 4
SEED = 0
COLUMNS = (
    "identity_id", "expression_id", "view_id", "image", *SQUARE_COLUMNS, "yaw_degrees", *UNITS,
)  # fmt: skip


@dataclass(frozen=True)
class Crops:
    """Faces of a data set, in the order of identity, expression and view.

    Attributes:
        pixels: [N, CROP, CROP, 3] uint8.
        labels: [N, 6] as UNITS.
        identity: [N].
        expression: [N]; 0 is neutral.
        yaw: [N] degrees.
    """

    pixels: npt.NDArray[np.uint8]
    labels: Floats
    identity: npt.NDArray[np.int64]
    expression: npt.NDArray[np.int64]
    yaw: Floats


@dataclass(frozen=True)
class Answers:
    """What a probe said of the pain pictures of people whom it had never seen, [N, 6], and what was true."""

    said: Floats
    true: Floats
    yaw: Floats
    known: Floats
    known_true: Floats

    def scores(self) -> list[float]:
        """Pearson's r for each intensity, the area under the curve for AU43."""
        return _scores(self.said, self.true)


def _scores(said: Floats, true: Floats) -> list[float]:
    return [*(correlation(said[:, i], true[:, i]) for i in range(5)), ranking(said[:, 5], true[:, 5])]


def judge_probe(data: DataSet, ablation: DataSet | None, *, steps: int, neutral: bool, quiet: bool) -> Verdict:
    """Train and test; with `ablation`, the same again on a data set without wrinkle maps."""
    answers = run_probe(data, steps, neutral, quiet)
    without = run_probe(ablation, steps, neutral, quiet) if ablation is not None else None
    return summarise(data, answers, without, steps, neutral)


def run_probe(data: DataSet, steps: int, neutral: bool, quiet: bool) -> Answers:
    """Teach a probe with half of the people and ask it about the others.

    Raises:
        RefusedError: Too few people, or one of them without a neutral or a pain picture.
    """
    from pain3d.judge.probe_net import PEOPLE, PICTURES, ask, train

    crops = read_crops(data)
    taught = taught_half(crops.identity)
    pool, others = _pool(data, crops, taught), _pool(data, crops, ~taught)
    with Progress(steps * PEOPLE * PICTURES + len(crops.pixels), quiet=quiet) as progress:
        net = train(pool, steps, SEED, neutral, progress.add)
        known = np.asarray(ask(net, pool, progress.add), np.float64)
        said = np.asarray(ask(net, others, progress.add), np.float64)
    pain = crops.expression > 0
    return Answers(
        said[pain[~taught]],
        crops.labels[~taught & pain],
        crops.yaw[~taught & pain],
        known[pain[taught]],
        crops.labels[taught & pain],
    )


def read_crops(data: DataSet) -> Crops:
    """Cut every face out of its frame."""
    rows: list[tuple[tuple[int, int, int], Any, list[float], float]] = []
    for row in data.rows("frames", COLUMNS):
        key = (row["identity_id"], row["expression_id"], row["view_id"])
        pixels = cut(decode(row["image"]["bytes"]), *face_square(*(row[name] for name in SQUARE_COLUMNS)), CROP)
        rows.append((key, pixels, [row[unit] for unit in UNITS], row["yaw_degrees"]))
    rows.sort(key=lambda row: row[0])
    return Crops(
        np.stack([row[1] for row in rows]),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[0][0] for row in rows]),
        np.array([row[0][1] for row in rows]),
        np.array([row[3] for row in rows], np.float64),
    )


def taught_half(identity: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which pictures teach: those of every second block of GRID identities, or of every second identity of a few."""
    numbers = np.unique(identity)
    block = GRID if len(numbers) >= 2 * GRID else 1
    return np.asarray(np.searchsorted(numbers, identity) // block % 2 == 0)


def _pool(data: DataSet, crops: Crops, chosen: npt.NDArray[np.bool_]) -> Pool:
    """Pictures, labels, people and neutral places of the chosen half, as tensors."""
    import torch

    identity, expression = crops.identity[chosen], crops.expression[chosen]
    numbers, person = np.unique(identity, return_inverse=True)
    everybody = len(np.unique(crops.identity))
    if everybody < LEAST_PEOPLE:
        raise RefusedError(f"{data.out}: the probe needs {LEAST_PEOPLE} identities, there are {everybody}")
    places = [np.flatnonzero((person == p) & (expression == 0)) for p in range(len(numbers))]
    fewest = min(len(place) for place in places)
    if fewest == 0 or not (expression > 0).any():
        raise RefusedError(f"{data.out}: the probe needs a neutral and a pain picture of each identity")
    return (
        torch.from_numpy(crops.pixels[chosen]),
        torch.from_numpy(crops.labels[chosen].astype(np.float32)),
        torch.from_numpy(person.astype(np.int64)),
        torch.from_numpy(np.stack([place[:fewest] for place in places])),
    )


def summarise(data: DataSet, answers: Answers, without: Answers | None, steps: int, neutral: bool) -> Verdict:
    """Scores by action unit and yaw, what the wrinkle maps add, and a figure."""
    scores = answers.scores()
    names = [f"AU{int(unit[2:])}" for unit in UNITS]
    measures = [Measure(f"{n}, r on unseen people", s, "", LEAST_R) for n, s in zip(names[:5], scores, strict=False)]
    measures.append(Measure("AU43, AUC on unseen people", scores[5], "", LEAST_AUC))
    pspi_said, pspi_true = _pspi(answers.said), _pspi(answers.true)
    measures.append(Measure("PSPI of what it says, r", correlation(pspi_said, pspi_true)))
    known = _scores(answers.known, answers.known_true)
    eyes_open = answers.true[:, 5] == 0  # a shut lid hides what tightens it
    looking = [*_scores(answers.said[eyes_open], answers.true[eyes_open])[:5], None]
    rows: list[tuple[Cell, ...]] = []
    for i, name in enumerate(names):
        error = float(np.abs(answers.said[:, i] - answers.true[:, i]).mean())
        partial = partial_correlation(answers.said[:, i], answers.true[:, i], pspi_true)
        rows.append((name, scores[i], looking[i], known[i], error, partial))
    tables = [
        Table(
            "By action unit",
            (
                "action unit",
                "unseen people",
                "eyes open",
                "people it learnt from",
                "mean error",
                "partial r given PSPI",
            ),
            tuple(rows),
            "Pearson's r of the intensity; for AU43 the area under the curve, and the error is of a chance.",
        ),
        _yaw_table(names, answers),
    ]
    if without is not None:
        plain = without.scores()
        lines = [(n, s, p, s - p) for n, s, p in zip(names, scores, plain, strict=True)]
        tables.insert(
            0, Table("What wrinkle maps add", ("action unit", "with", "geometry only", "difference"), tuple(lines))
        )
    law = data.resolved.get("law", "unknown")
    people = "and the person's neutral face " if neutral else ""
    return Verdict(
        "probe",
        "Action unit probe",
        f"A conv net of 1.6 million weights sees the face {people}and says six action units; {steps} steps of 64 "
        f"pictures from half of the people, tested on {len(answers.true)} pictures of the others. Labels drawn by the "
        f"{law} law.",
        measures,
        tables,
        [Figure("probe", "What it says of unseen people, by what is true: median, half and 90 %.", _plot(answers))],
        {
            "steps": steps,
            "neutral": neutral,
            "law": law,
            "pictures_tested": len(answers.true),
            "scores": dict(zip(names, scores, strict=True)),
            "scores_without_wrinkles": dict(zip(names, without.scores(), strict=True)) if without else None,
        },
    )


def _pspi(au: Floats) -> Floats:
    return np.asarray(au[:, 0] + au[:, 1:3].max(1) + au[:, 3:5].max(1) + au[:, 5])


def _yaw_table(names: list[str], answers: Answers) -> Table:
    bins = np.array([yaw_bin(float(yaw)) for yaw in answers.yaw])
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(set(bins.tolist())):
        inside = bins == name
        rows.append((name, int(inside.sum()), *_scores(answers.said[inside], answers.true[inside])))
    return Table("Unseen people, by |yaw|", ("yaw", "pictures", *names), tuple(rows))


def _plot(answers: Answers) -> bytes:
    figure, axes = new_plot(6, 1, 2.4, 2.6)
    for place, (axis, unit) in enumerate(zip(axes[0], UNITS, strict=True)):
        levels = np.unique(answers.true[:, place].round())
        groups = [answers.said[answers.true[:, place].round() == level, place] for level in levels]
        axis.boxplot(groups, positions=levels, widths=0.6, showfliers=False, whis=(5, 95),
                     medianprops={"color": "#c2410c", "linewidth": 2}, manage_ticks=False)  # fmt: skip
        axis.set(title=f"AU{int(unit[2:])}", xlabel="true", xticks=levels)
    axes[0, 0].set(ylabel="said")
    return saved(figure)
