"""`pain3d export`: a model as ONNX, a data set in the layout of 3DPain, and one line for what is neither."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import build_model
from pain3d.training.model.pretrained import save_pretrained
from tests.conftest import Ran

Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "model"
    save_pretrained(build_model(ModelConfig(image_size=32, depth=1, width=32, heads=2)), folder, {})
    return folder


def test_a_model_becomes_onnx(pain3d: Run, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    ran = pain3d("export", model, "--onnx", "--to", tmp_path / "net.onnx", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["largest_difference"] < 1e-3
    assert (tmp_path / "net.onnx").stat().st_size > 10_000


def test_a_data_set_goes_out(pain3d: Run, faces: Path, tmp_path: Path) -> None:
    ran = pain3d("export", faces, "--format", "3dpain", "--to", tmp_path / "layout")
    assert ran.code == 0, ran.err
    assert "48 pictures, 18 annotations and 18 heatmaps of 6 identities" in ran.out
    assert (tmp_path / "layout" / "split.csv").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--to", "x"),
            "--format is missing: 3dpain, webdataset, imagefolder, coco, openface, glb for a data set, onnx",
        ),
        (("--format", "3dpian", "--to", "x"), "--format '3dpian', did you mean 3dpain?"),
        (("--format", "3dpain", "--onnx", "--to", "x"), "--onnx and --format 3dpain contradict each other"),
        (("--onnx",), "--to DEST is missing: where to write"),
        (("--onnx", "--to", "net.pt"), "net.pt: the name must end in .onnx"),
    ],
)
def test_what_is_neither_takes_one_line(pain3d: Run, model: Path, options: tuple[str, ...], message: str) -> None:
    ran = pain3d("export", model, *options)
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1
