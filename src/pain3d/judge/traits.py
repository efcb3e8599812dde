"""Knows the probe of traits: half of the people teach a small net age and sex, from a neutral picture; others test it.

The net sees from above the brows to the chin and no more: hair would tell too much. Beside it a straight line through
68 landmarks in space, of the neutral head, their size taken out, says how much of both is in the geometry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.face.square import cut
from pain3d.judge.drawing import new_plot, saved
from pain3d.judge.measures import correlation, ranking
from pain3d.judge.probe import LEAST_PEOPLE, taught_half
from pain3d.judge.verdict import Cell, Figure, Measure, Table, Verdict
from pain3d.pipeline.contact_sheet import picture_of
from pain3d.pipeline.data_set import DataSet, scene_of
from pain3d.random import keyed_generator

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

LEAST_AGE_R, LEAST_SEX_AUC = 0.90, 0.95
SIDE, STRAY = 64, 4  # pixels of what the net sees, and around it, within which it is shifted
INNER = slice(17, 68)  # landmarks of brows, nose, eyes, mouth
CHIN = 8
BATCH, RATE = 64, 2e-3
WIDTHS = (24, 48, 96, 128)
AGE_SCALE = 20.0  # years: about the standard deviation of a balanced data set
RIDGE = 3.0  # added to the variance of each of the landmarks' coordinates, which is 1
FACIAL = slice(68)  # of the landmarks: those of iBUG
COLUMNS = ("sample_id", "identity_id", "expression_id", "image", "landmarks_2d", "age", "sex", "scene")


class Faces(NamedTuple):
    """Neutral pictures: crops [N, side, side, 3], whose [N], years [N], whether men [N], landmarks in space [N, D]."""

    crops: Bytes
    subject: npt.NDArray[np.int64]
    age: Floats
    man: npt.NDArray[np.bool_]
    shape: Floats


class Said(NamedTuple):
    """Years and a score of being a man, of each picture [N]."""

    age: Floats
    man: Floats


def judge_traits(data: DataSet, steps: int, quiet: bool) -> Verdict:
    """Teach with half of the people, ask about the others.

    Raises:
        RefusedError: Too few people, or one half lacks women or men.
    """
    faces = read_faces(data, quiet)
    teaches = taught_half(faces.subject)
    people = len(np.unique(faces.subject))
    if people < LEAST_PEOPLE or any(len(np.unique(faces.man[half])) < 2 for half in (teaches, ~teaches)):
        raise RefusedError(f"{data.out}: the probe needs {LEAST_PEOPLE} people, women and men in both halves")
    return summarise(faces, ~teaches, teach(faces, teaches, steps, quiet), draw_line(faces, teaches), steps)


def read_faces(data: DataSet, quiet: bool) -> Faces:
    """The neutral pictures of a data set whose face lies in the picture."""
    from pain3d.head import Head

    head = Head.default()
    crops, subject, age, man, shape = [], [], [], [], []
    shapes: dict[int, Floats] = {}
    total = len(data.columns("frames", ["sample_id"])["sample_id"])
    with Progress(total, quiet=quiet) as progress:
        for row in data.rows("frames", COLUMNS):
            progress.add(1)
            if row["expression_id"] != 0:
                continue
            number = int(row["identity_id"])
            if number not in shapes:
                points = head.landmark_points(head(scene_of(row).identity).vertices[0], FACIAL).double().numpy()
                points = points - points.mean(0)
                shapes[number] = (points / np.sqrt((points**2).sum(1).mean())).ravel()
            crops.append(inner_face(picture_of(row), row["landmarks_2d"]))
            subject.append(number)
            age.append(float(row["age"]))
            man.append(row["sex"] == "male")
            shape.append(shapes[number])
    return Faces(np.array(crops), np.array(subject), np.array(age), np.array(man), np.array(shape))


def inner_face(picture: Bytes, landmarks: npt.ArrayLike) -> Bytes:
    """A square from above the brows to the chin, [SIDE + 2 STRAY, …, 3]."""
    points = np.asarray(landmarks, float)[:68]
    seen = np.concatenate([points[INNER], points[CHIN : CHIN + 1]])
    low, high = seen.min(0), seen.max(0)
    x, y = (low + high) / 2
    side = 1.12 * float((high - low).max()) * (SIDE + 2 * STRAY) / SIDE
    return cut(picture, float(x), float(y), side, SIDE + 2 * STRAY)


def small_net() -> nn.Module:
    """Four layers, each half the size of the one before, and two numbers: age in `AGE_SCALE`, log-odds of a man."""
    layers: list[nn.Module] = []
    for before, width in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
        layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * WIDTHS[-1], 2))


def teach(faces: Faces, teaches: npt.NDArray[np.bool_], steps: int, quiet: bool) -> Said:
    """What a net says of every picture that was taught by those in `teaches` [N]; batches by key."""
    rows = np.flatnonzero(teaches)
    middle = float(faces.age[rows].mean())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = small_net()
        optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
        with Progress(steps, quiet=quiet) as progress:
            for step in range(steps):
                for group in optimiser.param_groups:
                    group["lr"] = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
                generator = keyed_generator(0, "judge/traits", step)
                chosen = generator.choice(rows, BATCH)
                said = net(varied(faces.crops[chosen], generator))
                years = torch.from_numpy((faces.age[chosen] - middle) / AGE_SCALE).float()
                man = torch.from_numpy(faces.man[chosen]).float()
                loss = functional.smooth_l1_loss(said[:, 0], years)
                loss = loss + functional.binary_cross_entropy_with_logits(said[:, 1], man)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                progress.add(1)
        net.eval()
        inside = slice(STRAY, STRAY + SIDE)
        answers = []
        with torch.no_grad():
            for part in np.array_split(faces.crops, max(1, len(faces.crops) // 256)):
                seen = as_seen(torch.from_numpy(part[:, inside, inside]))
                answers.append(0.5 * (net(seen) + net(seen.flip(3))))
    said = torch.cat(answers).double().numpy()
    return Said(middle + AGE_SCALE * said[:, 0], said[:, 1])


def varied(crops: Bytes, generator: np.random.Generator) -> Tensor:
    """Crops as the net sees them, shifted, mirrored and lit otherwise."""
    count = len(crops)
    right, down = generator.integers(0, 2 * STRAY + 1, (2, count))
    moved = np.stack([c[y : y + SIDE, x : x + SIDE] for c, x, y in zip(crops, right, down, strict=True)])
    turned = generator.random(count) < 0.5
    moved[turned] = moved[turned, :, ::-1]
    seen = as_seen(torch.from_numpy(moved))
    gain, lift = (torch.from_numpy(generator.normal(0, 0.15, (count, 3, 1, 1))).float() for _ in range(2))
    return seen * gain.exp() + lift


def as_seen(crops: Tensor) -> Tensor:
    """Bytes [N, h, w, 3] as [N, 3, h, w], each channel of each picture with mean 0 and deviation 1."""
    seen = crops.permute(0, 3, 1, 2).float()
    return (seen - seen.mean((2, 3), keepdim=True)) / (seen.std((2, 3), keepdim=True) + 4)


def draw_line(faces: Faces, teaches: npt.NDArray[np.bool_]) -> Said:
    """What ridge regression on the landmarks says of every picture."""
    middle, spread = faces.shape[teaches].mean(0), faces.shape[teaches].std(0) + 1e-9
    design = np.concatenate([(faces.shape - middle) / spread, np.ones((len(faces.shape), 1))], 1)
    known = design[teaches]
    targets = np.stack([faces.age, 2.0 * faces.man - 1], 1)
    penalty = RIDGE * len(known) / known.shape[1] * np.eye(known.shape[1])
    penalty[-1, -1] = 0
    weights = np.linalg.solve(known.T @ known + penalty, known.T @ targets[teaches])
    age, man = (design @ weights).T
    return Said(age, man)


def summarise(faces: Faces, asked: npt.NDArray[np.bool_], net: Said, line: Said, steps: int) -> Verdict:
    """Scores on the people of `asked` [N], by age, and a figure."""
    age, man = faces.age[asked], faces.man[asked]
    rows: list[tuple[Cell, ...]] = []
    for low, high in ((18, 35), (35, 55), (55, 75), (75, 96)):
        for word, sex in (("women", False), ("men", True)):
            inside = asked & (faces.age >= low) & (faces.age < high) & (faces.man == sex)
            if inside.any():
                off, straight = net.age[inside] - faces.age[inside], line.age[inside] - faces.age[inside]
                rows.append(
                    (f"{word}, {low}–{high - 1}", int(inside.sum()), float(off.mean()), float(np.abs(off).mean()),
                     float(np.abs(straight).mean()))
                )  # fmt: skip
    measures = [
        Measure("age, r on unseen people", correlation(net.age[asked], age), "", LEAST_AGE_R),
        Measure("age, mean error", float(np.abs(net.age[asked] - age).mean()), "years"),
        Measure("sex, AUC on unseen people", ranking(net.man[asked], man), "", LEAST_SEX_AUC),
        Measure("age from 68 landmarks alone, r", correlation(line.age[asked], age)),
        Measure("sex from 68 landmarks alone, AUC", ranking(line.man[asked], man)),
    ]
    figure, axes = new_plot(1, 1, 4.2, 3.8)
    axes[0, 0].plot([18, 95], [18, 95], color="#6b6965", linewidth=1)
    axes[0, 0].scatter(age, net.age[asked], s=10, c=np.where(man, "#1d4ed8", "#c2410c"), alpha=0.6)
    axes[0, 0].set(xlabel="age", ylabel="age said")
    return Verdict(
        "traits",
        "Age and sex",
        f"A small conv net sees one neutral picture from above the brows to the chin, {SIDE}²; {steps} steps of "
        f"{BATCH} pictures from half of the people, tested on {int(asked.sum())} pictures of the others. Beside it "
        "a straight line through 68 landmarks in space without their size. Both are generator axes.",
        measures,
        [
            Table(
                "By group, years",
                ("group", "pictures", "said less true", "mean error", "mean error of landmarks"),
                tuple(rows),
            )
        ],
        [Figure("traits", "Age said of unseen people by their age; blue men, orange women.", saved(figure))],
        {"steps": steps, "pictures_tested": int(asked.sum())},
    )
