"""Knows how rendered faces lie beside photographs: statistics of skin patches, and how well a classifier tells them.

Where photographs come from few hands (a studio each), what they share may be the studio's, so the classifier is also
asked of a source that it was not fitted to, and every interval draws people again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.console.progress import Progress
from pain3d.face.detect import CENTERFACE
from pain3d.face.landmarker import LANDMARKER, Landmarker
from pain3d.judge.drawing import new_plot, saved
from pain3d.judge.extra import WHEELS, described
from pain3d.judge.measures import median, percent, ranking
from pain3d.judge.patches import NAMES, eyes_apart, face_statistics
from pain3d.judge.photographs import Portrait, as_frame, photograph_files, photographed
from pain3d.judge.telling import LEAST_PEOPLE, Told, told_apart
from pain3d.judge.verdict import Cell, Figure, Measure, Table, Verdict
from pain3d.pipeline.contact_sheet import picture_of
from pain3d.pipeline.data_set import DataSet
from pain3d.random import keyed_generator

Floats = npt.NDArray[np.floating]

OURS: Final = "frames"
TITLE: Final = "Beside photographs"
MEDIANS: Final = "medians inside the photographs' 95 %"
MIDDLE: Final = (2.5, 97.5)  # per cent
DRAWS: Final = 1000
SEED: Final = 0
COLUMNS: Final = ("sample_id", "image", "identity_id", "yaw_degrees")
MOST_YAW: Final = 30.0  # beyond it no frame passes `MOST_TURNED`, so none is looked at


class Faces(NamedTuple):
    """Faces of one kind: `numbers` [N, 17] of NAMES, whose they are and where they come from."""

    numbers: Floats
    people: list[str]
    sources: list[str]


def judge_photo(data: DataSet, folder: Path | None, most: int, eyes: int, quiet: bool) -> Verdict:
    """Compare at most so many frames, those that are near-frontal, with the photographs of wheels and of a folder.

    Raises:
        RefusedError: A detector or a photograph is not installed, or the folder holds none.
    """
    files = photograph_files(folder)
    frames, apart = seen_frames(data, most, eyes, quiet)
    photographs = photographed(files, apart, eyes, quiet)
    for faces, what in ((frames, "frame"), (photographs, "photograph")):
        if not faces:
            words = f"Nothing to compare: no {what} shows a near-frontal face with eyes {eyes} pixels apart (--eyes)."
            return Verdict("photo", TITLE, words, [Measure(MEDIANS, float("nan"), f"of {len(NAMES)}")])
    return summarise(measured(photographs, eyes), measured(frames, eyes), eyes)


def seen_frames(data: DataSet, most: int, eyes: int, quiet: bool) -> tuple[list[Portrait], float]:
    """The near-frontal frames that MediaPipe sees, and how far apart eyes are in them: pixels, median."""
    keep = data.spread(most)
    kept: list[Portrait] = []
    wide: list[float] = []
    with Landmarker() as landmarker, Progress(len(keep), quiet=quiet) as progress:
        for row in data.rows("frames", COLUMNS, keep):
            progress.add(1)
            picture = picture_of(row)
            reading = landmarker.read(picture) if abs(row["yaw_degrees"]) <= MOST_YAW else None
            if reading is None:
                continue
            wide.append(eyes_apart(reading.ibug))
            face = as_frame(picture, reading.ibug, float("inf"), eyes)
            if face is not None:
                kept.append(Portrait(OURS, f"{OURS}/{row['identity_id']}", face))
    return kept, median(wide)


def measured(portraits: Sequence[Portrait], eyes: int) -> Faces:
    """The statistics of faces; those without a patch inside their crop are left out."""
    numbers = np.array([face_statistics(portrait.face, eyes) for portrait in portraits]).reshape(-1, len(NAMES))
    known = np.isfinite(numbers).all(1)
    kept = [portrait for portrait, is_known in zip(portraits, known, strict=True) if is_known]
    return Faces(numbers[known], [p.person for p in kept], [p.source for p in kept])


def summarise(real: Faces, ours: Faces, eyes: int) -> Verdict:
    """Tables and a figure; the measures: how many statistics lie where photographs' do, what the classifier reached."""
    rows = statistics_rows(real, ours)
    inside = sum(row[8] == "yes" for row in rows)
    measures = [Measure(MEDIANS, float(inside), f"of {len(NAMES)}")]
    tables = [
        Table(
            "Skin and light of photographs and of frames",
            ("statistic", "photographs, median", "2.5 %", "97.5 %", "frames, median", "2.5 %", "97.5 %",
             "frames outside, % (95 % interval)", "median inside", "told by it alone, AUC"),
            rows,
            f"Eyes {eyes} pixels apart; a face's number is the median of its patches. Intervals draw people of "
            "both kinds again.",
        ),
        _sources_table(real, ours),
    ]  # fmt: skip
    people = min(len(set(real.people)), len(set(ours.people)))
    if people >= LEAST_PEOPLE:
        told = classified(real, ours)
        for name, one in told.items():
            measures.append(Measure(f"told apart, {name}: accuracy", one.accuracy[0], "%"))
            measures.append(Measure(f"told apart, {name}: AUC", one.area[0]))
        tables.append(_told_table(told))
    words = (
        f"{len(ours.people)} near-frontal frames of {len(set(ours.people))} people beside {len(real.people)} "
        f"photographs of {len(set(real.people))} people. Both are cut to the same size and saved by the same JPEG. "
    )
    if people < LEAST_PEOPLE:
        words += f"With fewer than {LEAST_PEOPLE} people no classifier is fitted: --photographs brings more."
    return Verdict(
        "photo",
        TITLE,
        words,
        measures,
        tables,
        [Figure("photo", "Photographs (black) and frames (red), a point each.", _plot(real, ours))],
        {
            "frames": len(ours.people), "photographs": len(real.people), "eyes": eyes,
            **described(LANDMARKER, CENTERFACE, *WHEELS),
        },
    )  # fmt: skip


