"""A data set that was painted over: rows say which images, by whom; those that moved are as they were rendered."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from pain3d.face.landmarker import Reading
from pain3d.pipeline import device_synthesis, workers
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.run import Receipt, synthesise
from pain3d.pipeline.texture import making, refiner
from pain3d.pipeline.texture.conditions import Conditions
from pain3d.pipeline.texture.painter import Origin, Prompt
from pain3d.pipeline.texture.recipes import Recipe
from tests.conftest import Ran
from tests.pipeline.conftest import hashes, stop_run
from tests.pipeline.test_verify import edit

Run = Callable[..., Ran]
PLAIN = SynthConfig(identities=3, expressions=1, views=2, size=32, seed=7, device="cpu")
CONFIG = replace(PLAIN, refine="tinter")
PICTURED = ("frames", "pairs", "identities")


class Tinter:
    """A painter that makes pictures a little redder, and of views with an odd number nothing."""

    origin = Origin("tinter", "c" * 64, "MIT", "1 step")

    def refine(self, pictures: Tensor, conditions: Conditions, prompt: Prompt, seed: int, strength: float) -> Tensor:
        assert torch.get_num_threads() == workers.PAINTING_THREADS  # a batch of three leaves several: see PAINTING
        assert strength == 0.25 and "photograph" in prompt.positive and seed >= 0
        made = pictures * torch.tensor([1.0, 0.95, 0.9])
        made[1::2] = 0
        return made


class Still:
    """A detector that sees one face in every picture that isn't black, always in the same place."""

    def read(self, pixels: Any) -> Reading | None:
        return Reading(np.ones((478, 2), np.float32), {}) if pixels.any() else None


@pytest.fixture(scope="module", autouse=True)
def hands() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refiner, "_opened", {})
        patch.setattr(refiner, "Landmarker", Still)
        patch.setattr(making, "recipe_of", lambda wish: Recipe("tinter", "sd"))
        patch.setattr(making, "load_painter", lambda recipe, wish, quiet: Tinter())
        yield


@pytest.fixture(scope="module")
def made(hands: None, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A refined data set, not to be changed, its receipt, and the rows of the same without."""
    out = tmp_path_factory.mktemp("refined")
    receipt: Receipt = synthesise(CONFIG, out / "out", quiet=True)
    synthesise(replace(PLAIN, hair="painted"), out / "plain", quiet=True)  # as where a model paints
    return SimpleNamespace(out=out / "out", receipt=receipt, plain=out / "plain")


def rows(out: Path, subset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "data" / subset).iterdir()) for row in pq.read_table(path).to_pylist()]


def test_rows_say_which_images_were_painted_over_and_by_whom(made: SimpleNamespace) -> None:
    for subset in PICTURED:
        for row, bare in zip(rows(made.out, subset), rows(made.plain, subset), strict=True):
            refined = row["refined"]
            assert (row["image"] == bare["image"]) is not refined
            assert refined == (row.get("view_id", 0) == 0) or subset == "identities"
            said = [row[f"refine_{name}"] for name in ("model", "model_hash", "licence", "scheduler")]
            assert said == (["tinter", "c" * 64, "MIT", "1 step, strength 0.25"] if refined else [""] * 4)
            assert (row["refine_seed"] >= 0) == refined == ("photograph" in row["refine_prompt"])
            assert row["licence"] == ("CC0-1.0 AND MIT" if refined or row.get("neutral_refined") else "CC0-1.0")
            assert bare["refined"] is False and bare["refine_seed"] == -1
            if subset == "pairs":
                assert row["neutral_refined"] == (row["neutral_image"] != bare["neutral_image"])
            kept = {name: value for name, value in row.items() if name in ("PSPI", "landmarks_2d", "heatmap", "scene")}
            assert kept == {name: bare[name] for name in kept}


def test_the_share_kept_is_told(made: SimpleNamespace) -> None:
    assert made.receipt.refined == 6 and made.receipt.images == 12
    card, report = ((made.out / name).read_text() for name in ("README.md", "report/index.html"))
    assert "6 of 12 images (50 %) were painted over by tinter" in card
    assert "\nlicense: other\nlicense_name: CC0-1.0 / CC0-1.0 AND MIT\n" in card
    assert "<b>50 %</b><span>of the images painted over and kept</span>" in report
    assert "painted over" not in (made.plain / "README.md").read_text().split("## Columns")[0]


def test_verify_compares_rows_with_the_configuration(pain3d: Run, made: SimpleNamespace, tmp_path: Path) -> None:
    assert pain3d("verify", made.out, "--sample", "1").out.endswith("nothing wrong\n")
    names = pq.read_table(made.out / "data/frames")["sample_id"].to_pylist()
    said = [pain3d("replay", made.out, name) for name in names[:4]]
    assert {ran.code for ran in said} == {0}
    assert any("image            not made again: a model painted in it" in ran.out for ran in said)
    out = Path(shutil.copytree(made.out, tmp_path / "out"))
    frames = "data/frames/train-00000-of-00001.parquet"
    edit(out, frames, lambda found: found[0].update(refine_model="x", licence="CC0-1.0"))
    licence, model = sorted(pain3d("verify", out).out.splitlines())
    assert "licence is 'CC0-1.0'" in licence and "refine_model is 'x', who painted says 'tinter'" in model


@pytest.mark.parametrize("how", [{"batch_size": 3}, {"device": "cuda"}], ids=str)
def test_bytes_do_not_depend_on_the_batch(
    made: SimpleNamespace, tmp_path: Path, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on who renders: kernels of the CPU stand in for a device's, as in test_device_synthesis."""
    monkeypatch.setattr(device_synthesis.DeviceBatches, "_on_device", lambda self: nullcontext())
    synthesise(replace(CONFIG, **how), tmp_path / "out", quiet=True)
    if "device" in how:
        for one, other in zip(rows(made.out, "frames"), rows(tmp_path / "out", "frames"), strict=True):
            assert one["image"] == other["image"] and one["refined"] == other["refined"]
    else:
        assert hashes(tmp_path / "out") == hashes(made.out)


def test_a_stopped_run_goes_on(made: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.pipeline.conftest.SMALL", CONFIG)
        patch.setattr("tests.pipeline.conftest.KILLED_AFTER", 1)
        assert stop_run(out).count(b"\n") == 1
    synthesise(CONFIG, out, quiet=True)
    assert hashes(out) == hashes(made.out)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--refine-recipe", "sdxl-depth"), "--refine-recipe is for a painter: name one by --refine"),
        (
            ("--refine", "x", "--processes", "2"),
            "--refine and --processes: each process would hold the model; leave --processes out",
        ),
    ],
)
def test_what_can_not_be_is_one_line(pain3d: Run, tmp_path: Path, options: tuple[str, ...], line: str) -> None:
    ran = pain3d("synth", tmp_path / "out", "--device", "cpu", *options)
    assert (ran.code, ran.out, ran.err) == (2, "", f"pain3d: {line}\n")
    assert list(tmp_path.iterdir()) == []


def test_without_the_detector_nothing_is_written(pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pain3d.face.landmarker import Landmarker

    monkeypatch.setattr(refiner, "Landmarker", Landmarker)
    monkeypatch.setitem(sys.modules, "mediapipe.tasks", None)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    ran = pain3d("synth", tmp_path / "out", "--device", "cpu", "--refine", "another")
    assert ran.code == 2 and ran.err.startswith("pain3d: mediapipe can't be imported") and "pip install" in ran.err
    assert ran.err.count("\n") == 1 and list(tmp_path.iterdir()) == []
