"""Knows what a net reaches in styles that it has never seen, with styles in its training and without, in one table.

    python -m benchmarks.held_out_styles DATA RUNS --to docs/training/styles --photographs FOLDER

DATA is a data set that `pain3d synth` made; its test people are shown as they are and in styles that no training
draws. Two are near what training can draw, so the rows with styles learn without these families: grey pictures and
JPEG. All rows get their first seed before any gets its second, and the table is written anew after each run. A run that
was stopped goes on, and one that is finished isn't run again, so the command can be given again and again. `--arms`
also takes rows of OTHERS, and ``only NAME`` and ``without NAME`` of a family: what each brings.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
import torch

from benchmarks.flat_shading import paint_flat
from benchmarks.limits import processor
from benchmarks.measure import commit_of
from pain3d.console.refused import RefusedError
from pain3d.doors.parquet import open_parquet
from pain3d.doors.paths import named_file
from pain3d.files import write_durably
from pain3d.random import keyed_generator
from pain3d.scene import Scene
from pain3d.training.config import STYLES
from pain3d.training.data import open_data
from pain3d.training.data.augmentation import centre_crop
from pain3d.training.data.batch import RawBatch
from pain3d.training.data.batches import crop_side, ordered_batches
from pain3d.training.data.parquet import read_manifest
from pain3d.training.data.samples import Samples
from pain3d.training.data.store import CropStore
from pain3d.training.model.factory import Model
from pain3d.training.model.pretrained import load_pretrained
from pain3d.training.prediction import predict, split_rows
from pain3d.training.score.portrait import read_portrait

Pixels = npt.NDArray[np.uint8]
SEEN: Final = "all-grey-jpeg"  # what training draws: nothing of the styles below
MAIN: Final = {  # each has one thing more than the row before
    "attention, colours": ("--fusion", "attention", "--no-local-contrast", "--styles", "none"),
    "attention": ("--fusion", "attention", "--styles", "none"),
    "difference": ("--styles", "none"),
    "difference, few styles": ("--styles", SEEN, "--style-strength", "0.3"),
}
OTHERS: Final = {
    "difference, colours": ("--no-local-contrast", "--styles", "none"),
    "difference, styles": ("--styles", SEEN),
    "difference, no pairs": ("--pair-weight", "0", "--styles", "none"),
}
RESULT: Final = "held_out_styles.json"
PICTURE_ENDS: Final = (".jpg", ".jpeg", ".png", ".webp")


def options_of(arm: str) -> tuple[str, ...]:
    """What a row is trained with. Raises KeyError for no row."""
    word, _, family = arm.partition(" ")
    if word in ("only", "without") and family in STYLES:
        return "--styles", family if word == "only" else f"{SEEN}-{family}"
    return (MAIN | OTHERS)[arm]


def grey_film(picture: Pixels, row: int) -> Pixels:
    """Black and white film: a lens filter's weights, a curve with toe and shoulder, grain."""
    generator = keyed_generator(0, "grey film", row)
    weights = generator.dirichlet((2, 3, 2))
    light = ((picture / 255) ** 2.2) @ weights
    exposure = np.log10(light + 1e-3) + generator.uniform(0.2, 0.6)
    density = 1 / (1 + np.exp(-generator.uniform(2.5, 4.0) * (exposure + 0.6)))  # Hurter and Driffield's shape
    grain = cv2.GaussianBlur(generator.standard_normal(light.shape), (0, 0), 0.7)
    shown = 255 * np.clip(density + 0.04 * grain, 0, 1)
    return np.repeat(shown.astype(np.uint8)[..., None], 3, 2)