def statistics_rows(real: Faces, ours: Faces) -> tuple[tuple[Cell, ...], ...]:
    """A row for each statistic, those that tell the two apart best first."""
    outside = shares_outside(real, ours)
    rows: list[tuple[Cell, ...]] = []
    truth = np.r_[np.ones(len(real.people), bool), np.zeros(len(ours.people), bool)]
    for place, name in enumerate(NAMES):
        first, second = real.numbers[:, place], ours.numbers[:, place]
        low, high = (float(v) for v in np.percentile(first, MIDDLE))
        share, least, most = outside[place]
        rows.append((
            name, median(first), low, high, median(second), *(float(v) for v in np.percentile(second, MIDDLE)),
            f"{share:.0f} ({least:.0f}–{most:.0f})", "yes" if low <= median(second) <= high else "no",
            ranking(np.r_[first, second], truth),
        ))  # fmt: skip
    return tuple(sorted(rows, key=lambda row: -abs(float(row[9] or 0) - 0.5)))


def shares_outside(real: Faces, ours: Faces) -> Floats:
    """Per cent of our faces outside the photographs' middle 95 %, and its 95 % interval, [17, 3]; by drawing people."""

    def share(first: Floats, second: Floats) -> Floats:
        low, high = np.percentile(first, MIDDLE, axis=0)
        return np.asarray([percent(column) for column in ((second < low) | (second > high)).T])

    generator = keyed_generator(SEED, "judge/photo/outside")
    drawn = [share(real.numbers[_again(real, generator)], ours.numbers[_again(ours, generator)]) for _ in range(DRAWS)]
    return np.stack([share(real.numbers, ours.numbers), *np.percentile(drawn, MIDDLE, axis=0)], 1)


def _again(faces: Faces, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows of as many people as there are, drawn with replacement."""
    _, person = np.unique(np.asarray(faces.people), return_inverse=True)
    counts = np.bincount(generator.integers(0, person.max() + 1, person.max() + 1), minlength=person.max() + 1)
    return np.repeat(np.arange(len(person)), counts[person])


def classified(real: Faces, ours: Faces) -> dict[str, Told]:
    """What the classifier reached: people it was not fitted to, and where there are several, sources likewise."""
    numbers = np.concatenate([real.numbers, ours.numbers])
    truth = np.r_[np.ones(len(real.people), bool), np.zeros(len(ours.people), bool)]
    people, sources = real.people + ours.people, real.sources + ours.sources
    told = {"unseen people": told_apart(numbers, truth, people, None, SEED)}
    if len(set(real.sources)) > 1:
        told["unseen sources"] = told_apart(numbers, truth, people, sources, SEED)
    return told


def _told_table(told: dict[str, Told]) -> Table:
    rows = tuple(
        (name, acc[0], f"{acc[1]:.1f}–{acc[2]:.1f}", area[0], f"{area[1]:.3f}–{area[2]:.3f}")
        for name, (acc, area, _) in told.items()
    )  # fmt: skip
    weights = next(iter(told.values())).weights
    order = np.argsort(-np.abs(weights))[:6]
    heaviest = ", ".join(f"{NAMES[place]} {weights[place]:+.2f}" for place in order)
    return Table(
        "Photograph or frame: a logistic regression on the statistics above",
        ("asked of", "accuracy, %", "95 % interval", "AUC", "95 % interval"),
        rows,
        f"50 % and 0.5 are guessing. Heaviest (standardised, + speaks for a photograph): {heaviest}.",
    )


def _sources_table(real: Faces, ours: Faces) -> Table:
    """Where faces come from, how many, and medians of the statistics that differ most between sources."""
    shown = (0, 3, 7, 13, 15)
    rows: list[tuple[Cell, ...]] = []
    for faces in (real, ours):
        for source, count in sorted(Counter(faces.sources).items()):
            mine = np.array([name == source for name in faces.sources])
            people = len({p for p, is_mine in zip(faces.people, mine, strict=True) if is_mine})
            rows.append((source, people, count, *(median(faces.numbers[mine, place]) for place in shown)))
    return Table("Sources", ("source", "people", "faces", *(NAMES[place] for place in shown)), tuple(rows))


def _plot(real: Faces, ours: Faces) -> bytes:
    """A panel for each statistic: every face a point, each source of photographs a row, the frames below."""
    columns = 4
    figure, axes = new_plot(columns, -(-len(NAMES) // columns), 3.6, 2.0)
    sources = sorted(set(real.sources))
    generator = keyed_generator(SEED, "judge/photo/plot")
    for place, axis in enumerate(axes.flat):
        axis.set_visible(place < len(NAMES))
        if place >= len(NAMES):
            continue
        for line, source in enumerate([*sources, OURS]):
            faces: Any = ours if source == OURS else real
            values = faces.numbers[[name == source for name in faces.sources], place]
            height = -line + generator.uniform(-0.3, 0.3, len(values))
            axis.plot(values, height, ".", markersize=2.5, alpha=0.6, color="#c2410c" if source == OURS else "#1c1c1e")
        for edge in np.percentile(real.numbers[:, place], MIDDLE):
            axis.axvline(edge, color="#1c1c1e", linewidth=0.8, linestyle=":")
        axis.set(title=NAMES[place])
        axis.set_yticks([-line for line in range(len(sources) + 1)], [*sources, OURS], fontsize=7)
    return saved(figure)
