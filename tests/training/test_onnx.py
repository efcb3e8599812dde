"""Holds the ONNX file: the same answers for any batch, its metadata, and no file where the answers differ."""

import json
from pathlib import Path

import pytest
import torch

from pain3d.console.refused import RefusedError
from pain3d.training import extra
from pain3d.training.model import onnx_export
from pain3d.training.model.both_ways import ask_both_ways
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import build_model
from pain3d.training.model.onnx_export import export_onnx
from pain3d.training.model.pretrained import load_pretrained, save_pretrained

CONFIGS = {  # at 64 pixels the last cells of local contrast are narrower than others
    "siamese alone": ModelConfig(architecture="siamese", image_size=32, neutral=False, framing="square"),
    "difference": ModelConfig(
        width=32,
        depth=1,
        heads=2,
        image_size=64,
        conv_stem=True,
        local_contrast=True,
        bounded=True,
        fusion="difference",
        spread=True,
        framing="whole",
    ),
    "lora": ModelConfig(
        backbone="vit_tiny_patch16_dinov3_qkvb", depth=1, width=64, heads=2, image_size=32, separate=True, lora_rank=2
    ),
}


def saved(name: str, folder: Path) -> Path:
    model = build_model(CONFIGS[name], seed=1)
    with torch.no_grad():
        for part, parameter in model.named_parameters():
            if part.endswith(".up"):  # starts at 0
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    save_pretrained(model, folder, {})
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_it_says_the_same(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run, file = saved(name, tmp_path / "run"), tmp_path / "model.onnx"
    assert export_onnx(run, file) < onnx_export.TOLERANCE
    assert f"{file}: " in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "run"]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    model = load_pretrained(run)
    for count in (1, 3):
        side = model.config.image_size
        image, neutral = torch.randn(2, count, 3, side, side, generator=torch.Generator().manual_seed(count))
        fed = {"image": image.numpy(), **({"neutral": neutral.numpy()} if model.config.neutral else {})}
        assert [entry.name for entry in session.get_inputs()] == list(fed)
        pspi, au, binary = session.run(["pspi", "au", "binary"], fed)
        if name == "difference":
            nothing, still, _, spread = session.run(None, {"image": fed["image"], "neutral": fed["image"]})
            assert not nothing.any() and not still.any() and (spread > 0).all()
        with torch.no_grad():
            said = ask_both_ways(model, image, neutral if model.config.neutral else None)
        for ours, theirs in ((said.pspi, pspi), (said.au, au), (said.binary.sigmoid(), binary)):
            # worst seen 5e-7: another order of the same sums
            torch.testing.assert_close(torch.from_numpy(theirs), ours, atol=1e-4, rtol=0)
    told = session.get_modelmeta().custom_metadata_map
    assert told["mean"] == "0.485 0.456 0.406"
    assert told["units"] == "AU04 AU06 AU07 AU09 AU10 AU43"
    square = json.loads(told["square"])
    if name == "lora":
        assert square == {"of": "unknown: the model doesn't say"}
    elif name == "difference":
        assert square == {"of": "the whole picture"}
    else:  # all of 15 cm, in which the eyes are 5.96 cm apart
        assert square["side_metres"] == 0.15
        assert square["side_in_eye_distances"] == pytest.approx(0.15 / 0.0596, abs=1e-3)
        assert (square["pixels"], square["middle_below_eyes_metres"]) == (32, 0.022)


def test_no_file_where_answers_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run, file = saved("siamese alone", tmp_path / "run"), tmp_path / "model.onnx"
    export_onnx(run, file, quiet=True)
    of_another_model = file.read_bytes()
    file.write_bytes(b"an older one")
    monkeypatch.setattr(onnx_export, "_write", lambda _, path: path.write_bytes(of_another_model))
    save_pretrained(build_model(CONFIGS["siamese alone"], seed=2), run, {})
    with pytest.raises(RefusedError, match="ONNX Runtime and PyTorch differ by"):
        export_onnx(run, file, quiet=True)
    assert file.read_bytes() == b"an older one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "run"]


def test_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError, match=r"model\.bin: the name must end in \.onnx"):
        export_onnx(tmp_path, tmp_path / "model.bin")
    with pytest.raises(RefusedError, match="none: no such folder"):
        export_onnx(tmp_path, tmp_path / "none" / "model.onnx")
    monkeypatch.setitem(extra.NEEDS, "onnx", ("onnx_of_another_world",))
    with pytest.raises(RefusedError, match=r"needs onnx_of_another_world: pip install 'pain3d\[onnx\]'"):
        export_onnx(tmp_path, tmp_path / "model.onnx")