def cartoon(picture: Pixels, row: int) -> Pixels:
    """A drawing: areas of few tones (bilateral filter, six levels), and ink where tones change."""
    smooth = picture
    for _ in range(3):
        smooth = cv2.bilateralFilter(smooth, 5, 40, 3)
    space = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32)
    space[..., 0] = np.round(space[..., 0] / 255 * 6) / 6 * 255
    space[..., 1:] = 128 + 1.5 * (space[..., 1:] - 128)
    flat = cv2.cvtColor(np.clip(space, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    ink = cv2.GaussianBlur(light, (0, 0), 0.8) - cv2.GaussianBlur(light, (0, 0), 1.6) < -3
    return np.where(ink[..., None], flat // 4, flat)


def compressed(picture: Pixels, row: int) -> Pixels:
    """Small, through a JPEG of quality 8 to 15, and large again."""
    generator = keyed_generator(0, "compressed", row)
    height, width = picture.shape[:2]
    share = generator.uniform(0.6, 0.8)
    small = cv2.resize(picture, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(small), int(generator.integers(8, 16)), "RGB", "420")
    return cv2.resize(simplejpeg.decode_jpeg(encoded, "RGB"), (width, height), interpolation=cv2.INTER_CUBIC)


@dataclass(frozen=True)
class Restyled:
    """Pictures of a data set in another style; see `pain3d.training.data.samples.Pixels`."""

    pixels: Any
    style: Callable[[Pixels, int], Pixels]

    def picture(self, row: int) -> Pixels:
        """As it was made."""
        return self.style(self.pixels.picture(row), row)

    def heatmap(self, row: int) -> Pixels | None:
        """None: no net that is tested here sees any."""
        return None


def flat_pictures(data: Path, samples: Samples, rows: Sequence[int]) -> dict[int, Pixels]:
    """Pictures of rows, rendered flat."""
    manifest = read_manifest(data)
    scenes: dict[str, Scene] = {}
    for listed in manifest.files("frames"):
        table = open_parquet(named_file(data, listed.path, data / "manifest.json")).read(("sample_id", "scene"))
        scenes |= dict(
            zip(table["sample_id"].to_pylist(), map(Scene.from_json, table["scene"].to_pylist()), strict=True)
        )
    made: dict[int, Pixels] = {}
    for person in np.unique(samples.subject[np.asarray(rows)]):
        own = [row for row in rows if samples.subject[row] == person]
        made |= dict(zip(own, paint_flat([scenes[samples.ids[row]] for row in own]), strict=True))
    return made


def shown_in(data: Path, samples: Samples, rows: Sequence[int]) -> dict[str, Samples]:
    """The samples in each style."""
    flat = flat_pictures(data, samples, rows)
    styles: dict[str, Callable[[Pixels, int], Pixels]] = {
        "as trained": lambda picture, row: picture,
        "grey film": grey_film,
        "cartoon": cartoon,
        "compressed": compressed,
        "flat shading": lambda picture, row: flat[row],
    }
    return {name: replace(samples, pixels=Restyled(samples.pixels, style)) for name, style in styles.items()}


@torch.no_grad()
def same_picture(model: Model, raw: RawBatch) -> npt.NDArray[np.float64]:
    """|PSPI| of crops beside themselves."""
    batch = centre_crop(replace(raw, neutral=None, neutral_of=None), model.config.image_size, "cpu")
    return model(batch.image, batch.image, torch.arange(len(batch.image))[:, None]).pspi.abs().double().numpy()


def test_run(run: Path, shown: dict[str, Samples], rows: npt.NDArray[np.int64], photographs: Sequence[Path]) -> Any:
    """What a run reaches in each style, and with each picture beside itself."""
    model = load_pretrained(run)
    side = crop_side(model.config.image_size)
    ask = partial(predict, num_references=1, device=torch.device("cpu"), precision=torch.float32)
    found: dict[str, Any] = {"styles": {}}
    for name, samples in shown.items():
        store = CropStore(samples, side)
        said, _ = ask(model, store, rows)
        same = np.concatenate([same_picture(model, raw) for raw in ordered_batches(store, rows, 64, 1, False)])
        found["styles"][name] = {
            "r": float(np.corrcoef(said.pspi, said.pspi_true)[0, 1]),
            "mae": float(np.abs(said.pspi - said.pspi_true).mean()),
            "neutral": float(said.pspi[said.neutral].mean()),
            "same, 95 %": float(np.quantile(same, 0.95)),
            "same, most": float(same.max()),
        }
    crops = [read_portrait(path, None, side).crop for path in photographs]
    if crops:
        raw = next(iter(ordered_batches(store, rows[:1], 1, 1, False)))
        said = same_picture(model, replace(raw, image=torch.from_numpy(np.stack(crops))))
        found["photographs"] = {path.name: float(value) for path, value in zip(photographs, said, strict=True)}
    return found


class Looks:
    """What runs are tested with, made when the first is: a data set's pictures in each style.

    Attributes:
        lock: Held while one is tested or told of; runs are trained beside each other.
    """

    def __init__(self, data: Path, samples: Samples, rows: npt.NDArray[np.int64], photographs: Sequence[Path]) -> None:
        self.lock = Lock()
        self._data, self._samples, self._rows, self._photographs = data, samples, rows, photographs
        self._shown: dict[str, Samples] = {}

    def test(self, run: Path) -> Any:
        """See `test_run`."""
        with self.lock:
            self._shown = self._shown or shown_in(self._data, self._samples, self._rows.tolist())
            return test_run(run, self._shown, self._rows, self._photographs)


def train_run(arm: str, seed: int, data: Path, runs: Path, budget: Sequence[str]) -> Path:
    """Train one run, or go on with it; its words go to a log beside it."""
    out = runs / f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}"
    if not (out / "model").is_dir():
        command = [sys.executable, "-m", "pain3d", "train", str(out), "--data", str(data), *budget, *options_of(arm)]
        with (runs / f"{out.name}.log").open("w") as log:
            subprocess.run(
                [*command, "--seed", str(seed), "--no-evaluate"],
                check=True, cwd=runs, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
    return out


def table_of(found: dict[str, list[Any]]) -> str:
    """Mean and standard deviation over seeds, a line for each row and style."""
    heads = ("seeds", "PSPI r", "MAE", "on neutral", "same, 95 %", "same, most")
    lines = [f"{'':28s}{'style':14s}" + "".join(f"{head:>14s}" for head in heads)]
    for arm, seeds in found.items():
        for style in seeds[0]["styles"]:
            cells = [f"{len(seeds)}".rjust(14)]
            for name, digits in (("r", 3), ("mae", 2), ("neutral", 2), ("same, 95 %", 2), ("same, most", 2)):
                values = np.array([one["styles"][style][name] for one in seeds])
                spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
                cells.append(f"{values.mean():.{digits}f}{spread}".rjust(14))
            lines.append(f"{arm:28s}{style:14s}{''.join(cells)}")
        if "photographs" in seeds[0]:
            most = [max(one["photographs"].values()) for one in seeds]
            lines.append(f"{arm:28s}{'photographs':14s}{'':70s}{np.mean(most):14.2f}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def main() -> None:
    """Run what is missing, then write the table and its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", default=list(MAIN), metavar="ROW")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--size", type=int, default=112, help="pixels a side that the nets see")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--photographs", type=Path, help="folder of portraits, asked beside themselves")
    parser.add_argument("--beside", type=int, default=os.cpu_count() or 1, help="runs at a time")
    given = parser.parse_args()
    for arm in given.arms:
        try:
            options_of(arm)
        except KeyError:
            parser.error(f"--arms {arm!r}: none of {', '.join(MAIN | OTHERS)}, only NAME, without NAME")
    try:
        samples = open_data(given.data, 0)
        rows = split_rows(samples, "test")
    except RefusedError as refused:
        parser.error(str(refused))
    given.runs.mkdir(parents=True, exist_ok=True)
    data, runs = given.data.resolve(), given.runs.resolve()
    folder = given.photographs
    photographs = sorted(path for path in folder.iterdir() if path.suffix in PICTURE_ENDS) if folder else []
    budget = ("--steps", str(given.steps), "--image-size", str(given.size), "--batch", str(given.batch),
              "--validations", "1", "--cache-mb", "1024")  # fmt: skip
    looks = Looks(data, samples, rows, photographs)
    found: dict[str, dict[int, Any]] = {arm: {} for arm in given.arms}

    def finish(job: tuple[str, int]) -> None:
        """Train and test a run, then write the table of all that are finished."""
        arm, seed = job
        run = train_run(arm, seed, data, runs, budget)
        if not (run / RESULT).is_file():
            write_durably(run / RESULT, (json.dumps(looks.test(run)) + "\n").encode())
        with looks.lock:
            found[arm][seed] = json.loads((run / RESULT).read_text())
            seen = {arm: [one for _, one in sorted(seeds.items())] for arm, seeds in found.items() if seeds}
            about = f"{told}, {datetime.now(UTC):%Y-%m-%d}"
            table = f"{about}\n\n{table_of(seen)}"
            given.to.mkdir(parents=True, exist_ok=True)
            write_durably(given.to / "table.txt", table.encode())
            write_durably(
                given.to / "metrics.json", (json.dumps({"about": about, "rows": seen}, indent=1) + "\n").encode()
            )

    commit = commit_of(Path(__file__).parents[1])[:7]
    told = (
        f"{given.steps} steps of {given.batch} pictures of {given.size} pixels, {len(rows)} pictures of test people, "
        f"{len(photographs)} photographs; {processor()}, torch {torch.__version__}, commit {commit}"
    )
    with ThreadPoolExecutor(given.beside) as pool:
        list(pool.map(finish, [(arm, seed) for seed in range(given.seeds) for arm in given.arms]))
    print((given.to / "table.txt").read_text(), end="")


if __name__ == "__main__":
    main()
