"""Data that leave nothing to measure or lack what is needed: a defined result, or one line that names the culprit."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pain3d.pipeline.export.threedpain import export_3dpain
from tests.conftest import Ran
from tests.endless import endless_eps
from tests.training.test_loop import OPTIONS

SHORT = (*OPTIONS, "--steps", "2", "--validations", "1")
NAMES = ("AU4", "AU6", "AU7", "AU9", "AU10", "AU43")


@pytest.fixture
def layout(faces: Path, tmp_path: Path) -> Path:
    """The data set in the layout of 3DPain, to be changed: labels are JSON files, the split is a CSV."""
    to = tmp_path / "layout"
    export_3dpain(faces, to, quiet=True)
    return to


def annotations(layout: Path) -> list[Path]:
    return sorted((layout / "annotations").glob("*.json"))


def relabel(path: Path, *units: int) -> None:
    """Write six action units and the PSPI that is theirs."""
    score = units[0] + max(units[1:3]) + max(units[3:5]) + units[5]
    path.write_text(json.dumps({**dict(zip(NAMES, units, strict=True)), "PSPI": score}))


def move(layout: Path, person: int, split: int) -> None:
    """Put a person into another split."""
    with (layout / "split.csv").open() as file:
        lines = list(csv.reader(file))
    for line in lines[1:]:
        if line[0].startswith(f"flame_sample_{person:04d}_"):
            line[1] = str(split)
    with (layout / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)


def train(pain3d: Callable[..., Ran], layout: Path, *options: str) -> Ran:
    return pain3d("train", layout.parent / "run", "--data", layout, *SHORT, *options)


def figures(layout: Path) -> dict:
    return dict(json.loads((layout.parent / "run" / "evaluation" / "metrics.json").read_text()))


def test_one_person_to_learn_from(pain3d: Callable[..., Ran], layout: Path) -> None:
    for person in range(1, 6):
        move(layout, person, 2)
    move(layout, 0, 0)
    ran = train(pain3d, layout, "--batch", "16")  # more than one person's pictures
    assert ran.code == 0, ran.err
    assert figures(layout)["thresholds"]["1"]["f1"] is None  # nobody to choose a threshold on
    assert "thresholds.1.f1" in figures(layout)["undefined"]


def test_labels_that_do_not_vary(pain3d: Callable[..., Ran], layout: Path) -> None:
    for path in annotations(layout):
        relabel(path, 0, 0, 0, 0, 0, 0)
    ran = train(pain3d, layout)
    assert ran.code == 0, ran.err
    found = figures(layout)
    assert found["pspi"]["pearson"] is None and "constant" in found["undefined"]["pspi.pearson"]
    assert found["thresholds"]["1"]["auroc"] is None  # no positives
    assert found["pspi"]["mae"] >= 0


def test_a_last_batch_of_one(pain3d: Callable[..., Ran], layout: Path) -> None:
    ran = train(pain3d, layout, "--batch", "1", "--group", "1")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("task", ["vitpain", "siamese"])
def test_a_missing_neutral_names_the_person(pain3d: Callable[..., Ran], layout: Path, task: str) -> None:
    for path in (layout / "meshes_inpainted").glob("flame_sample_0002_neutral*"):
        path.unlink()
    ran = pain3d("train", layout.parent / "run", "--data", layout, "--task", task, "--steps", "2")
    assert ran.code == 2 and "neutral" in ran.err and "2" in ran.err and ran.err.count("\n") == 1


def test_an_unreadable_picture_is_named(pain3d: Callable[..., Ran], layout: Path) -> None:
    for path in (layout / "meshes_inpainted").glob("*.jpg"):
        path.write_bytes(b"<html>please log in</html>")
    ran = train(pain3d, layout)
    assert ran.code == 2 and "flame_sample_" in ran.err and ran.err.count("\n") == 1


def test_a_checkpoint_of_another_model_is_refused(pain3d: Callable[..., Ran], layout: Path) -> None:
    assert train(pain3d, layout, "--no-evaluate").code == 0
    model = layout.parent / "run" / "model"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "width": 64}))
    ran = pain3d("evaluate", "--model", layout.parent / "run")
    assert ran.code == 2 and "model.safetensors" in ran.err and ran.err.count("\n") == 1


def test_a_pickled_checkpoint_is_refused(pain3d: Callable[..., Ran], layout: Path, tmp_path: Path) -> None:
    (tmp_path / "old.ckpt").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    ran = train(pain3d, layout, "--weights", str(tmp_path / "old.ckpt"))
    assert ran.code == 2 and "old.ckpt" in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "pwned").exists()


def test_people_who_are_known_are_not_tested_or_it_is_said(pain3d: Callable[..., Ran], layout: Path) -> None:
    """And an EPS named like a picture is refused: its program never runs."""
    run = layout.parent / "run"
    assert train(pain3d, layout).code == 0
    strangers = "whom no model was trained on"
    assert figures(layout)["people"] == f"People {strangers}."
    assert strangers in (run / "evaluation" / "index.html").read_text()
    tested = {path.name: path.read_bytes() for path in (run / "evaluation").iterdir()}
    for split, says in (("train", "was trained on people of this test (4 of 4)"), ("validation", "(1 of 1)")):
        ran = pain3d("evaluate", "--model", run, "--split", split, "--resamples", "0")
        assert ran.code == 0 and says in ran.out.splitlines()[0], ran.err
        for page in ("index.html", "metrics.json", "table.tex"):
            text = (run / f"evaluation_{split}" / page).read_text()
            assert says in text and strangers not in text
        assert '<p class="known">A model was' in (run / f"evaluation_{split}" / "index.html").read_text()
    ran = pain3d("evaluate", "--model", run, "--split", "train", "--to", run / "evaluation")
    assert ran.code == 2 and "holds the report of another test (run, split test of 3DPain layout)" in ran.err
    assert {path.name: path.read_bytes() for path in (run / "evaluation").iterdir()} == tested
    others = json.loads(tested["metrics.json"])["others"]
    f1 = [others[name]["thresholds"]["1"]["f1"] for name in ("always yes", "mean predictor")]
    assert f1[0] == f1[1] > 0
    ran = pain3d("evaluate", "--model", run, "--split", "all", "--to", layout.parent / "other")
    assert ran.code == 2 and "was trained on: it can't be tested on" in ran.err and ran.err.count("\n") == 1
    assert not (layout.parent / "other").exists()
    for path in (layout / "meshes_inpainted").glob("*.jpg"):
        endless_eps(path)
    ran = pain3d("evaluate", "--model", run)
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert "flame_sample_" in ran.err and "PNG, WebP, TIFF, BMP, GIF or AVIF" in ran.err


def test_folds_are_pooled(pain3d: Callable[..., Ran], faces: Path, tmp_path: Path) -> None:
    """Each of six people is tested once, by a run that never saw them."""
    runs = [tmp_path / f"fold{number}" for number in range(3)]
    for number, run in enumerate(runs):
        options = ("--folds", "3", "--fold", str(number), "--no-evaluate")
        assert pain3d("train", run, "--data", faces, *SHORT, *options).code == 0
    ran = pain3d("evaluate", "--model", *runs, "--to", tmp_path / "pooled", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["subjects"] == 6 and found["pictures"] == 48
    assert found["folds"]["pspi.mae"]["folds"] == 3
    held = json.loads((tmp_path / "pooled" / "metrics.json").read_text())
    assert set(held["others"]) == {"mean predictor", "always yes"}
    assert held["others"]["mean predictor"]["pictures"] == 48
